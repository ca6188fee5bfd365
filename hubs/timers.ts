/**
 * Timers: an indexed binary heap ordered by (deadline, sequence).
 *
 * Most timers are timeouts that never fire, so cancelling must be as cheap as
 * scheduling: a cancelled timer is really taken out, and its callback and
 * arguments are let go at once. The sequence makes equal deadlines FIFO, the
 * trap eventlet fell into by comparing object identities.
 *
 * A timer is as small as can be: a hundred thousand of them are copied by the
 * garbage collector while they are being made, which takes longer than all the
 * rest. Numbers are therefore kept in the heap alone, and what few timers have
 * is kept apart.
 *
 * @module
 */

import type { AnyFunction, GreenThread } from "./greenthread.ts";
import type { Cancellable, Entry, TimerOwner } from "./scheduler.ts";

/** Where a timer is kept: a hub's heap or its run queue. */
export interface TimerHome {
  /** Take a timer out before its time. */
  removeTimer(timer: Timer): void;
  /** When the timer is due that stands at a place of the heap. */
  deadlineAt(index: number): number;
}

/** What few timers have. */
export interface TimerExtras {
  /** A local timer's maker, whose end cancels it. */
  readonly local?: GreenThread | null;
  /** Where it was made. */
  readonly stack?: string | null;
  /** What it is for, to be cancelled if the hub stops first. */
  readonly owner?: TimerOwner | null;
  /** See {@linkcode Timer.ends}. */
  readonly ends?: true;
}

