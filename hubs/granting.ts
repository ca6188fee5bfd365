/**
 * What needs no turn of anybody's is done for several who are ready before the
 * first of them goes on: the system calls of those who say how. Whoever is given
 * something so counts as resumed, and they go on together.
 *
 * One kind of work at a time keeps its code, the kernel's above all, in the
 * processor's caches; more at a time would drive the data out of them.
 *
 * @module
 */

import { MOST } from "../ffi/aio_receive.ts";
import type { FdListener } from "./listeners.ts";
import { Receiving } from "./receiving.ts";
import type { Suspension } from "./suspension.ts";
import { thread } from "./thread.ts";

/** See the module. */
export class Granting {
  /** By position among those who are ready, modulo their number. */
  readonly #granted: (Suspension | null)[] = new Array(MOST).fill(null);
  readonly #receiving = new Receiving();

  /** The next ones, from `at`, are to be prepared. */
  due(at: number): boolean {
    return at % MOST === 0;
  }

  /** Have the next of those who are ready, from `at`, do what they can. */
  prepare(ready: readonly FdListener[], from: number): void {
    const to = Math.min(from + MOST, ready.length);
    const early = this.#receiving.receive(ready, from, to);
    for (let at = from; at < to; at++) {
      const received = early ? this.#receiving.of(at - from) : null;
      this.#granted[at - from] = ready[at]!.prepare(received);
    }
  }

  /**
   * Resume those in a row, from `at`, who have been given something: the same
   * code for one after the other. An observer wants to see each by himself.
   *
   * @returns How many.
   */
  fire(at: number): number {
    const granted = this.#granted;
    const from = at % MOST;
    let next = from;
    while (next < MOST && granted[next] !== null) {
      granted[next]!.fire();
      granted[next++] = null;
      if (thread.observer !== null) break;
    }
    return next - from;
  }

  /** Take back what was given to those who have not been resumed. */
  take(): Suspension[] {
    const left = this.#granted.filter((one) => one !== null);
    this.#granted.fill(null);
    return left;
  }

  /** Give back what the kernel gave. */
  close(): void {
    this.#receiving.close();
  }
}
