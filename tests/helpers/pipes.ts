/**
 * Pipes as C has them, for tests below the rig of the conformance suite.
 */

import { libc } from "../../ffi/libc.ts";

/** Both ends of a pipe. */
export type Pipe = readonly [reader: number, writer: number];

/** Make a pipe; its ends block. */
export function pipe(): Pipe {
  const pair = new Int32Array(2);
  libc().pipe(pair);
  return [pair[0]!, pair[1]!];
}

/** Write one byte. */
export function write(fd: number): void {
  libc().write(fd, new Uint8Array(1), 1);
}

/** Close descriptors, without a word to any hub. */
export function close(...fds: number[]): void {
  for (const fd of fds) libc().close(fd);
}
