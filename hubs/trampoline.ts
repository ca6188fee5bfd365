/**
 * `trampoline`: the one switch point for I/O, and the two notices about
 * descriptors that come and go.
 *
 * The trap it guards: a wait has many ends (ready, timeout, kill, abort, close,
 * error), and each must leave no listener and no timer behind. A wait is one
 * object that knows how to undo itself.
 *
 * @module
 */

import { HubError } from "./errors.ts";
import { getCurrent } from "./current.ts";
import type { GreenThread } from "./greenthread.ts";
import { suspend } from "./suspend.ts";
import { checkDelay, checkedBoolean, checkedFd } from "./checks.ts";
import type { BaseHub } from "./hub.ts";
import { FdListener } from "./listeners.ts";
import { type Interest, READ, WRITE } from "./poller.ts";
import { getHub } from "./registry.ts";
import type { Cancellable } from "./scheduler.ts";
import type { Suspension, SuspensionOwner } from "./suspension.ts";
import { thread } from "./thread.ts";
import {
  checkedError,
  type ErrorSource,
  makeError,
  Timeout,
} from "./timeout.ts";

/** How {@linkcode trampoline} waits. Exactly one of `read` and `write`. */
export interface TrampolineOptions {
  /** Wait until the descriptor can be read. */
  read?: boolean | undefined;
  /** Wait until the descriptor can be written. */
  write?: boolean | undefined;
  /** Give up after so many milliseconds; null or undefined: never. */
  timeout?: number | null | undefined;
  /** What to reject with when time runs out; default a {@linkcode Timeout}. */
  timeoutError?: Error | (new () => Error) | undefined;
  /** Called if `notifyOpened(fd)` says that the number was handed out anew. */
  markAsClosed?: (() => void) | undefined;
  /** Abort the wait with `signal.reason`. */
  signal?: AbortSignal | undefined;
}

/** Something with a descriptor. */
export interface HasFileno {
  /** The number of its descriptor. */
  fileno(): number;
}

/** A trampoline under way: the listener, and what else must be undone. */
class Wait extends FdListener implements SuspensionOwner {
  readonly hub: BaseHub;
  suspension: Suspension | null = null;
  timer: Cancellable | null = null;
  signal: AbortSignal | null = null;
  readonly markAsClosed: (() => void) | null;
  readonly greenlet: GreenThread = getCurrent();
  readonly stack: string | null = thread.settings.listenerStacks
    ? new Error().stack ?? ""
    : null;
  readonly #timeoutError: ErrorSource | undefined;
  readonly #timeout: number | null;

  constructor(
    hub: BaseHub,
    fd: number,
    evtype: Interest,
    options: TrampolineOptions,
  ) {
    super(evtype, fd);
    this.hub = hub;
    this.markAsClosed = options.markAsClosed ?? null;
    this.#timeout = options.timeout ?? null;
    this.#timeoutError = options.timeoutError;
  }

  get cb(): (fd: number) => void {
    return onReady;
  }

  get tb(): (error: Error) => void {
    return onLost;
  }

