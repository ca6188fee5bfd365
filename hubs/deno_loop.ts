/**
 * What a hub knows of Deno's own event loop, which it shares the thread with:
 * how to let it turn once, how to be called by it when a descriptor of ours
 * has something, and how to make it look for I/O.
 *
 * Traps it guards: `setTimeout(0)` takes two milliseconds, `setImmediate` one
 * microsecond; and Deno's I/O driver is looked at only every 61 polls while
 * JavaScript is busy.
 *
 * None of this is documented by Deno. Everything here therefore fails safe: a
 * constructor throws or an answer is null, and the caller falls back.
 *
 * @module
 */

import {
  CLOCK_MONOTONIC,
  EFD_CLOEXEC,
  EFD_NONBLOCK,
  EINTR,
  TFD_CLOEXEC,
  TFD_NONBLOCK,
} from "../ffi/constants.ts";
import { check, retry, SystemError } from "../ffi/errors.ts";
import { ITIMERSPEC_SIZE, Timespec } from "../ffi/layout.ts";
import { errno, errnoCell, libc } from "../ffi/libc.ts";
import { openSocketPair, transmit } from "../ffi/socket.ts";
import { closeAtThreadExit } from "../ffi/thread_exit.ts";
import { forgetOutput } from "./loop_driver.ts";
import { LoopHandle } from "./loop_handle.ts";

/** One turn of Deno's loop. */
export function macrotask(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

/** An eventfd that Deno's loop watches: the kernel, or anybody, writes to it. */
export class LoopEvent extends LoopHandle {
  /**
   * @param onFailure Called when it cannot be read any more.
   * @throws {SystemError} If there is no eventfd to be had.
   * @throws {Error} If this Deno has no such handle.
   */
  constructor(onEvent: () => void, onFailure: () => void) {
    const fd = retry(() => libc().eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    super("Pipe", check(fd, "eventfd"), onEvent, onFailure);
    // Each read of an eventfd is an event for whoever would write to it.
    forgetOutput(fd);
  }
}

/**
 * A timerfd that Deno's loop watches: a timer precise to microseconds. It does
 * not keep the process alive.
 */
export class LoopTimer extends LoopHandle {
  readonly #spec = new Uint8Array(ITIMERSPEC_SIZE);
  readonly #value = new Timespec();
  #armed = false;

  /**
   * @param onFailure Called when it cannot be read any more.
   * @throws {SystemError} If there is no timerfd to be had.
   * @throws {Error} If this Deno has no such handle.
   */
  constructor(onAlarm: () => void, onFailure: () => void) {
    const flags = TFD_CLOEXEC | TFD_NONBLOCK;
    const fd = retry(() => libc().timerfd_create(CLOCK_MONOTONIC, flags));
    super("Pipe", check(fd, "timerfd_create"), onAlarm, onFailure);
  }

  /**
   * Call once after `ms`; null: do not.
   *
   * @throws {SystemError} If the kernel refuses.
   */
  set(ms: number | null): void {
    if (ms === null && !this.#armed) return;
    this.#armed = ms !== null;
    // A zero time would disarm the timer instead of firing it.
    this.#spec.set(this.#value.set(ms === null ? 0 : Math.max(ms, 1e-6)), 16);
    const c = libc();
    while (c.timerfd_settime(this.fd, 0, this.#spec, null) < 0) {
      const error = errnoCell !== null ? errnoCell[0]! : errno();
      if (error !== EINTR) throw new SystemError(error, "timerfd_settime");
    }
  }
}

/**
 * Makes Deno's loop look at its I/O driver: a byte that it cannot find in any
 * other way. Unlike a timer it is there already, so the loop does not sleep.
 */
export class LoopSignal {
  readonly #handle: LoopHandle;
  readonly #far: number;
  readonly #keep: Disposable;
  readonly #byte = new Uint8Array(1);
  #resolve: ((arrived: boolean) => void) | null = null;
  #held = false;
  #failed = false;

  /**
   * @throws {SystemError} If there are no sockets to be had.
   * @throws {Error} If this Deno has no such handle.
   */
  constructor() {
    const [fd, far] = openSocketPair();
    this.#far = far;
    try {
      this.#handle = new LoopHandle(
        "TCP",
        fd,
        () => this.#arrived(true),
        () => this.#fail(),
      );
    } catch (error) {
      libc().close(far);
      throw error;
    }
    this.#keep = closeAtThreadExit(far);
  }

  /** A descriptor that Deno's loop is known to watch. */
  get fd(): number {
    return this.#handle.fd;
  }

  /**
   * Wait until the driver has been looked at. What it found is ready to run by
   * then, and has not run yet.
   *
   * @returns Whether it worked: not if somebody has closed our descriptor.
   */
  wait(): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    this.#resolve = resolve;
    if (this.#failed || transmit(this.#far, this.#byte) < 0) {
      this.#arrived(false);
    } else if (!this.#held) {
      this.#held = true;
      this.#handle.ref();
    }
    return promise;
  }

  /** Keep the process alive no longer, until the next {@linkcode wait}. */
  rest(): void {
    if (!this.#held) return;
    this.#held = false;
    this.#handle.unref();
  }

  /** Stop watching and close the descriptors. */
  close(): void {
    this.#keep[Symbol.dispose]();
    this.#handle.close();
    libc().close(this.#far);
    this.#arrived(true);
  }

  #fail(): void {
    this.#failed = true;
    this.#arrived(false);
  }

  #arrived(yes: boolean): void {
    const resolve = this.#resolve;
    this.#resolve = null;
    resolve?.(yes);
  }
}
