/**
 * Fairness towards Deno's own loop: when a busy MAINLOOP yields, and how.
 *
 * MAINLOOP runs in microtasks; while they go on, Deno serves neither timers
 * nor sockets. Timers want one turn of the loop a millisecond. Sockets want
 * more: Deno's I/O driver is looked at only when the loop really waits, or
 * every 61 turns. So where it can be seen that the driver has something, and
 * only then, MAINLOOP waits for a timer a few microseconds away, and for a
 * while gives what the I/O set going a turn or two after every slice. How long
 * a slice is follows from how long the I/O before it has taken. Where it
 * cannot be seen, it waits so after every slice, a longer one.
 *
 * @module
 */

import { type LoopTimer, macrotask } from "./deno_loop.ts";

/** MAINLOOP works this long before it looks whether Deno has I/O, ms. */
const SLICE = 0.055;
/**
 * After Deno's I/O has had the thread for some time, MAINLOOP works this many
 * times as long before it looks again: of a thread that both want it keeps
 * three fifths, ...
 */
const SHARE = 1.5;
/** ... but never makes Deno's sockets wait longer than this, ms. */
const LONGEST_SLICE = 0.5;
/** The same where that cannot be seen: a yield costs 10 % of it. */
const BLIND_SLICE = 0.2;
/** Deno's timers get a turn at least this often, ms. */
const TURN = 1;
/** Turns after that, for what the I/O set going. */
const AFTER = 2;
/** So long after I/O every slice ends with a turn or two, ms. */
const ACTIVE = 1;
/** How long Deno's loop is left waiting so that it polls its driver, ms. */
const PAUSE = 0.01;
/** Without such a timer: turns after which the driver has been polled. */
const TURNS = 62;
/** Steps between two looks at the clock, while steps are short. */
const MOST_STEPS = 32;

/** Counts what MAINLOOP does, and yields when it is time. */
export class Fairness {
  readonly #timer: LoopTimer | null;
  readonly #ioPending: (() => boolean) | null;
  #steps = MOST_STEPS;
  #left = MOST_STEPS;
  #sliceStart = 0;
  #turnStart = 0;
  #looked = 0;
  #io = false;
  #activeUntil = 0;
  /** How long MAINLOOP may work before it looks for I/O, ms. */
  #slice = SLICE;
  #fresh = true;

  /**
   * @param timer A timer of Deno's loop, or null if there is none.
   * @param ioPending Whether Deno has I/O, or null if it cannot be seen.
   */
  constructor(timer: LoopTimer | null, ioPending: (() => boolean) | null) {
    this.#timer = timer;
    this.#ioPending = ioPending;
  }

  /** Deno's loop has really waited: all its rights are served. */
  restart(): void {
    // The clock is read at the next step that looks at it: right after a
    // park somebody waits to be resumed.
    this.#fresh = true;
    this.#left = 3;
  }

  /** Deno's loop had one turn. */
  turned(): void {
    this.#turnStart = performance.now();
  }

  /** Count one step; true if Deno's loop should have its turn now. */
  step(): boolean {
    if (--this.#left > 0) return false;
    const now = performance.now();
    if (this.#fresh) this.#begin(now);
    // Long steps are looked at one by one, lest many of them add up.
    this.#steps = now - this.#looked > SLICE
      ? 1
      : Math.min(MOST_STEPS, 2 * this.#steps);
    this.#left = this.#steps;
    this.#looked = now;
    const worked = now - this.#sliceStart;
    if (this.#ioPending === null) {
      this.#io = worked >= BLIND_SLICE;
      return this.#io;
    }
    if (worked >= this.#slice) {
      this.#sliceStart = now;
      this.#slice = SLICE;
      this.#io = this.#ioPending();
      if (this.#io || now < this.#activeUntil) return true;
    }
    return now - this.#turnStart >= TURN;
  }

  /** Give Deno's loop its turn. */
  async yield(): Promise<void> {
    if (!this.#io) {
      const turns = this.#turnStart < this.#activeUntil ? AFTER : 1;
      for (let turn = 0; turn < turns; turn++) await macrotask();
      this.turned();
      return;
    }
    this.#io = false;
    const start = this.#looked;
    if (this.#timer === null) {
      for (let turn = 0; turn < TURNS; turn++) await macrotask();
    } else await this.#timer.wait(PAUSE);
    for (let turn = 0; turn < AFTER; turn++) await macrotask();
    const end = performance.now();
    this.#begin(end);
    this.#slice = Math.min(
      LONGEST_SLICE,
      Math.max(SLICE, SHARE * (end - start)),
    );
    this.#activeUntil = this.#turnStart + ACTIVE;
  }

  #begin(now: number): void {
    this.#fresh = false;
    this.#sliceStart = this.#turnStart = this.#looked = now;
  }
}
