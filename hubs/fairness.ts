/**
 * Fairness towards Deno's own loop: when a busy MAINLOOP yields, and how.
 *
 * MAINLOOP runs in microtasks; while they go on, Deno serves neither timers
 * nor sockets. Timers want one turn of the loop a millisecond. Sockets want
 * more: Deno's I/O driver is looked at only when the loop has nothing else to do,
 * or every 61 turns. So where it can be seen that the driver has something, and
 * only then, MAINLOOP waits for a signal that nobody but the driver can see,
 * and for a while gives what the I/O set going a turn after every slice.
 * How long a slice is follows from how long the I/O before it has taken. Where
 * it cannot be seen, it waits so after every slice, a longer one.
 *
 * @module
 */

import { type LoopSignal, macrotask } from "./deno_loop.ts";

/** MAINLOOP works this long before it looks whether Deno has I/O, ms. */
const SLICE = 0.055;
/**
 * After Deno's I/O has had the thread for some time, MAINLOOP works this many
 * times as long before it looks again. Of a thread that both want it has two
 * thirds, and keeps three fifths of its rate: each time it comes back, the
 * processor's caches are Deno's. ...
 */
const SHARE = 2.1;
/** ... but never makes Deno's sockets wait longer than this, ms, ... */
const LONGEST_SLICE = 0.5;
/** ... and what it worked beyond that for want of I/O counts, up to this, ms. */
const MOST_CREDIT = 0.5;
/**
 * A look is a system call. Where there has been no I/O for a while, MAINLOOP
 * works for this part of that time before the next one, ...
 */
const QUIET_SHARE = 1 / 8;
/** ... but no longer than this, ms. */
const QUIET_SLICE = 0.25;
/** The same where that cannot be seen: a yield costs 8 % of it. */
const BLIND_SLICE = 0.15;
/** Deno's timers get a turn at least this often, ms. */
const TURN = 1;
/** Turns after its driver was looked at: a fetch wants them to go on. */
const AFTER = 3;
/** So long after that every slice ends with another turn, ms. */
const ACTIVE = 1;
/** Without a signal: turns after which the driver has been looked at. */
const TURNS = 62;
/** Steps between two looks at the clock, while steps are short. */
const MOST_STEPS = 32;

/** Counts what MAINLOOP does, and yields when it is time. */
export class Fairness {
  readonly #signal: LoopSignal | null;
  readonly #ioPending: (() => boolean) | null;
  #steps = MOST_STEPS;
  #left = MOST_STEPS;
  #sliceStart = 0;
  #turnStart = 0;
  #looked = 0;
  #io = false;
  #activeUntil = 0;
  /** When Deno last had I/O, or may have had some unseen. */
  #lastIo = 0;
  /** How long MAINLOOP may work before it looks for I/O, ms. */
  #slice = SLICE;
  /** What it still has to work for its share, ms; a credit if negative. */
  #due = 0;
  #fresh = true;

  /**
   * @param signal What makes Deno's loop look at its I/O; null if nothing does.
   * @param ioPending Whether Deno has I/O, or null if it cannot be seen.
   */
  constructor(signal: LoopSignal | null, ioPending: (() => boolean) | null) {
    this.#signal = signal;
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

  /** Count so many steps; true if Deno's loop should have its turn now. */
  step(count: number): boolean {
    if ((this.#left -= count) > 0) return false;
    const now = performance.now();
    if (this.#fresh) this.#begin(now);
    // Long steps are looked at one by one, lest many of them add up.
    this.#steps = now - this.#looked > this.#slice
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
      this.#due = Math.max(-MOST_CREDIT, this.#due - worked);
      this.#sliceStart = now;
      this.#io = this.#ioPending();
      if (this.#io) this.#lastIo = now;
      const quiet = (now - this.#lastIo) * QUIET_SHARE;
      this.#slice = Math.min(QUIET_SLICE, Math.max(SLICE, quiet));
      if (this.#io || now < this.#activeUntil) return true;
    }
    return now - this.#turnStart >= TURN;
  }

  /** Give Deno's loop its turn. */
  async yield(): Promise<void> {
    if (!this.#io) {
      await macrotask();
      this.turned();
      return;
    }
    this.#io = false;
    const start = this.#looked;
    const looked = this.#signal !== null && await this.#signal.wait();
    const turns = looked ? AFTER : TURNS;
    for (let turn = 0; turn < turns; turn++) await macrotask();
    const end = performance.now();
    this.#begin(end);
    this.#due = Math.min(LONGEST_SLICE, this.#due + SHARE * (end - start));
    this.#slice = Math.max(SLICE, this.#due);
    this.#activeUntil = this.#turnStart + ACTIVE;
  }

  #begin(now: number): void {
    this.#fresh = false;
    this.#sliceStart =
      this.#turnStart =
      this.#looked =
      this.#lastIo =
        now;
  }
}
