/**
 * What the parking programs share: pipes through libc, rounds, medians, and
 * what a process has used of the machine.
 */

import process from "node:process";
import { O_NONBLOCK } from "../../ffi/constants.ts";
import { libc } from "../../ffi/libc.ts";

/** A non-blocking pipe. */
export function pipe(): [reader: number, writer: number] {
  const fds = new Int32Array(2);
  libc().pipe(fds);
  for (const fd of fds) libc().fcntl(fd, 4, O_NONBLOCK);
  return [fds[0]!, fds[1]!];
}

/** The middle one of some numbers. */
export function median(numbers: readonly number[]): number {
  return quantile(numbers, 0.5);
}

/** The number below which a share of them lie. */
export function quantile(numbers: readonly number[], share: number): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[
    Math.min(sorted.length - 1, Math.floor(sorted.length * share))
  ] ??
    NaN;
}

/** CPU time of this process so far, ms, of all its threads. */
export function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** How many threads this process has. */
export function threads(): number {
  return [...Deno.readDirSync("/proc/self/task")].length;
}

/** A wait that is nothing to do with the hub. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** One line of a result. */
export function line(what: string, value: number, unit: string): void {
  console.log(`${what.padEnd(58)} ${value.toFixed(2).padStart(10)} ${unit}`);
}
