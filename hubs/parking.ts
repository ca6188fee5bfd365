/**
 * Parking: how a hub with nothing to do waits without stopping Deno's loop.
 *
 * A park is a promise that settles when something may be ready, when the time
 * is over, or when somebody wakes it. What it returns decides nothing; the
 * sweep that follows does.
 *
 * @module
 */

import { macrotask } from "./deno_loop.ts";

/** The name of a way to park, as `hub.statistics()` gives it. */
export type ParkingName = "aio" | "uring" | "thread" | "poller" | "none";

/** The first and the longest wait of whoever cannot be woken, ms. */
const SHORTEST = 1;
const LONGEST = 16;

/**
 * The longest park of a Worker's on another thread, ms: so long a Worker that
 * was terminated keeps both threads, and all its hub has open.
 */
const LONGEST_IN_WORKER = 2000;
/**
 * A park may outlast its limit by so much, ms, before the process may end for
 * want of anything else to wait for.
 */
const GRACE = 1000;
/** The longest a timer of Deno's can be, ms. */
const LONGEST_TIMER = 2 ** 31 - 1;
/** Parks that ended too soon, for nothing, in a row, before there are pauses. */
const PATIENCE = 3;

/** One way to park. */
export interface Parking {
  readonly name: ParkingName;
  /** The longest it waits in one go, ms, if there is such a limit. */
  readonly longest?: number;
  /**
   * Wait at most `timeout` ms (null: no limit), or until woken.
   *
   * @param idling Nothing was done since the last park.
   * @param passed How far the hub's clock has moved since that began, ms.
   */
  park(
    timeout: number | null,
    idling: boolean,
    passed?: number,
  ): Promise<void>;
  /** End a park under way. */
  wake(): void;
  /** Give everything back; null unless a call is under way to wait for. */
  close(): Promise<void> | null;
  /**
   * Do not keep the process alive until the next park: MAINLOOP has left, or
   * is parked for nothing that counts.
   */
  rest?(): void;
  /** The sweep after a park that ran out of time found something. */
  missed?(): void;
  /** To park and to be woken again costs hardly anything. */
  readonly light?: boolean;
  /** It missed a wake-up and is not to be relied on any more. */
  readonly broken?: boolean;
}

/** What parks by a call of its own: a poller, as far as that goes. */
export interface ParkedPoller {
  /** See `Poller`. */
  readonly parking?: "thread";
  /** See `Poller`. */
  park(timeout: number | null): Promise<void>;
  /** See `Poller`. */
  wake?(): void;
  /** Give back what only the park needed, with none under way. */
  release?(): void;
}

/**
 * Park by the poller's own `park`: for the built-in pollers their own system
 * call on another thread (`nonblocking: true`).
 *
 * A wake ends the call, and the hub goes on once it has ended: some tens of
 * microseconds later, but then nothing is under way that somebody (a test's
 * sanitizer, a close) would have to wait for.
 *
 * The park of a poller by somebody else may be anything, an `Atomics.waitAsync`,
 * say, which does not keep the process alive by itself: a timer of Deno's does,
 * as long as the park lasts.
 *
 * A call that the kernel refuses ends at once, and its error is another
 * thread's. So parks that end before their time again and again, without a
 * wake and with nothing found, take turns with pauses. A poller may also make
 * the hub's time go by as it pleases: then they take turns with Deno's loop.
 */
export class PollerParking implements Parking {
  readonly name: ParkingName;
  readonly longest: number;
  readonly #poller: ParkedPoller;
  readonly #pause = new TimedParking();
  #underWay: Promise<void> | null = null;
  #release: (() => void) | null = null;
  /** How long the call lasts at least unless something ends it, ms, ... */
  #least = 0;
  /** ... and so, when it may end of itself. */
  #due = 0;
  #early = false;
  #inVain = 0;
  #paused = false;
  #closed = false;
  #hold: ReturnType<typeof setTimeout> | undefined;

