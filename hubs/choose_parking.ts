/**
 * Which way a hub parks: the fastest that works here, or the one asked for.
 *
 * @module
 */

import { AioPoll } from "../ffi/aio_poll.ts";
import { UringPoll } from "../ffi/io_uring.ts";
import { readEnv } from "./env.ts";
import { HubError } from "./errors.ts";
import { FdPark } from "./fd_park.ts";
import {
  type Parking,
  type ParkingName,
  PollerParking,
  TimedParking,
} from "./parking.ts";
import type { Poller } from "./poller.ts";
import { PostedParking, type Poster } from "./posted_parking.ts";

/** What may be asked for. */
export type ParkingChoice = "auto" | "aio" | "uring" | "thread";

const VARIABLE = "GREENHUB_PARKING";

const CHOICES: readonly string[] = ["auto", "aio", "uring", "thread"];

/**
 * Park by the poller's own means, or by its descriptor.
 *
 * @throws {HubError} If it has neither.
 * @throws {Error} If no FFI is granted, or there is no descriptor to be had.
 */
function threadParking(poller: Poller): Parking {
  if (poller.park !== undefined) return new PollerParking(poller as Parked);
  if (poller.fd !== undefined) return new PollerParking(new FdPark(poller));
  throw new HubError("the poller has neither park() nor a descriptor");
}

/** The same, or else look again after a while. */
function ownParking(poller: Poller): Parking {
  try {
    return threadParking(poller);
  } catch {
    return new TimedParking();
  }
}

type Parked = Poller & Required<Pick<Poller, "park">>;

/** The ways without a thread, the fastest first. */
const POSTERS: readonly [
  name: "aio" | "uring",
  make: (eventfd: number) => Poster,
][] = [
  ["aio", (eventfd) => new AioPoll(eventfd)],
  ["uring", (eventfd) => new UringPoll(eventfd)],
];

/**
 * The way to park for a poller: the one wanted, else the next that works.
 *
 * @param choice What the hub's options say; then the variable
 * `GREENHUB_PARKING`; then `"auto"`.
 * @throws {RangeError} If it is none of the known names.
 * @throws {HubError} If the options ask for one that does not work here. (The
 * variable is for all hubs of a process: one that cannot obey does what it can.)
 */
export function chooseParking(
  poller: Poller,
  choice: ParkingChoice | undefined,
): Parking {
  const wanted = choice ?? (readEnv(VARIABLE) || "auto");
  if (!CHOICES.includes(wanted)) {
    const of = (choice ?? null) === null ? ` of ${VARIABLE}` : "";
    throw new RangeError(
      `Cannot park by "${wanted}"${of}: valid are ${CHOICES.join(", ")}`,
    );
  }
  const forced = wanted === choice && wanted !== "auto";
  let cause: unknown = "the poller has no descriptor that could be watched";
  if (wanted !== "thread" && poller.fd !== undefined) {
    for (const [name, make] of POSTERS) {
      if (wanted !== "auto" && wanted !== name) continue;
      try {
        return new PostedParking(name, poller, make);
      } catch (error) {
        cause = error;
      }
    }
  }
  if (!forced) return ownParking(poller);
  if (wanted === "thread") {
    try {
      return threadParking(poller);
    } catch (error) {
      cause = error;
    }
  }
  throw new HubError(`Cannot park by "${wanted}"`, { cause });
}

/** What to park by after a way turned out to be broken: the next that works. */
export function fallbackParking(poller: Poller, broken: ParkingName): Parking {
  const next = POSTERS.findIndex(([name]) => name === broken) + 1;
  if (next > 0 && poller.fd !== undefined) {
    for (const [name, make] of POSTERS.slice(next)) {
      try {
        return new PostedParking(name, poller, make);
      } catch {
        // The next one, then.
      }
    }
  }
  return ownParking(poller);
}
