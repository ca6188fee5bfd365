/**
 * The conformance suite: what every hub must do, as tests.
 *
 * The four built-in hubs run it, and so can the author of any other. It opens
 * its own descriptors and needs `--allow-ffi`; three cases ask for
 * `--allow-net` and one for `--allow-run`, and are left out without.
 *
 * @example A hub of your own, tested
 * ```ts ignore
 * import { conformance } from "@greenhub/greenhub/conformance";
 * import * as mine from "./my_hub.ts";
 *
 * conformance("mine", mine);
 * ```
 *
 * @module
 */

import { libc } from "../ffi/libc.ts";
import { callbackCases } from "./conformance/callbacks.ts";
import { closingCases } from "./conformance/closing.ts";
import { coexistenceCases } from "./conformance/coexistence.ts";
import { descriptorCases } from "./conformance/descriptors.ts";
import { endingCases } from "./conformance/ending.ts";
import { hubCases } from "./conformance/hub.ts";
import { listenerCases } from "./conformance/listeners.ts";
import { localTimerCases } from "./conformance/local_timers.ts";
import { mainloopCases } from "./conformance/mainloop.ts";
import { noticeCases } from "./conformance/notices.ts";
import { queueingCases } from "./conformance/queueing.ts";
import { timerCases } from "./conformance/timers.ts";
import { trampolineCases } from "./conformance/trampoline.ts";
import { waitCases } from "./conformance/waits.ts";
import { type Case, runCase } from "./conformance/rig.ts";
import type { HubModule } from "./registry.ts";

const CASES: readonly Case[] = [
  ...hubCases,
  ...endingCases,
  ...listenerCases,
  ...queueingCases,
  ...callbackCases,
  ...descriptorCases,
  ...closingCases,
  ...noticeCases,
  ...timerCases,
  ...localTimerCases,
  ...mainloopCases,
  ...waitCases,
  ...trampolineCases,
  ...coexistenceCases,
];

/**
 * Register the suite for a hub as `Deno.test` cases.
 *
 * Each case chooses the hub with `useHub(module)`, closes it at the end, and
 * fails if a descriptor is left behind. Call it at the top level of a test
 * file. A hub that is not available gets one test, which is ignored.
 *
 * @param name What the cases are called: `"<name>: <case>"`.
 * @param module The hub's module: `Hub` and, maybe, `isAvailable`.
 *
 * @example
 * ```ts
 * import { conformance } from "./conformance.ts";
 * import * as poll from "./poll.ts";
 *
 * // In a test file, at the top level:
 * const register = () => conformance("poll", poll);
 * if (typeof register !== "function") throw new Error();
 * ```
 */
export function conformance(name: string, module: HubModule): void {
  // Opening a library is a resource that stays: do it before the first test.
  if (module.isAvailable?.() === false) {
    Deno.test.ignore(`${name}: is not available`, () => {});
    return;
  }
  libc();
  for (const [title, run, needs] of CASES) {
    Deno.test({
      name: `${name}: ${title}`,
      ignore: needs !== undefined &&
        Deno.permissions.querySync({ name: needs }).state !== "granted",
      fn: () => runCase(module, run),
    });
  }
}