  constructor(poller: ParkedPoller) {
    this.#poller = poller;
    this.name = poller.parking ?? "poller";
    // One that cannot be woken is asked for short waits only.
    if (poller.wake === undefined) this.longest = LONGEST;
    else if ("WorkerGlobalScope" in globalThis) {
      this.longest = LONGEST_IN_WORKER;
    } else this.longest = Infinity;
  }

  park(
    timeout: number | null,
    idling: boolean,
    passed = 0,
  ): Promise<void> {
    if (!idling || !this.#early) this.#inVain = 0;
    else if (passed >= this.#least) {
      this.#inVain = 0;
      this.#paused = true;
      return macrotask();
    } else if (++this.#inVain >= PATIENCE && !this.#paused) {
      this.#paused = true;
      return this.#pause.park(timeout, idling);
    }
    this.#paused = false;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#release = resolve;
    // Still under way only if it could not be woken.
    this.#underWay ??= this.#call(timeout ?? Infinity);
    this.#keepAlive(timeout ?? Infinity);
    return promise;
  }

  #call(timeout: number): Promise<void> {
    const limit = Math.min(timeout, this.longest);
    this.#least = limit / 2;
    this.#due = performance.now() + this.#least;
    return this.#poller.park(limit === Infinity ? null : limit)
      .then(this.#ended, this.#failed);
  }

  /** Until the park has ended; those of our own see to it themselves. */
  #keepAlive(timeout: number): void {
    if (this.name !== "poller") return;
    if (this.#hold !== undefined) Deno.refTimer(this.#hold);
    const longest = Math.min(timeout + GRACE, LONGEST_TIMER);
    this.#hold ??= setTimeout(() => {}, longest);
  }

  #letGo(): void {
    clearTimeout(this.#hold);
    this.#hold = undefined;
  }

  wake(): void {
    this.#pause.wake();
    if (this.#poller.wake === undefined) {
      this.#letGo();
      this.#release?.();
    } else if (this.#underWay !== null) {
      this.#due = 0;
      this.#poller.wake();
    }
  }

  rest(): void {
    if (this.#hold !== undefined && !this.#closed) Deno.unrefTimer(this.#hold);
  }

  close(): Promise<void> | null {
    this.wake();
    this.#closed = true;
    if (this.#underWay === null) this.#poller.release?.();
    else this.#keepAlive(this.longest);
    return this.#underWay?.then(() => this.#poller.release?.()) ?? null;
  }

  readonly #ended = (): void => {
    this.#underWay = null;
    this.#letGo();
    this.#early = performance.now() < this.#due;
    this.#release?.();
    this.#release = null;
  };

  /** For want of a descriptor, perhaps: again, but not in a busy loop. */
  readonly #failed = (): Promise<void> =>
    new Promise<void>((resolve) => {
      setTimeout(resolve, LONGEST);
    }).then(this.#ended);
}

/**
 * No way to park: sweep again after a while, a longer one each time nothing
 * was found. For a third-party poller that has neither `park` nor `fd`.
 */
export class TimedParking implements Parking {
  readonly name = "none";
  #timer: ReturnType<typeof setTimeout> | undefined;
  #delay = SHORTEST;
  #release: (() => void) | null = null;

  park(timeout: number | null, idling: boolean): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    if (!idling) this.#delay = SHORTEST;
    const delay = Math.min(timeout ?? LONGEST, this.#delay);
    this.#delay = Math.min(LONGEST, this.#delay * 2);
    this.#release = resolve;
    this.#timer = setTimeout(() => {
      this.#release = null;
      resolve();
    }, Math.ceil(delay));
    return promise;
  }

  wake(): void {
    this.#delay = SHORTEST;
    if (this.#release === null) return;
    clearTimeout(this.#timer);
    this.#release();
    this.#release = null;
  }

  close(): null {
    this.wake();
    return null;
  }
}
