/**
 * Opens libc once per thread, lazily, and reads errno.
 *
 * Traps it guards: a bare library name under a scoped grant resolves against
 * the current folder, so there libc is opened by absolute path; `Deno.dlopen`
 * without a grant would prompt, so the permission is asked for first, quietly;
 * and a scoped grant refuses every `UnsafePointer*`, so errno has a second way
 * (`memcpy` out of `__errno_location()`).
 *
 * @module
 */

import { keepCallback } from "./event_callback.ts";
import { COMMON, DARWIN, LINUX, SOCKETS } from "./symbols.ts";

type Linux = typeof COMMON & typeof SOCKETS & typeof LINUX;

/** Everything of libc we call, by C name; Linux-only parts exist there alone. */
export type Libc = Deno.DynamicLibrary<Linux>["symbols"];

const SONAME = Deno.build.os === "darwin"
  ? "/usr/lib/libSystem.B.dylib"
  : "libc.so.6";

const TRIPLET = `${Deno.build.arch}-linux-gnu`;

/** Where libc usually is; the first path that is granted and opens is used. */
export const LIBC_PATHS: readonly string[] = Deno.build.os === "darwin"
  ? ["/usr/lib/libSystem.B.dylib", "/usr/lib/libSystem.dylib"]
  : [
    `/lib/${TRIPLET}/libc.so.6`,
    `/usr/lib/${TRIPLET}/libc.so.6`,
    "/lib64/libc.so.6",
    "/usr/lib64/libc.so.6",
    "/lib/libc.so.6",
    "/usr/lib/libc.so.6",
    `/lib/ld-musl-${Deno.build.arch}.so.1`,
    `/lib/libc.musl-${Deno.build.arch}.so.1`,
    `/usr/lib/ld-musl-${Deno.build.arch}.so.1`,
  ];

let symbols: Libc | null = null;
let readErrno: () => number = () => 0;

/**
 * errno itself, once libc is open; null under a scoped grant.
 *
 * The trap it guards: where a function begins, V8 may put the code in place
 * that it has optimized meanwhile, and the system calls that takes overwrite
 * errno. So whoever does not call rarely reads it without a call:
 * `errnoCell !== null ? errnoCell[0]! : errno()`.
 */
export let errnoCell: Int32Array | null = null;

/** Whether FFI is granted in full, rather than for named libraries only. */
export function hasFullGrant(): boolean {
  return Deno.permissions.querySync({ name: "ffi" }).state === "granted";
}

/** Open one library without ever prompting; null if this path is no good. */
function tryOpen(path: string): Libc | null {
  const table = Deno.build.os === "darwin"
    ? { ...COMMON, ...SOCKETS, ...DARWIN }
    : { ...COMMON, ...SOCKETS, ...LINUX };
  try {
    return Deno.dlopen(path, table).symbols as unknown as Libc;
  } catch {
    return null;
  }
}

function open(): Libc {
  const full = hasFullGrant();
  const granted = full
    ? [SONAME, ...LIBC_PATHS]
    : LIBC_PATHS.filter((path) =>
      Deno.permissions.querySync({ name: "ffi", path }).state === "granted"
    );
  for (const path of granted) {
    const opened = tryOpen(path);
    if (opened !== null) return opened;
  }
  if (granted.length === 0) {
    throw new Deno.errors.NotCapable(
      "Cannot open libc: FFI is not granted; run with --allow-ffi, or with " +
        "--allow-ffi=<absolute path of libc>, one of " + LIBC_PATHS.join(", "),
    );
  }
  throw new Deno.errors.NotFound(
    `Cannot open libc: none of ${granted.join(", ")} could be opened`,
  );
}

function makeErrnoReader(libc: Libc): () => number {
  // The location is the thread's own and does not move while the thread lives.
  const location = libc.errno_location();
  if (location === null) return () => 0;
  if (hasFullGrant()) {
    const view = new Int32Array(
      Deno.UnsafePointerView.getArrayBuffer(location, 4),
    );
    errnoCell = view;
    return () => view[0]!;
  }
  const copy = new Int32Array(1);
  return () => {
    libc.memcpy(copy, location, 4);
    return copy[0]!;
  };
}

/**
 * The C library, opened at the first call.
 *
 * @throws {Deno.errors.NotCapable} If FFI is not granted, naming the flag.
 * @throws {Deno.errors.NotFound} If no libc could be opened.
 */
export function libc(): Libc {
  if (symbols === null) {
    const opened = open();
    readErrno = makeErrnoReader(opened);
    symbols = opened;
    if (hasFullGrant()) keepCallback();
  }
  return symbols;
}

/** The calling thread's errno; read it right after the call that failed. */
export function errno(): number {
  return readErrno();
}

/**
 * The address of a buffer, also under a scoped grant. An address is a number
 * and keeps nothing alive: hold a reference to `buffer` as long as it is used.
 */
export function addressOf(buffer: Uint8Array<ArrayBuffer>): bigint {
  return BigInt(libc().memset(buffer, 0, 0));
}

/** Why libc cannot be called; "" if it can. Never prompts. */
export function whyNoLibc(): string {
  try {
    libc();
    return "";
  } catch (error) {
    return (error as Error).message;
  }
}