/** What all timers have in common that {@linkcode Timer.ends}. */
export const ENDS: TimerExtras = { ends: true };

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
  /** Its place in the heap; -1 in the run queue or nowhere. @internal */
  index: number = -1;

  #fn: AnyFunction | null;
  #args: readonly unknown[] | null;
  #home: TimerHome | null;
  #extras: TimerExtras | null;

  /** Made by a hub's `scheduleCallGlobal` and `scheduleCallLocal`. */
  constructor(
    home: TimerHome,
    fn: AnyFunction,
    args: readonly unknown[] | null = null,
    extras: TimerExtras | null = null,
  ) {
    this.#home = home;
    this.#fn = fn;
    this.#args = args;
    this.#extras = extras;
  }

  /**
   * When it is due, on the hub's clock, ms; 0 in the run queue, and once it
   * was called or cancelled.
   */
  get deadline(): number {
    return this.index < 0 ? 0 : this.#home!.deadlineAt(this.index);
  }

  /** Where it was made, if `debug.hubTimerStacks(true)`. */
  get stack(): string | null {
    return this.#extras?.stack ?? null;
  }

  /**
   * It ends a wait for a descriptor, unless the sweep finds that ready: what is
   * due later must not come before that. @internal
   */
  get ends(): boolean {
    return this.#extras?.ends === true;
  }

  /** It will still fire, as far as is known now. */
  get pending(): boolean {
    return this.#fn !== null;
  }

  /** It has fired, or was cancelled. */
  get called(): boolean {
    return this.#fn === null;
  }

  /** What it will call or start, in words. */
  get what(): string {
    if (this.#fn === null) return "(called)";
    return (this.#extras?.owner ?? this.#fn).name || "anonymous";
  }

  /** Never call; harmless if it was called or cancelled already. */
  cancel(): void {
    if (this.#fn === null) return;
    const home = this.#home!;
    this.#letGo();
    home.removeTimer(this);
  }

  /** MAINLOOP's turn: call. @internal */
  fire(): unknown {
    const fn = this.#fn;
    if (fn === null) return undefined;
    const args = this.#args;
    this.#letGo();
    return args === null ? fn() : fn(...args);
  }

  /** The hub stopped first. @internal */
  discard(): boolean {
    const owner = this.#fn === null ? null : this.#extras?.owner;
    this.cancel();
    owner?.cancel();
    return true;
  }

  #letGo(): void {
    this.#fn = null;
    this.#args = null;
    this.#home = null;
    if (this.#extras === null) return;
    this.#extras.local?.dropTimer(this);
    // Where it was made is still worth knowing.
    const { stack } = this;
    this.#extras = stack === null ? null : { stack };
  }

  /** For debugging: deadline and callback. */
  toString(): string {
    const where = this.stack === null ? "" : `\n${this.stack}`;
    return `Timer(${this.deadline.toFixed(3)}, ${this.what})${where}`;
  }
}

const FEWEST = 64;

function larger(list: Float64Array<ArrayBuffer>): Float64Array<ArrayBuffer> {
  const copy = new Float64Array(2 * list.length);
  copy.set(list);
  return copy;
}

/**
 * The heap. Positions are kept in the timers, so removal is O(log n); the rest
 * is kept in three lists side by side, so that finding a place touches no
 * timer.
 */
export class TimerHeap {
  readonly #heap: Timer[] = [];
  #deadlines = new Float64Array(FEWEST);
  #sequences = new Float64Array(FEWEST);
  #sequence = 0;

  /** How many timers it holds, all of them live. */
  get size(): number {
    return this.#heap.length;
  }

  /** The earliest deadline; Infinity if there is none. */
  get next(): number {
    return this.#heap.length === 0 ? Infinity : this.#deadlines[0]!;
  }

  /** The earliest; null if there is none. */
  get first(): Timer | null {
    return this.#heap.length === 0 ? null : this.#heap[0]!;
  }

  /** When the timer at a place is due. */
  deadlineAt(index: number): number {
    return this.#deadlines[index]!;
  }

  /** Put a timer in. */
  add(timer: Timer, deadline: number): void {
    const at = this.#heap.length;
    if (at === this.#deadlines.length) {
      this.#deadlines = larger(this.#deadlines);
      this.#sequences = larger(this.#sequences);
    }
    this.#heap.push(timer);
    this.#up(timer, deadline, this.#sequence++, at);
  }

  /** Take a timer out, wherever it stands. */
  remove(timer: Timer): void {
    const at = timer.index;
    if (at < 0) return;
    timer.index = -1;
    const last = this.#heap.pop()!;
    if (last === timer) return;
    const end = this.#heap.length;
    const deadline = this.#deadlines[end]!;
    const sequence = this.#sequences[end]!;
    if (!this.#up(last, deadline, sequence, at)) {
      this.#down(last, deadline, sequence, at);
    }
  }

  /** Take the earliest timer out if it is due by `now`. */
  takeDue(now: number): Timer | null {
    const { first } = this;
    if (first === null || !(this.next <= now)) return null;
    this.remove(first);
    return first;
  }

  /** Those in the heap, soonest first. */
  list(): Timer[] {
    const deadlines = this.#deadlines;
    const sequences = this.#sequences;
    return [...this.#heap].sort((a, b) => {
      const first = deadlines[a.index]!;
      const second = deadlines[b.index]!;
      if (first !== second) return first < second ? -1 : 1;
      return sequences[a.index]! - sequences[b.index]!;
    });
  }

  /** Put a timer at a place or above; true if above. */
  #up(
    timer: Timer,
    deadline: number,
    sequence: number,
    from: number,
  ): boolean {
    const heap = this.#heap;
    const deadlines = this.#deadlines;
    const sequences = this.#sequences;
    let at = from;
    while (at > 0) {
      const above = (at - 1) >> 1;
      const other = deadlines[above]!;
      if (other < deadline) break;
      const older = sequences[above]!;
      if (other === deadline && older < sequence) break;
      const parent = heap[above]!;
      heap[at] = parent;
      deadlines[at] = other;
      sequences[at] = older;
      parent.index = at;
      at = above;
    }
    heap[at] = timer;
    deadlines[at] = deadline;
    sequences[at] = sequence;
    timer.index = at;
    return at < from;
  }

  /** Put a timer at a place or below. */
  #down(
    timer: Timer,
    deadline: number,
    sequence: number,
    from: number,
  ): void {
    const heap = this.#heap;
    const deadlines = this.#deadlines;
    const sequences = this.#sequences;
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
          (right === other && sequences[below + 1]! < sequences[below]!)
        ) {
          below++;
          other = right;
        }
      }
      if (deadline < other) break;
      if (deadline === other && sequence < sequences[below]!) break;
      const child = heap[below]!;
      heap[at] = child;
      deadlines[at] = other;
      sequences[at] = sequences[below]!;
      child.index = at;
      at = below;
    }
    heap[at] = timer;
    deadlines[at] = deadline;
    sequences[at] = sequence;
    timer.index = at;
  }
}
