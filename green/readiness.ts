/**
 * Waiting for a descriptor as other people's libraries ask for it: for reading
 * *or* writing in one wait ({@linkcode waitReady}), and again and again
 * ({@linkcode readiness}).
 *
 * The trap it guards: a wait for two things has two listeners, and whichever
 * end it comes to, neither may stay. Nor may it report half of what is there:
 * both listeners of one sweep are heard before the waiter is resumed.
 *
 * @module
 */

import { checkedBoolean } from "../hubs/checks.ts";
import { HubError, IOClosed } from "../hubs/errors.ts";
import { getCurrent } from "../hubs/current.ts";
import { parkEnded, suspend } from "../hubs/suspend.ts";
import type { BaseHub } from "../hubs/hub.ts";
import type { FdListener } from "../hubs/listeners.ts";
import { type Interest, READ, WRITE } from "../hubs/poller.ts";
import { getHub } from "../hubs/registry.ts";
import type { Cancellable } from "../hubs/scheduler.ts";
import type { Suspension, SuspensionOwner } from "../hubs/suspension.ts";
import { outer, refused } from "../hubs/thrown.ts";
import { makeError, Timeout } from "../hubs/timeout.ts";
import {
  checkWait,
  type HasFileno,
  type TrampolineOptions,
} from "../hubs/trampoline.ts";

/**
 * How {@linkcode waitReady} waits: as `trampoline` does, but for `read`, for
 * `write`, or for either.
 */
export type ReadyOptions = TrampolineOptions;

/** What a descriptor was found ready for, of what was asked for. */
export interface Readiness {
  /** The descriptor. */
  readonly fd: number;
  /** It can be read, or has hung up, or is in error. */
  readonly readable: boolean;
  /** It can be written, or has hung up, or is in error. */
  readonly writable: boolean;
}

/** A wait under way: its listeners, and what else must be undone. */
class ReadyWait implements SuspensionOwner {
  readonly #hub: BaseHub;
  readonly #fd: number;
  readonly #options: ReadyOptions;
  readonly #listeners: FdListener[] = [];
  #suspension: Suspension | null = null;
  #timer: Cancellable | null = null;
  #found = 0;

  constructor(hub: BaseHub, fd: number, options: ReadyOptions) {
    this.#hub = hub;
    this.#fd = fd;
    this.#options = options;
  }

  start(): Promise<Readiness> {
    const { read, write, timeout, signal } = this.#options;
    const suspension = suspend(this.#hub, this);
    try {
      if (read) this.#listen(READ);
      if (write) this.#listen(WRITE);
      if (timeout !== undefined && timeout !== null && timeout !== Infinity) {
        this.#timer = this.#hub.expireLater(
          Math.max(0, timeout),
          this.#conclude,
          this.#listeners[0],
        );
      }
    } catch (error) {
      this.#undo();
      suspension.withdraw();
      throw error;
    }
    this.#suspension = suspension;
    signal?.addEventListener("abort", this.#onAbort, { once: true });
    return suspension.promise as Promise<Readiness>;
  }

  /** End it with an error, if it has not ended. */
  breakOff(error: Error): void {
    this.#suspension?.throw(error);
  }

  /** It was broken off: by kill, throw, timeout, abort or close. */
  abandoned(): void {
    this.#undo();
  }

  #listen(evtype: Interest): void {
    // One party, told once, though it has two listeners.
    const markAsClosed = this.#listeners.length === 0
      ? this.#options.markAsClosed ?? null
      : null;
    this.#listeners.push(this.#hub.add(
      evtype,
      this.#fd,
      () => this.#onReady(evtype),
      (error) => this.breakOff(error),
      markAsClosed,
    ));
  }

  #onReady(evtype: Interest): void {
    const first = this.#found === 0;
    this.#found |= evtype;
    if (this.#listeners.length === 1) this.#conclude();
    // The other one may be behind it in this very sweep.
    else if (first) this.#hub.expire(this.#conclude);
  }

  readonly #conclude = (): void => {
    const suspension = this.#suspension;
    if (suspension === null) return;
    if (this.#found === 0) {
      const { timeout = null, timeoutError } = this.#options;
      suspension.throw(
        timeoutError === undefined
          ? Timeout.expired(timeout)
          : makeError(timeoutError),
      );
      return;
    }
    this.#undo();
    suspension.resume({
      fd: this.#fd,
      readable: (this.#found & READ) !== 0,
      writable: (this.#found & WRITE) !== 0,
    });
  };

  readonly #onAbort = (): void => {
    this.#suspension?.abort(this.#options.signal?.reason);
  };

  #undo(): void {
    this.#suspension = null;
    for (const listener of this.#listeners) this.#hub.remove(listener);
    this.#timer?.cancel();
    this.#timer = null;
    this.#options.signal?.removeEventListener("abort", this.#onAbort);
  }
}

