/**
 * The order of a pass: the run queue, with the timers that are due among it.
 *
 * The trap it guards: a timer that falls due while somebody computes is older
 * than what is put into the run queue after that, and must not be overtaken.
 * So the queue has notes: from this place on, things came at this time or
 * later. Timers stay in the heap, where they can be cancelled, until the pass
 * begins.
 *
 * @module
 */

import type { Entry } from "./scheduler.ts";
import type { TimerHeap } from "./timers.ts";

/** See the module. */
export class DueOrder {
  /** Places in the queue, ascending, and beside them the times. */
  #places: number[] = [];
  #times: number[] = [];

  /** Note that what is in the queue from `place` on came at `time` or later. */
  note(place: number, time: number): void {
    const last = this.#times.length - 1;
    // Who came at the same time comes behind the same timers.
    if (last >= 0 && this.#times[last] === time) return;
    this.#places.push(place);
    this.#times.push(time);
  }

  /** The queue is another one. */
  clear(): void {
    if (this.#places.length === 0) return;
    this.#places = [];
    this.#times = [];
  }

  /**
   * Take the timers due by `now` out of the heap, each before what came to the
   * queue after its deadline.
   *
   * @returns The timers and the queue, in order.
   */
  merge(queue: readonly Entry[], heap: TimerHeap, now: number): Entry[] {
    const merged: Entry[] = [];
    let from = 0;
    for (let i = 0; i < this.#places.length; i++) {
      const place = this.#places[i]!;
      while (from < place) merged.push(queue[from++]!);
      take(heap, Math.min(this.#times[i]!, now), merged);
    }
    while (from < queue.length) merged.push(queue[from++]!);
    take(heap, now, merged);
    return merged;
  }
}

function take(heap: TimerHeap, by: number, into: Entry[]): void {
  for (let due; (due = heap.takeDue(by)) !== null;) into.push(due);
}
