/** Grants of FFI that are no grant for all libraries. */

import { LIBC_PATHS } from "../../ffi/libc.ts";

/** The path of libc as a user would grant it; "" if it is nowhere. */
export const LIBC: string = LIBC_PATHS.find((path) => {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}) ?? "";

/** The flag that grants libc alone. */
export const LIBC_ONLY = `--allow-ffi=${LIBC}`;
