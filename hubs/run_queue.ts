/**
 * What MAINLOOP is to do: the run queue, and the timers that join it when they
 * are due.
 *
 * The trap it guards: a timer with a delay of 0 is no timer of the heap, but
 * stands in the run queue, where everybody has his turn. It still counts as a
 * timer until it is called.
 *
 * @module
 */

import { guarded } from "./clock.ts";
import { DueOrder } from "./due_order.ts";
import type { AnyFunction } from "./greenthread.ts";
import type { Entry } from "./scheduler.ts";
import {
  Timer,
  type TimerExtras,
  TimerHeap,
  type TimerHome,
} from "./timers.ts";

/** A clock that says NaN is looked at again after so many ms. */
const NO_TIME = 100;

const NOTHING: readonly Entry[] = [];

/** See the module. */
export class RunQueue implements TimerHome {
  /** What the timers go by, ms; NaN where a clock that was given throws. */
  clock: () => number;
  /** That very clock. */
  #given: () => number;

  readonly #removed: () => void;
  readonly #heap = new TimerHeap();
  readonly #order = new DueOrder();
  #queue: Entry[] = [];
  #zeroTimers = 0;

  /** @param removed Called when a timer was cancelled. */
  constructor(clock: () => number, removed: () => void) {
    this.clock = guarded(clock);
    this.#given = clock;
    this.#removed = removed;
  }

  /** From now on the timers go by this clock. */
  setClock(clock: () => number): void {
    this.clock = guarded(clock);
    this.#given = clock;
  }

  /** How many entries the next pass has, without the timers due by then. */
  get length(): number {
    return this.#queue.length;
  }

  /** Nothing is to be done, now or ever. */
  get empty(): boolean {
    return this.#queue.length === 0 && this.#heap.size === 0;
  }

  /** Put an entry at the end, behind the timers due now. */
  push(entry: Entry): void {
    const heap = this.#heap;
    if (heap.size > 0) {
      const now = this.clock();
      const place = this.#queue.length;
      if (place === 0 || heap.next <= now) this.#order.note(place, now);
    }
    this.#queue.push(entry);
  }

  /**
   * Call `fn(...args)` after `ms`, which is not NaN.
   *
   * @throws What the clock throws.
   */
  schedule(
    ms: number,
    fn: AnyFunction,
    args: readonly unknown[] | null,
    extras: TimerExtras | null,
  ): Timer {
    const timer = new Timer(this, fn, args, extras);
    if (ms === 0) {
      this.#zeroTimers++;
      this.push(timer);
      return timer;
    }
    const now = this.#given();
    const heap = this.#heap;
    if (heap.size === 0 && this.#queue.length > 0) {
      this.#order.clear();
      this.#order.note(0, now);
    }
    const deadline = now + ms;
    heap.add(timer, Number.isNaN(deadline) ? Infinity : deadline);
    return timer;
  }

  /** Take what is to be done now, in order; what comes later is for later. */
  take(): readonly Entry[] {
    let batch = NOTHING;
    if (this.#queue.length > 0) {
      batch = this.#queue;
      this.#queue = [];
    }
    const heap = this.#heap;
    if (heap.size > 0) {
      const now = this.clock();
      if (heap.next <= now) {
        const merged = this.#order.merge(batch, heap, now);
        const taken = batch.length - merged.rest.length;
        this.#zeroTimers += merged.batch.length - taken;
        this.#queue = merged.rest;
        return merged.batch;
      }
    }
    this.#order.clear();
    return batch;
  }

  /** A timer that was taken is about to be called. */
  called(): void {
    this.#zeroTimers--;
  }

  /** ms until the next timer of the heap is due; Infinity if there is none. */
  readonly untilNext = (): number => {
    if (this.#heap.size === 0) return Infinity;
    const left = this.#heap.next - this.clock();
    return Number.isNaN(left) ? NO_TIME : left;
  };

  /** See {@linkcode TimerHome}. */
  deadlineAt(index: number): number {
    return this.#heap.deadlineAt(index);
  }

  /** See {@linkcode TimerHome}. */
  removeTimer(timer: Timer): void {
    if (timer.index >= 0) this.#heap.remove(timer);
    else this.#zeroTimers--;
    this.#removed();
  }

  /** How many timers will still fire. */
  get timersCount(): number {
    return this.#heap.size + this.#zeroTimers;
  }

  /** Those timers, soonest first; `taken` is what is left of what was taken. */
  timers(taken: readonly Entry[]): Timer[] {
    const soon = [...taken, ...this.#queue].filter((entry) =>
      entry instanceof Timer && !entry.called
    );
    return [...soon as Timer[], ...this.#heap.list()];
  }

  /** Put back what was taken and not done. */
  putBack(left: readonly Entry[]): void {
    if (left.length === 0) return;
    this.#queue = [...left, ...this.#queue];
    this.#order.clear();
  }

  /**
   * Forget all timers but those to be spared; returns what else there was, and
   * forgets it, too.
   */
  clear(spared?: (timer: Timer) => boolean): Entry[] {
    for (const timer of this.#heap.list()) {
      if (spared?.(timer) !== true) timer.discard();
    }
    const queue = this.#queue;
    this.#queue = [];
    this.#order.clear();
    return queue;
  }
}
