/**
 * Timers: an indexed binary heap ordered by (deadline, sequence).
 *
 * Most timers are timeouts that never fire, so cancelling must be as cheap as
 * scheduling: a cancelled timer is really taken out, and its callback and
 * arguments are let go at once. The sequence makes equal deadlines FIFO, the
 * trap eventlet fell into by comparing object identities.
 *
 * @module
 */

import type { AnyFunction, GreenThread } from "./greenthread.ts";
import type { Cancellable, Entry } from "./scheduler.ts";

/** Where a timer is kept: a hub's heap or its run queue. */
export interface TimerHome {
  /** Take a timer out before its time. */
  removeTimer(timer: Timer): void;
}

const NO_ARGS: readonly unknown[] = [];

/**
 * A call that a hub will make once, from MAINLOOP.
 *
 * @example
 * ```ts
 * import { getHub } from "../mod.ts";
 *
 * const timer = getHub().scheduleCallGlobal(1000, () => {});
 * timer.cancel();
 * if (timer.pending) throw new Error("still pending");
 * ```
 */
export class Timer implements Entry, Cancellable {
  /** When it is due, on the hub's clock, ms. */
  readonly deadline: number;
  /** Its place in the heap; -1 in the run queue or nowhere. @internal */
  index: number = -1;
  /** Breaks ties between equal deadlines. @internal */
  sequence: number = 0;
  /** Where it was made, if `debug.hubTimerStacks(true)`. */
  readonly stack: string | null;

  /** Called instead if the hub stops first. @internal */
  onDiscard: (() => void) | null = null;

  #fn: AnyFunction | null;
  #args: readonly unknown[];
  #home: TimerHome | null;
  /** A local timer's maker: dead at the deadline means no call. */
  #local: GreenThread | null;

  /** Made by a hub's `scheduleCallGlobal` and `scheduleCallLocal`. */
  constructor(
    home: TimerHome,
    deadline: number,
    fn: AnyFunction,
    args: readonly unknown[] = NO_ARGS,
    local: GreenThread | null = null,
    stack: string | null = null,
  ) {
    this.deadline = deadline;
    this.stack = stack;
    this.#home = home;
    this.#fn = fn;
    this.#args = args;
    this.#local = local;
  }

  /** It will still fire, as far as is known now. */
  get pending(): boolean {
    return this.#fn !== null && !(this.#local?.dead ?? false);
  }

  /** It has fired, or was cancelled. */
  get called(): boolean {
    return this.#fn === null;
  }

  /** What it will call, in words. */
  get what(): string {
    if (this.#fn === null) return "(called)";
    return this.#fn.name || "anonymous";
  }

  /** Never call; harmless if it was called or cancelled already. */
  cancel(): void {
    if (this.#fn === null) return;
    this.onDiscard = null;
    this.#fn = null;
    this.#args = NO_ARGS;
    this.#local = null;
    const home = this.#home!;
    this.#home = null;
    home.removeTimer(this);
  }

  /** MAINLOOP's turn: call. @internal */
  fire(): unknown {
    const fn = this.#fn;
    if (fn === null) return undefined;
    const args = this.#args;
    const skip = this.#local?.dead ?? false;
    this.#fn = null;
    this.#args = NO_ARGS;
    this.#local = null;
    this.#home = null;
    return skip ? undefined : fn(...args);
  }

  /** The hub stopped first. @internal */
  discard(): boolean {
    const { onDiscard } = this;
    this.cancel();
    onDiscard?.();
    return true;
  }

  /** For debugging: deadline and callback. */
  toString(): string {
    const where = this.stack === null ? "" : `\n${this.stack}`;
    return `Timer(${this.deadline.toFixed(3)}, ${this.what})${where}`;
  }
}

const FEWEST = 64;

/**
 * The heap. Positions are kept in the timers, so removal is O(log n); deadlines
 * are kept in an array of their own, so that finding a place touches no timer.
 */
export class TimerHeap {
  readonly #heap: Timer[] = [];
  #deadlines = new Float64Array(FEWEST);
  #sequence = 0;

  /** How many timers it holds, all of them live. */
  get size(): number {
    return this.#heap.length;
  }

  /** The earliest deadline; Infinity if there is none. */
  get next(): number {
    return this.#heap.length === 0 ? Infinity : this.#deadlines[0]!;
  }

  /** Put a timer in. */
  add(timer: Timer): void {
    timer.sequence = this.#sequence++;
    const at = this.#heap.length;
    if (at === this.#deadlines.length) {
      const larger = new Float64Array(2 * at);
      larger.set(this.#deadlines);
      this.#deadlines = larger;
    }
    this.#heap.push(timer);
    this.#up(timer, timer.deadline, at);
  }

  /** Take a timer out, wherever it stands. */
  remove(timer: Timer): void {
    const at = timer.index;
    if (at < 0) return;
    timer.index = -1;
    const last = this.#heap.pop()!;
    if (last === timer) return;
    const deadline = this.#deadlines[this.#heap.length]!;
    if (!this.#up(last, deadline, at)) this.#down(last, deadline, at);
  }

  /** Take the earliest timer out if it is due by `now`. */
  takeDue(now: number): Timer | null {
    if (!(this.next <= now) || this.#heap.length === 0) return null;
    const top = this.#heap[0]!;
    this.remove(top);
    return top;
  }

  /** Those in the heap, soonest first. */
  list(): Timer[] {
    return [...this.#heap].sort((a, b) =>
      a.deadline === b.deadline
        ? a.sequence - b.sequence
        : a.deadline < b.deadline
        ? -1
        : 1
    );
  }

  /** Put a timer at a place or above; true if above. */
  #up(timer: Timer, deadline: number, from: number): boolean {
    const heap = this.#heap;
    const deadlines = this.#deadlines;
    let at = from;
    while (at > 0) {
      const above = (at - 1) >> 1;
      const other = deadlines[above]!;
      if (other < deadline) break;
      const parent = heap[above]!;
      if (other === deadline && parent.sequence < timer.sequence) break;
      heap[at] = parent;
      deadlines[at] = other;
      parent.index = at;
      at = above;
    }
    heap[at] = timer;
    deadlines[at] = deadline;
    timer.index = at;
    return at < from;
  }

  /** Put a timer at a place or below. */
  #down(timer: Timer, deadline: number, from: number): void {
    const heap = this.#heap;
    const deadlines = this.#deadlines;
    const { length } = heap;
    let at = from;
    for (;;) {
      let below = 2 * at + 1;
      if (below >= length) break;
      let other = deadlines[below]!;
      if (below + 1 < length) {
        const right = deadlines[below + 1]!;
        if (
          right < other ||
          (right === other && heap[below + 1]!.sequence < heap[below]!.sequence)
        ) {
          below++;
          other = right;
        }
      }
      if (deadline < other) break;
      const child = heap[below]!;
      if (deadline === other && timer.sequence < child.sequence) break;
      heap[at] = child;
      deadlines[at] = other;
      child.index = at;
      at = below;
    }
    heap[at] = timer;
    deadlines[at] = deadline;
    timer.index = at;
  }
}
