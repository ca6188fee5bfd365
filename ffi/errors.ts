/**
 * What the kernel refused: {@linkcode SystemError}, and {@linkcode check},
 * which turns a failed call into one.
 *
 * The trap it guards: errno is the thread's, and the next libc call (a
 * garbage collection suffices) may overwrite it, so it is read in the very
 * next expression after the call.
 *
 * @module
 */

import { EINTR, ERRNO } from "./constants.ts";
import { errno, errnoCell } from "./libc.ts";

const NAMES = new Map(Object.entries(ERRNO).map(([k, v]) => [v, k]));

/** The symbolic name of an errno value, such as `"EBADF"`. */
export function errnoName(value: number): string {
  return NAMES.get(value) ?? `errno ${value}`;
}

/**
 * A system call failed.
 *
 * @example Tell one refusal from another
 * ```ts
 * import { SystemError } from "./errors.ts";
 *
 * const error = new SystemError(9, "epoll_ctl", "Cannot watch fd 7");
 * if (error.code !== "EBADF") throw error;
 * ```
 */
export class SystemError extends Error {
  /** The name of the error, such as `"EBADF"` (errno(3)). */
  readonly code: string;
  /** The number of the error on this platform. */
  readonly errno: number;
  /** The system call that failed, such as `"epoll_ctl"`. */
  readonly syscall: string;

  /**
   * Describe a failed call.
   *
   * @param errno The number the kernel gave.
   * @param syscall The name of the call.
   * @param action What could not be done, in words; the code is appended.
   */
  constructor(errno: number, syscall: string, action?: string) {
    const code = errnoName(errno);
    super(`${action ?? `Cannot ${syscall}`}: ${code} (${syscall})`);
    this.name = "SystemError";
    this.code = code;
    this.errno = errno;
    this.syscall = syscall;
  }
}

/**
 * Return `rc`, or throw what errno says if it is negative.
 *
 * Call it with nothing between the call and the check:
 * `check(libc().eventfd(0, flags), "eventfd")`.
 *
 * @throws {SystemError} If `rc` is negative.
 */
export function check(rc: number, syscall: string, action?: string): number {
  if (rc < 0) throw new SystemError(errno(), syscall, action);
  return rc;
}

/**
 * Make a call again as long as a signal interrupts it, and return what it
 * returns then. For calls that are rare: `check(retry(() => ...), "name")`.
 */
export function retry(call: () => number): number {
  for (;;) {
    const rc = call();
    if (rc >= 0) return rc;
    const error = errnoCell !== null ? errnoCell[0]! : errno();
    if (error !== EINTR) return rc;
  }
}
