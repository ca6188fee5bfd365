/**
 * Parking without a thread: the kernel (by Linux AIO, or io_uring) posts the
 * readiness of the poller's descriptor on an eventfd that Deno's own loop
 * watches; the deadline is a timerfd that it watches too.
 *
 * The trap it guards: this leans on things nobody documented. A wake-up that
 * never comes must be found out: every park has a limit, and if the sweep
 * after an exhausted park finds something that was not announced, and is not
 * during the whole of the next park either, the way counts as broken. That
 * limit is the timer's, too: until it has rung for the first time, one of
 * Deno's own stands behind it.
 *
 * @module
 */

import { monotonic } from "../ffi/clock.ts";
import { LoopEvent, LoopTimer } from "./deno_loop.ts";
import type { Parking } from "./parking.ts";
import type { Poller } from "./poller.ts";

/** What posts the readiness of a descriptor on an eventfd. */
export interface Poster {
  /**
   * Post once when `fd` polls readable. What was posted before has arrived, or
   * is of no interest any more.
   */
  arm(fd: number): void;
  /** Post nothing any more. */
  close(): void;
}

/** A word that takes longer than this, ms, was not given. */
const LONG_AGO = 5;
/** The timer is given this long, ms, after Deno's own has fired; twice. */
const GRACE = 20;

/**
 * See the module. What need not be done between a wake-up and the greenthread
 * it is for is put off: a timer that fires too early is set again before the
 * next park, and the hold on the process is given up when MAINLOOP leaves.
 */
export class PostedParking implements Parking {
  readonly name: "aio" | "uring";
  readonly light = true;
  readonly #poller: Poller;
  readonly #timer: LoopTimer;
  readonly #event: LoopEvent;
  readonly #poster: Poster;
  /** The descriptor that is being polled; -1 for none. */
  #armed = -1;
  #held = false;
  /** When the park is over, and when the timer fires; monotonic ms. */
  #deadline = Infinity;
  #alarm = Infinity;
  /** The timer has rung: it is one. */
  #proven = false;
  #backup: ReturnType<typeof setTimeout> | undefined;
  #doubt = false;
  #since = 0;
  #broken = false;
  #release: (() => void) | null = null;

  /**
   * @throws {Error} If the kernel, a sandbox or this Deno does not allow it.
   */
  constructor(
    name: "aio" | "uring",
    poller: Poller,
    makePoster: (eventfd: number) => Poster,
  ) {
    this.name = name;
    this.#poller = poller;
    using opened = new DisposableStack();
    this.#timer = opened.adopt(
      new LoopTimer(() => this.#rang(), () => this.#fail()),
      (timer) => timer.close(),
    );
    this.#event = opened.adopt(
      new LoopEvent(() => this.#announced(), () => this.#fail()),
      (event) => event.close(),
    );
    // Rings at the next turn of Deno's loop.
    this.#timer.set(0);
    this.#poster = makePoster(this.#event.fd);
    opened.move();
  }

  get broken(): boolean {
    return this.#broken;
  }

  park(timeout: number | null): Promise<void> {
    if (!this.#arm()) return Promise.resolve();
    const now = monotonic();
    this.#deadline = timeout === null ? Infinity : now + timeout;
    if (this.#alarm <= now || this.#alarm > this.#deadline) this.#setAlarm(now);
    if (this.#broken) return Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#release = resolve;
    if (!this.#proven && timeout !== null) this.#backUp(timeout);
    if (!this.#held) {
      this.#held = true;
      this.#event.ref();
    }
    return promise;
  }

  wake(): void {
    this.#end();
  }

  rest(): void {
    if (!this.#held) return;
    this.#held = false;
    this.#event.unref();
  }

  missed(): void {
    if (this.#armed < 0) return;
    this.#doubt = true;
    this.#since = monotonic();
  }

  close(): null {
    this.wake();
    this.#poster.close();
    this.#event.close();
    this.#timer.close();
    return null;
  }

  /** Ask the kernel for a word, unless it still owes us one. */
  #arm(): boolean {
    const fd = this.#poller.fd!;
    if (this.#armed === fd) return true;
    try {
      this.#poster.arm(fd);
    } catch {
      this.#broken = true;
      return false;
    }
    this.#armed = fd;
    return true;
  }

  #announced(): void {
    this.#armed = -1;
    this.#doubt = false;
    this.#end();
  }

  #setAlarm(now: number): void {
    this.#alarm = this.#deadline;
    const ms = this.#deadline === Infinity ? null : this.#deadline - now;
    try {
      this.#timer.set(ms);
    } catch {
      this.#fail();
    }
  }

  /** Have one of Deno's timers find out whether ours is none. */
  #backUp(timeout: number): void {
    this.#backup = setTimeout(() => {
      // Deno sees to its timers before its I/O: ours may be about to ring.
      this.#backup = setTimeout(() => this.#fail(), GRACE);
    }, timeout + GRACE);
  }

  /** It is not to be relied on any more. */
  #fail(): void {
    this.#broken = true;
    this.#end();
  }

  #rang(): void {
    const now = monotonic();
    this.#proven = true;
    this.#alarm = Infinity;
    if (this.#release === null) return;
    if (now < this.#deadline) this.#setAlarm(now);
    else {
      // What should have been announced long ago was not.
      if (this.#doubt) this.#broken = now - this.#since >= LONG_AGO;
      this.#end();
    }
  }

  #end(): void {
    if (this.#backup !== undefined) {
      clearTimeout(this.#backup);
      this.#backup = undefined;
    }
    const release = this.#release;
    this.#release = null;
    release?.();
  }
}
