/**
 * Which way a hub parks: the fastest that works here, or the one asked for.
 *
 * @module
 */

import { AioPoll } from "../ffi/aio.ts";
import { AioParking } from "./aio_parking.ts";
import type { LoopTimer } from "./deno_loop.ts";
import { readEnv } from "./env.ts";
import { HubError } from "./errors.ts";
import { type Parking, PollerParking, TimedParking } from "./parking.ts";
import type { Poller } from "./poller.ts";

/** What may be asked for. */
export type ParkingChoice = "auto" | "aio" | "uring" | "thread";

const CHOICES: readonly string[] = ["auto", "aio", "uring", "thread"];

/** Park by the poller's own means. */
function ownParking(poller: Poller): Parking {
  return poller.park === undefined
    ? new TimedParking()
    : new PollerParking(poller);
}

/**
 * The way to park for a poller.
 *
 * @param choice What the hub's options say; then the variable
 * `GREENHUB_PARKING`; then `"auto"`.
 * @throws {RangeError} If it is none of the known names.
 * @throws {HubError} If the one asked for does not work here.
 */
export function chooseParking(
  poller: Poller,
  timer: LoopTimer | null,
  choice: ParkingChoice | undefined,
): Parking {
  const wanted = choice ?? (readEnv("GREENHUB_PARKING") || "auto");
  if (!CHOICES.includes(wanted)) {
    throw new RangeError(
      `Cannot park by "${wanted}": valid are ${CHOICES.join(", ")}`,
    );
  }
  if (wanted === "uring") {
    throw new HubError('Cannot park by "uring": aio is faster and built in');
  }
  // A forced thread, or a poller without a descriptor of its own. A variable
  // is for all hubs of a process, so one that cannot obey it does what it can.
  if (wanted === "thread") return ownParking(poller);
  if (poller.fd === undefined || timer === null) {
    if (choice !== "aio") return ownParking(poller);
    throw new HubError(
      'Cannot park by "aio": the poller has no descriptor to be watched',
    );
  }
  try {
    return new AioParking(poller, timer, (fd) => new AioPoll(fd));
  } catch (cause) {
    if (wanted === "auto") return ownParking(poller);
    throw new HubError('Cannot park by "aio": the system refuses', { cause });
  }
}

/** What to park by after a way turned out to be broken. */
export function fallbackParking(poller: Poller): Parking {
  return ownParking(poller);
}
