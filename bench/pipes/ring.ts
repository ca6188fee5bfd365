/**
 * The pipes benchmark of libevent and libev, whatever waits for the pipes.
 *
 * `active` of the pipes get a byte; every reader reads it and, while writes
 * are left, writes one to the next pipe. A run ends when every byte written
 * was read.
 *
 * The trap it guards: an FFI buffer per call would be measured instead of the
 * hub, so all calls share one.
 *
 * @module
 */

import { F_SETFL, O_NONBLOCK } from "../../ffi/constants.ts";
import { libc } from "../../ffi/libc.ts";

/** How large a run is. */
export interface RingSize {
  /** Number of pipes. */
  readonly pipes: number;
  /** Pipes that get a byte at the start of a run. */
  readonly active: number;
  /** Bytes that readers then write, in all. */
  readonly writes: number;
}

const BYTE = new Uint8Array([101]);

/** Pipes in a ring, and one run after the other over them. */
export class Ring implements Disposable {
  /** The ends to wait for. */
  readonly readers: Int32Array;
  readonly #c = libc();
  readonly #writers: Int32Array;
  readonly #size: RingSize;
  readonly #buffer = new Uint8Array(4);
  #left = 0;
  #fired = 0;
  #count = 0;
  #done: (() => void) | null = null;

  /** Opens the pipes. */
  constructor(size: RingSize) {
    this.#size = size;
    this.readers = new Int32Array(size.pipes);
    this.#writers = new Int32Array(size.pipes);
    const ends = new Int32Array(2);
    for (let i = 0; i < size.pipes; i++) {
      if (this.#c.pipe(ends) < 0) throw new Error("Cannot open a pipe");
      this.readers[i] = ends[0]!;
      this.#writers[i] = ends[1]!;
      for (const end of ends) this.#c.fcntl(end, F_SETFL, O_NONBLOCK);
    }
  }

  /** What reader number `index` does when it can be read. */
  onReady(index: number): void {
    const n = this.#c.read(this.readers[index]!, this.#buffer, 4);
    if (n <= 0) return;
    this.#count += n;
    if (this.#left > 0) {
      const next = index + 1 === this.#size.pipes ? 0 : index + 1;
      this.#c.write(this.#writers[next]!, BYTE, 1);
      this.#left--;
      this.#fired++;
    }
    if (this.#count === this.#fired) this.#done?.();
  }

  /** One run; resolves to its time, µs, from the first byte's being there. */
  run(): Promise<number> {
    const { pipes, active, writes } = this.#size;
    const { promise, resolve } = Promise.withResolvers<number>();
    this.#left = writes;
    this.#count = 0;
    const space = Math.floor(pipes / active);
    for (this.#fired = 0; this.#fired < active; this.#fired++) {
      this.#c.write(this.#writers[this.#fired * space]!, BYTE, 1);
    }
    const start = performance.now();
    this.#done = () => resolve((performance.now() - start) * 1000);
    return promise;
  }

  /** Closes the pipes; nobody may wait for them any more. */
  [Symbol.dispose](): void {
    for (const fd of this.readers) this.#c.close(fd);
    for (const fd of this.#writers) this.#c.close(fd);
  }
}