  /** The deadline has passed, and there is no data. */
  expire(): void {
    this.suspension?.throw(
      this.#timeoutError === undefined
        ? Timeout.expired(this.#timeout)
        : makeError(this.#timeoutError),
    );
  }

  /** The signal is aborted: it has us for its listener. */
  handleEvent(): void {
    this.suspension?.abort(this.signal?.reason);
  }

  /** Take down everything that was set up. */
  undo(): void {
    this.suspension = null;
    this.hub.removeListener(this);
    if (this.timer !== null) {
      this.timer.cancel();
      this.timer = null;
    }
    if (this.signal !== null) {
      this.signal.removeEventListener("abort", this);
      this.signal = null;
    }
  }

  abandoned(): void {
    this.undo();
  }
}

// Shared by all waits, and called as methods of theirs: no closure per wait.
function onReady(this: Wait, fd: number): void {
  const { suspension } = this;
  this.undo();
  suspension?.resume(fd);
}

function onLost(this: Wait, error: Error): void {
  this.suspension?.throw(error);
}

function interestOf(options: TrampolineOptions): Interest {
  const read = checkedBoolean(options?.read, "read", "wait");
  const write = checkedBoolean(options?.write, "write", "wait");
  if (read === write) {
    throw new TypeError(
      "Cannot wait: exactly one of the options read and write must be true",
    );
  }
  return read ? READ : WRITE;
}

/**
 * Check what every wait for a descriptor is given, and return the descriptor.
 *
 * @throws {TypeError} If an argument has the wrong type.
 * @throws {RangeError} If the descriptor is no integer from 0, or `timeout` NaN.
 * @throws `signal.reason`, if it is aborted already.
 * @internal
 */
export function checkWait(
  target: number | HasFileno,
  options: Omit<TrampolineOptions, "read" | "write">,
): number {
  const fd = checkedFd(
    typeof (target as HasFileno | null)?.fileno === "function"
      ? (target as HasFileno).fileno()
      : target,
  );
  const { timeout, signal, timeoutError, markAsClosed } = options;
  if (timeout !== undefined && timeout !== null) checkDelay(timeout);
  if (timeoutError !== undefined) checkedError(timeoutError, "timeoutError");
  if (markAsClosed !== undefined && typeof markAsClosed !== "function") {
    throw new TypeError("Cannot wait: markAsClosed is no function");
  }
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw new TypeError("Cannot wait: signal is no AbortSignal");
  }
  signal?.throwIfAborted();
  return fd;
}

function start(
  target: number | HasFileno,
  options: TrampolineOptions,
): Promise<number> {
  const hub = getHub();
  if (getCurrent().isMainloop) {
    throw new HubError(
      "Cannot trampoline: do not call blocking functions from the mainloop",
    );
  }
  const evtype = interestOf(options);
  const fd = checkWait(target, options);
  const { timeout, signal } = options;

  const wait = new Wait(hub, fd, evtype, options);
  const suspension = suspend(hub, wait);
  try {
    hub.addListener(wait);
    if (timeout !== undefined && timeout !== null && timeout !== Infinity) {
      const expire = (): void => wait.expire();
      wait.timer = hub.expireLater(Math.max(0, timeout), expire, wait);
    }
  } catch (error) {
    wait.undo();
    suspension.withdraw();
    throw error;
  }
  wait.suspension = suspension;
  if (signal !== undefined) {
    wait.signal = signal;
    signal.addEventListener("abort", wait, { once: true });
  }
  return suspension.promise as Promise<number>;
}

/**
 * Suspend the current greenthread (or main) until a descriptor is ready.
 *
 * Resolves to the descriptor. Readiness is a hint, as everywhere: somebody else
 * may be quicker, so use a non-blocking descriptor and wait again on EAGAIN.
 * Data that is already there wins over `timeout: 0`; a hang-up or an error
 * makes the descriptor ready for both; a regular file is always ready.
 *
 * @param target A descriptor, or something with `fileno()`.
 * @param options Which readiness, and what may end the wait.
 * @returns The descriptor.
 * @throws {TypeError} If not exactly one of `read` and `write` is true, or an
 * argument has the wrong type.
 * @throws {RangeError} If the descriptor is no integer from 0, or `timeout` NaN.
 * @throws {HubError} From MAINLOOP, or if another greenthread waits for the same.
 * @throws {SystemError} EBADF if the descriptor is not open.
 * @throws {IOClosed} If the descriptor is closed or handed out anew meanwhile.
 * @throws {Timeout} Or `timeoutError`, if the time is over.
 *
 * @example Wait for a pipe
 * ```ts
 * import { trampoline } from "../mod.ts";
 *
 * const libc = Deno.dlopen("libc.so.6", {
 *   pipe: { parameters: ["buffer"], result: "i32" },
 *   write: { parameters: ["i32", "buffer", "usize"], result: "isize" },
 *   close: { parameters: ["i32"], result: "i32" },
 * });
 * const [reader, writer] = ((fds) => (libc.symbols.pipe(fds), fds))(
 *   new Int32Array(2),
 * );
 * libc.symbols.write(writer!, new Uint8Array([1]), 1n);
 * if (await trampoline(reader!, { read: true }) !== reader) throw new Error();
 * libc.symbols.close(reader!);
 * libc.symbols.close(writer!);
 * libc.close();
 * ```
 */
export function trampoline(
  target: number | HasFileno,
  options: TrampolineOptions,
): Promise<number> {
  try {
    return start(target, options);
  } catch (error) {
    return Promise.reject(error);
  }
}

/**
 * Say that `fd` is about to be closed: everybody who waits for it gets
 * {@linkcode IOClosed} within one pass. Call it just before the close.
 *
 * @throws {TypeError} If `fd` is no number.
 * @throws {RangeError} If it is no integer from 0.
 */
export function notifyClose(fd: number): void {
  const checked = checkedFd(fd, "give notice");
  (thread.hub as BaseHub | null)?.notifyClose(checked);
}

/**
 * Say that the system has handed out the number `fd` anew, for instance after
 * a library opened a descriptor: whoever still waits for the one that had the
 * number before gets {@linkcode IOClosed}. Call it before waiting for the new.
 *
 * @throws {TypeError} If `fd` is no number.
 * @throws {RangeError} If it is no integer from 0.
 */
export function notifyOpened(fd: number): void {
  const checked = checkedFd(fd, "give notice");
  (thread.hub as BaseHub | null)?.markAsReopened(checked);
}
