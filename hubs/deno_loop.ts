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
  EINTR,
  TFD_CLOEXEC,
  TFD_NONBLOCK,
} from "../ffi/constants.ts";
import { check, retry, SystemError } from "../ffi/errors.ts";
import { ITIMERSPEC_SIZE, Timespec } from "../ffi/layout.ts";
import { errno, libc } from "../ffi/libc.ts";
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
  readStop(): number;
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

/** So often in a row reading may fail before it is given up. */
const MOST_FAILURES = 16;

/** What {@linkcode process.binding} gives, as far as it is used. */
interface Binding extends
  Record<
    HandleKind,
    new (type: number) => StreamHandle
  > {
  readonly constants: { readonly SOCKET: number };
  readonly streamBaseState?: Int32Array;
}

function binding(name: string): Binding {
  const owner = process as unknown as { binding(name: string): Binding };
  return owner.binding(name);
}

let state: Int32Array | undefined;

/** What the read behind an `onread` gave: bytes, or -errno. */
function lastRead(): number {
  // Taken for granted where this Deno does not tell.
  state ??= binding("stream_wrap").streamBaseState ?? Int32Array.of(1);
  return state[0]!;
}

/**
 * A descriptor that Deno's loop reads for us. After it became readable,
 * `onEvent` is called from the loop. It keeps the process alive between `ref()`
 * and `unref()` only.
 *
 * A read that fails (a signal suffices) ends all reading, and looks like data
 * but for the count: it is begun anew. `onFailure` is called when that does not
 * help.
 */
class LoopHandle {
  readonly fd: number;
  readonly #handle: StreamHandle;
  readonly #keep: Disposable | null;
  readonly #onEvent: () => void;
  readonly #onFailure: () => void;
  #failures = 0;
  #closed = false;

  constructor(
    kind: HandleKind,
    fd: number,
    onEvent: () => void,
    onFailure: () => void,
  ) {
    this.fd = fd;
    this.#onEvent = onEvent;
    this.#onFailure = onFailure;
    let close = (): void => void libc().close(fd);
    try {
      const found = binding(BINDINGS[kind]);
      const handle = this.#handle = new found[kind](found.constants.SOCKET);
      handle.onread = () => this.#read();
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
    this.#closed = true;
    this.#keep?.[Symbol.dispose]();
    this.#handle.close();
  }

  #read(): void {
    if (lastRead() > 0) {
      this.#failures = 0;
      this.#onEvent();
    } else if (!this.#closed) {
      // Not now: Deno stops reading once this has returned.
      setImmediate(() => this.#readAgain());
    }
  }

  #readAgain(): void {
    if (this.#closed) return;
    if (++this.#failures > MOST_FAILURES) {
      this.#onFailure();
      return;
    }
    // Without the stop, Deno's I/O driver is not asked about a socket again.
    this.#handle.readStop();
    if (this.#handle.readStart() !== 0) this.#onFailure();
  }
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
      const error = errno();
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
