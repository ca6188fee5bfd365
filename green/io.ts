/**
 * Calling C functions that use a descriptor: {@linkcode systemCall} for those
 * that just fail, {@linkcode tryIO} for those that may not be ready, and
 * {@linkcode asyncIO} to try, wait and try again.
 *
 * The trap it guards: errno belongs to the thread, and whatever runs between a
 * call and the look at it (a garbage collection suffices) may change it. So the
 * call is made in here, and errno is read in the very next expression. Declare
 * the result of such a function `i32` rather than `isize`: a `bigint` has to be
 * allocated, and that alone may start a collection.
 *
 * @module
 */

import { EAGAIN, EINTR } from "../ffi/constants.ts";
import { SystemError } from "../ffi/errors.ts";
import { errno, errnoCell, libc } from "../ffi/libc.ts";
import { getHub } from "../hubs/registry.ts";
import { outer } from "../hubs/thrown.ts";
import { Timeout } from "../hubs/timeout.ts";
import {
  type HasFileno,
  trampoline,
  type TrampolineOptions,
} from "../hubs/trampoline.ts";
import { impatient, yielded } from "../hubs/wait.ts";

/** How {@linkcode asyncIO} waits; `timeout` limits all its waits together. */
export interface IOOptions extends TrampolineOptions {
  /** The name of the call, for the error if it fails, such as `"read"`. */
  syscall?: string | undefined;
}

/** A call into C: less than 0 means that it failed and set errno. */
export type SystemCall = () => number | bigint;

/**
 * Make a system call: its result as a number, or the error that errno names.
 *
 * A call that was interrupted (EINTR) is made again.
 *
 * @param call The call, and nothing else.
 * @param syscall Its name, for the error.
 * @throws {SystemError} If the result is negative.
 *
 * @example Open what may not be there
 * ```ts
 * import { SystemError, systemCall } from "../mod.ts";
 *
 * const libc = Deno.dlopen("libc.so.6", {
 *   dup: { parameters: ["i32"], result: "i32" },
 * });
 * try {
 *   systemCall(() => libc.symbols.dup(-1), "dup");
 * } catch (error) {
 *   if (!(error instanceof SystemError && error.code === "EBADF")) throw error;
 * }
 * libc.close();
 * ```
 */
export function systemCall(call: SystemCall, syscall: string): number {
  const result = tryIO(call, syscall);
  if (result === null) throw new SystemError(EAGAIN, syscall);
  return result;
}

/**
 * Make a system call on a non-blocking descriptor: its result as a number, or
 * null if the descriptor is not ready (EAGAIN). It never waits, so it may be
 * called in MAINLOOP, too.
 *
 * @param call The call, and nothing else.
 * @param syscall Its name, for the error.
 * @throws {SystemError} If it failed in any other way.
 */
export function tryIO(call: SystemCall, syscall: string): number | null {
  // Opens libc the first time, so that nothing comes between call and errno.
  libc();
  for (;;) {
    const result = call();
    if (result >= 0) return Number(result);
    const code = errnoCell !== null ? errnoCell[0]! : errno();
    if (code === EAGAIN) return null;
    if (code !== EINTR) throw new SystemError(code, syscall);
  }
}

/**
 * Make a system call on a non-blocking descriptor as soon as it is ready, and
 * resolve to its result: try first, wait on EAGAIN, try again.
 *
 * When the first try succeeds, it does not wait; but now and then it lets all
 * others run before it tries, lest one that is always ready starve them.
 *
 * @param target A descriptor, or something with `fileno()`.
 * @param options As for `trampoline`: what to wait for if it is not ready.
 * @param call The call, and nothing else. It may be made several times.
 * @throws {SystemError} If the call fails with anything but EAGAIN.
 * @throws What {@linkcode trampoline} throws.
 *
 * @example Read what somebody writes later
 * ```ts
 * import { asyncIO, spawn, systemCall } from "../mod.ts";
 *
 * const libc = Deno.dlopen("libc.so.6", {
 *   eventfd: { parameters: ["u32", "i32"], result: "i32" },
 *   eventfd_write: { parameters: ["i32", "u64"], result: "i32" },
 *   read: { parameters: ["i32", "buffer", "u32"], result: "i32" },
 *   close: { parameters: ["i32"], result: "i32" },
 * });
 * const { eventfd, eventfd_write, read, close } = libc.symbols;
 * const fd = systemCall(() => eventfd(0, 0o4000), "eventfd"); // non-blocking
 * const value = new BigUint64Array(1);
 * spawn(() => eventfd_write(fd, 5n));
 * await asyncIO(fd, { read: true }, () => read(fd, value, 8));
 * if (value[0] !== 5n) throw new Error(`${value[0]}`);
 * close(fd);
 * libc.close();
 * ```
 */
export function asyncIO(
  target: number | HasFileno,
  options: IOOptions,
  call: SystemCall,
): Promise<number> {
  return outer(keepTrying(target, options, call));
}

async function keepTrying(
  target: number | HasFileno,
  options: IOOptions,
  call: SystemCall,
): Promise<number> {
  const { timeout = null, syscall = options.read ? "read" : "write" } = options;
  // One that is always ready would let nobody else run.
  if (impatient()) {
    // A wrong target is for the wait to complain of.
    const fd = typeof target === "number" ? target : target?.fileno?.() ?? -1;
    const turn = yielded(undefined);
    await getHub().useLater(fd, turn, options.markAsClosed ?? null);
  }
  let waiting = options;
  let deadline: number | null = null;
  for (;;) {
    const result = tryIO(call, syscall);
    if (result !== null) return result;
    if (timeout !== null && timeout !== Infinity) {
      const now = getHub().clock();
      deadline ??= now + timeout;
      waiting = {
        ...options,
        timeout: deadline - now,
        timeoutError: options.timeoutError ?? Timeout.expired(timeout),
      };
    }
    await trampoline(target, waiting);
  }
}
