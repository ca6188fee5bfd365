/**
 * The monotonic clock in milliseconds, read from libc: half the price of
 * `performance.now()`, and the same clock the kernel's timers run on.
 *
 * @module
 */

import { CLOCK_MONOTONIC } from "./constants.ts";
import { libc } from "./libc.ts";

const timespec = new Uint8Array(16);
const words = new Uint32Array(timespec.buffer);

/** Milliseconds on CLOCK_MONOTONIC (clock_gettime(2)). */
export function monotonic(): number {
  libc().clock_gettime(CLOCK_MONOTONIC, timespec);
  return (words[0]! + words[1]! * 2 ** 32) * 1000 + words[2]! / 1e6;
}
