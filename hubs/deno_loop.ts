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

import process from "node:process";
import {
  CLOCK_MONOTONIC,
  EFD_CLOEXEC,
  EFD_NONBLOCK,
  TFD_CLOEXEC,
  TFD_NONBLOCK,
} from "../ffi/constants.ts";
import { check } from "../ffi/errors.ts";
import { ITIMERSPEC_SIZE, Timespec } from "../ffi/layout.ts";
import { libc } from "../ffi/libc.ts";
import { openSocketPair, transmit } from "../ffi/socket.ts";
import { closeAtThreadExit } from "../ffi/thread_exit.ts";
import { forgetOutput } from "./loop_driver.ts";

/** One turn of Deno's loop. */
export function macrotask(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

/** The part of Node's internal stream handles that is used. */
interface StreamHandle {
  onread: () => void;
  open(fd: number): number;
  useUserBuffer(buffer: Uint8Array): void;
  readStart(): number;
  close(): void;
  ref(): void;
  unref(): void;
}

/**
 * The two kinds of handle. Each time the loop turns it reads the descriptor of
 * a `Pipe`, which may be any, and that of a `TCP`, which must be a socket, only
 * after its I/O driver has seen it readable.
 */
type HandleKind = "Pipe" | "TCP";

const BINDINGS = { Pipe: "pipe_wrap", TCP: "tcp_wrap" } as const;

function makeHandle(kind: HandleKind): StreamHandle {
  const { binding } = process as unknown as {
    binding(
      name: string,
    ): Record<HandleKind, new (type: number) => StreamHandle> & {
      constants: { SOCKET: number };
    };
  };
  const found = binding.call(process, BINDINGS[kind]);
  return new found[kind](found.constants.SOCKET);
}

/**
 * A descriptor that Deno's loop reads for us. After it became readable,
 * `onEvent` is called from the loop. It keeps the process alive between `ref()`
 * and `unref()` only.
 */
class LoopHandle {
  readonly fd: number;
  readonly #handle: StreamHandle;
  readonly #keep: Disposable | null;

  constructor(kind: HandleKind, fd: number, onEvent: () => void) {
    this.fd = fd;
    let close = (): void => void libc().close(fd);
    try {
      const handle = this.#handle = makeHandle(kind);
      handle.onread = onEvent;
      let opened = handle.open(fd) === 0;
      if (opened) {
        close = () => handle.close();
        if (kind === "TCP") handle.useUserBuffer(new Uint8Array(16));
        opened = handle.readStart() === 0;
      }
      if (!opened) {
        throw new Error("Cannot watch a descriptor with Deno's loop");
      }
    } catch (error) {
      close();
      throw error;
    }
    this.#handle.unref();
    // The other kind sees to that by itself.
    this.#keep = kind === "Pipe" ? closeAtThreadExit(fd) : null;
  }

  /** Keep the process alive. */
  ref(): void {
    this.#handle.ref();
  }

  /** Do not keep the process alive. */
  unref(): void {
    this.#handle.unref();
  }

  /** Stop watching and close the descriptor. */
  close(): void {
    this.#keep?.[Symbol.dispose]();
    this.#handle.close();
  }
}

/** An eventfd that Deno's loop watches: the kernel, or anybody, writes to it. */
export class LoopEvent extends LoopHandle {
  /**
   * @throws {SystemError} If there is no eventfd to be had.
   * @throws {Error} If this Deno has no such handle.
   */
  constructor(onEvent: () => void) {
    const fd = libc().eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    super("Pipe", check(fd, "eventfd"), onEvent);
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
   * @throws {SystemError} If there is no timerfd to be had.
   * @throws {Error} If this Deno has no such handle.
   */
  constructor(onAlarm: () => void) {
    const fd = libc().timerfd_create(
      CLOCK_MONOTONIC,
      TFD_CLOEXEC | TFD_NONBLOCK,
    );
    super("Pipe", check(fd, "timerfd_create"), onAlarm);
  }

  /** Call once after `ms`; null: do not. */
  set(ms: number | null): void {
    if (ms === null && !this.#armed) return;
    this.#armed = ms !== null;
    // A zero time would disarm the timer instead of firing it.
    this.#spec.set(this.#value.set(ms === null ? 0 : Math.max(ms, 1e-6)), 16);
    libc().timerfd_settime(this.fd, 0, this.#spec, null);
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

  /**
   * @throws {SystemError} If there are no sockets to be had.
   * @throws {Error} If this Deno has no such handle.
   */
  constructor() {
    const [fd, far] = openSocketPair();
    this.#far = far;
    try {
      this.#handle = new LoopHandle("TCP", fd, () => this.#arrived(true));
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
    if (transmit(this.#far, this.#byte) < 0) this.#arrived(false);
    else if (!this.#held) {
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

  #arrived(yes: boolean): void {
    const resolve = this.#resolve;
    this.#resolve = null;
    resolve?.(yes);
  }
}