/**
 * Suspend the current greenthread (or main) until a descriptor can be read or
 * written, whichever comes first, and say which.
 *
 * `trampoline` waits for one direction, as eventlet's does. A library with its
 * own idea of what comes next often wants either: libpq while it sends a query
 * and must not let the server's answers pile up, TLS in a handshake. Otherwise
 * it is `trampoline`: readiness is a hint, data that is there wins over
 * `timeout: 0`, and every end of the wait leaves no listener and no timer.
 *
 * @param target A descriptor, or something with `fileno()`.
 * @param options Which readiness, and what may end the wait.
 * @returns What it is ready for, of what was asked for: one of the two, or both.
 * @throws {TypeError} If neither `read` nor `write` is true, or an argument has
 * the wrong type.
 * @throws {RangeError} If the descriptor is no integer from 0, or `timeout` NaN.
 * @throws {HubError} From MAINLOOP, or if another greenthread waits for the same.
 * @throws {SystemError} EBADF if the descriptor is not open.
 * @throws {IOClosed} If the descriptor is closed or handed out anew meanwhile.
 * @throws {Timeout} Or `timeoutError`, if the time is over.
 *
 * @example An eventfd can be written at once, and read after that
 * ```ts
 * import { waitReady } from "../mod.ts";
 *
 * const libc = Deno.dlopen("libc.so.6", {
 *   eventfd: { parameters: ["u32", "i32"], result: "i32" },
 *   eventfd_write: { parameters: ["i32", "u64"], result: "i32" },
 *   close: { parameters: ["i32"], result: "i32" },
 * });
 * const fd = libc.symbols.eventfd(0, 0);
 * const first = await waitReady(fd, { read: true, write: true });
 * if (first.readable || !first.writable) throw new Error("not writable only");
 * libc.symbols.eventfd_write(fd, 1n);
 * const then = await waitReady(fd, { read: true, write: true });
 * if (!then.readable || !then.writable) throw new Error("not both");
 * libc.symbols.close(fd);
 * libc.close();
 * ```
 */
export function waitReady(
  target: number | HasFileno,
  options: ReadyOptions,
): Promise<Readiness> {
  try {
    return prepare(target, options).start();
  } catch (error) {
    return refused(error);
  }
}

/**
 * Iterate over the readiness of a descriptor: one {@linkcode waitReady} per
 * step, so `timeout` limits each of them.
 *
 * Take what is there in each step: a descriptor that stays ready comes again at
 * once. Between two steps nothing is waited for. The loop ends when the
 * descriptor is closed under it (`notifyClose`), or `fileno()` says -1, as a
 * loop over a closed `Deno.Listener` does; every other error of `waitReady` is
 * thrown out of it. Leaving the loop leaves nothing behind, also with a step
 * still pending.
 *
 * @param target A descriptor, or something with `fileno()`.
 * @param options As for `waitReady`.
 * @throws {TypeError} If neither `read` nor `write` is true, or one is no
 * boolean.
 *
 * @example Count the ticks of a timerfd
 * ```ts
 * import { readiness } from "../mod.ts";
 *
 * const libc = Deno.dlopen("libc.so.6", {
 *   timerfd_create: { parameters: ["i32", "i32"], result: "i32" },
 *   timerfd_settime: {
 *     parameters: ["i32", "i32", "buffer", "pointer"],
 *     result: "i32",
 *   },
 *   read: { parameters: ["i32", "buffer", "u32"], result: "i32" },
 *   close: { parameters: ["i32"], result: "i32" },
 * });
 * const fd = libc.symbols.timerfd_create(1, 0); // CLOCK_MONOTONIC
 * const every2ms = new BigInt64Array([0n, 2_000_000n, 0n, 2_000_000n]);
 * libc.symbols.timerfd_settime(fd, 0, every2ms, null);
 * const ticks = new BigUint64Array(1);
 * let count = 0n;
 * for await (const _ of readiness(fd, { read: true })) {
 *   libc.symbols.read(fd, ticks, 8);
 *   count += ticks[0]!;
 *   if (count >= 3n) break;
 * }
 * libc.symbols.close(fd);
 * libc.close();
 * ```
 */
export function readiness(
  target: number | HasFileno,
  options: ReadyOptions,
): AsyncIterableIterator<Readiness, void> {
  checkInterest(options);
  return new ReadinessIterator(target, options);
}

/** What breaks off a step that is pending when the loop is left. */
const LEFT = new Error("The loop over readiness was left");

class ReadinessIterator implements AsyncIterableIterator<Readiness, void> {
  readonly #target: number | HasFileno;
  readonly #options: ReadyOptions;
  readonly #pending = new Set<ReadyWait>();
  #done = false;

  constructor(target: number | HasFileno, options: ReadyOptions) {
    this.#target = target;
    this.#options = options;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<Readiness, void>> {
    return outer(this.#next());
  }

  async #next(): Promise<IteratorResult<Readiness, void>> {
    if (this.#done || closed(this.#target)) return this.return();
    let wait: ReadyWait | null = null;
    try {
      wait = prepare(this.#target, this.#options);
      this.#pending.add(wait);
      return { done: false, value: await wait.start() };
    } catch (error) {
      this.#done = true;
      if (error !== LEFT && !(error instanceof IOClosed)) throw error;
      return { done: true, value: undefined };
    } finally {
      if (wait !== null) this.#pending.delete(wait);
    }
  }

  async return(): Promise<IteratorResult<Readiness, void>> {
    this.#done = true;
    for (const wait of this.#pending) wait.breakOff(LEFT);
    await parkEnded();
    return { done: true, value: undefined };
  }
}

function prepare(
  target: number | HasFileno,
  options: ReadyOptions,
): ReadyWait {
  const hub = getHub();
  if (getCurrent().isMainloop) {
    throw new HubError(
      "Cannot wait for readiness: do not call blocking functions from the mainloop",
    );
  }
  checkInterest(options);
  return new ReadyWait(hub, checkWait(target, options), options);
}

/** What has a descriptor says -1 once it is closed, between two steps too. */
function closed(target: number | HasFileno): boolean {
  return typeof target === "object" && target?.fileno?.() === -1;
}

function checkInterest(options: ReadyOptions): void {
  const read = checkedBoolean(options?.read, "read", "wait");
  const write = checkedBoolean(options?.write, "write", "wait");
  if (!read && !write) {
    throw new TypeError(
      "Cannot wait: at least one of the options read and write must be true",
    );
  }
}
