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
   * If a wait is to end after the sweep, what is due later than that is for the
   * next pass. Waits that end later are not: they end one after the other.
   *
   * @returns The timers and the queue, in order, and what is left of the queue.
   */
  merge(
    queue: readonly Entry[],
    heap: TimerHeap,
    now: number,
  ): { batch: Entry[]; rest: Entry[] } {
    const batch: Entry[] = [];
    const places = this.#places;
    const times = this.#times;
    let from = 0;
    let ending = Infinity;
    for (let i = 0; i <= places.length; i++) {
      const last = i === places.length;
      const place = last ? queue.length : places[i]!;
      while (from < place) batch.push(queue[from++]!);
      const by = last ? now : Math.min(times[i]!, now);
      ending = take(heap, by, ending, batch);
      // Else it came before the wait was over.
      if (!last && (heap.next <= by || times[i]! > ending)) {
        this.#places = places.slice(i).map((other) => other - place);
        this.#times = times.slice(i);
        return { batch, rest: queue.slice(place) };
      }
    }
    this.clear();
    return { batch, rest: [] };
  }
}

/**
 * Take timers, but none due after `ending` that ends no wait.
 *
 * @returns When the first wait is over that one of them ends.
 */
function take(
  heap: TimerHeap,
  by: number,
  ending: number,
  into: Entry[],
): number {
  for (let first; (first = heap.first) !== null && heap.next <= by;) {
    if (first.ends) ending = Math.min(ending, heap.next);
    else if (heap.next > ending) break;
    into.push(heap.takeDue(by)!);
  }
  return ending;
}
