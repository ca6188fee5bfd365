/** The ways to park of the hub that a run of the tests is for. */

import * as epolls from "../../hubs/epolls.ts";
import type { BaseHub, HubOptions } from "../../hubs/hub.ts";
import * as libevent from "../../hubs/libevent.ts";
import * as poll from "../../hubs/poll.ts";
import * as selects from "../../hubs/selects.ts";
import { getHub, useHub } from "../../mod.ts";

/** A way that can be asked for. */
export type Way = "aio" | "uring" | "thread";

const MODULES = { epolls, poll, selects, libevent };

/** The hub of this run. */
export const hubName: string = getHub().name;

/** Its ways. */
export const WAYS: readonly Way[] = hubName === "epolls" ||
    hubName === "libevent"
  ? ["aio", "uring", "thread"]
  : ["thread"];

/** Use this run's hub, parked by `way`. */
export function useWay(way: Way): void {
  const Hub: new (options: HubOptions) => BaseHub =
    MODULES[hubName as keyof typeof MODULES].Hub;
  useHub(
    class extends Hub {
      constructor() {
        super({ parking: way });
      }
    },
  );
}
