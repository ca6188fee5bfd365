/**
 * The little of C that the recipes share: strings, errno, and the one way to
 * use a non-blocking descriptor: try, and wait only on EAGAIN.
 */

import { SystemError, trampoline } from "../../mod.ts";

const libc = Deno.dlopen("libc.so.6", {
  __errno_location: { parameters: [], result: "pointer" },
}).symbols;

// errno is the thread's own, and does not move while the thread lives.
const errno = new Deno.UnsafePointerView(libc.__errno_location()!);

const EINTR = 4;
const EAGAIN = 11;

/** A NUL-terminated string for a `const char *` parameter. */
export function cString(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(`${text}\0`);
}

/** The string behind a `char *` result; "" for NULL. */
export function textAt(pointer: Deno.PointerValue): string {
  return pointer === null ? "" : Deno.UnsafePointerView.getCString(pointer);
}

/** The result of a call, or what errno says if it is -1. */
export function check(result: number | bigint, syscall: string): number {
  if (result < 0) throw new SystemError(errno.getInt32(), syscall);
  return Number(result);
}

/** The result of a call, or `null` if the descriptor is not ready (EAGAIN). */
export function attempt(
  call: () => number | bigint,
  syscall: string,
): number | null {
  for (;;) {
    const result = call();
    if (result >= 0) return Number(result);
    // Read at once: the next call of anybody's overwrites it.
    const code = errno.getInt32();
    if (code === EAGAIN) return null;
    if (code !== EINTR) throw new SystemError(code, syscall);
  }
}

/** Call as soon as `fd` can be read, and return how it went. */
export async function reading(
  fd: number,
  call: () => number | bigint,
  syscall = "read",
): Promise<number> {
  for (;;) {
    const result = attempt(call, syscall);
    if (result !== null) return result;
    await trampoline(fd, { read: true });
  }
}

/** Call as soon as `fd` can be written, and return how it went. */
export async function writing(
  fd: number,
  call: () => number | bigint,
  syscall = "write",
): Promise<number> {
  for (;;) {
    const result = attempt(call, syscall);
    if (result !== null) return result;
    await trampoline(fd, { write: true });
  }
}
