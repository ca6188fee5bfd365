/**
 * The brief wait before a park: what comes within some tens of microseconds,
 * as the answer of a peer on the same machine does, is awaited on the spot.
 * Awake, asking again and again, if answers come fast: to be put to sleep and
 * woken costs more than all else in a round trip. Else by letting others have
 * the processor first, one of whom may have the answer; else asleep, which takes
 * no processor and still costs less than a park.
 *
 * The trap it guards: it stops Deno's loop for that time, and asking burns a
 * processor, be it needed by somebody else or not; and whoever gave way gets the
 * processor back when others please. So each must pay: it is a bet with a memory.
 * What brings in what it costs is done again at once; else it is left out for
 * longer and longer. And whoever sleeps is woken by Deno's I/O, too, where that
 * can be seen.
 *
 * @module
 */

import { libc } from "../ffi/libc.ts";
import type { Poller } from "./poller.ts";

/** The longest brief wait by default, ms. */
const DEFAULT = 0.05;
/** The longest that can be had, ms: so long at most Deno's loop stands still. */
const MOST = 1;
/** So many waits in vain are borne. */
const PATIENCE = 3;
/** An answer is worth so much time spent awake to get it, ms, ... */
const WORTH = 0.02;
/** ... and so much may be spent in advance. */
const ADVANCE = 0.15;
/** The first pause after that; each one that follows is twice as long, ... */
const FIRST_PAUSE = 8;
/** ... up to this many occasions that are passed over. */
const LONGEST_PAUSE = 1024;

/** A bet that is made as long as it brings in what it costs. */
class Bet {
  readonly #most: number;
  readonly #worth: number;
  #credit: number;
  #pause = 0;
  #skipped = 0;

  /**
   * @param most The credit it starts with, and never exceeds.
   * @param worth What a win brings in.
   */
  constructor(most: number, worth: number) {
    this.#most = most;
    this.#credit = most;
    this.#worth = worth;
  }

  /** It has used up its credit, and is only tried now and then. */
  get rare(): boolean {
    return this.#pause > 0;
  }

  /** Whether it should be made this time. */
  pays(): boolean {
    if (this.#credit > 0) return true;
    if (++this.#skipped < this.#pause) return false;
    this.#skipped = 0;
    return true;
  }

  /** Say how it ended and what it has cost; returns how it ended. */
  ended(won: boolean, cost: number): boolean {
    const gain = (won ? this.#worth : 0) - cost;
    this.#credit = Math.max(0, Math.min(this.#most, this.#credit + gain));
    if (gain > 0) this.#pause = 0;
    else if (this.#credit === 0) {
      this.#pause = Math.min(
        LONGEST_PAUSE,
        Math.max(FIRST_PAUSE, 2 * this.#pause),
      );
    }
    return won;
  }
}

/** What became ready, as bits; 0 for nothing. */
export const OURS = 1;
/** Deno's loop has I/O to attend to. */
export const DENOS = 2;

/**
 * Sleeps for at most `ms` until the poller has something or Deno's loop has
 * I/O; returns which, as {@linkcode OURS} and {@linkcode DENOS}.
 */
export type Sleep = (ms: number) => number;

/** How to wait, and for how long. */
export interface BriefWaitOptions {
  /** ms; 0 for none; more than 1 counts as 1. */
  readonly longest?: number | null | undefined;
  /** By default as the poller does. */
  readonly sleep?: Sleep | null;
  /** Lets others have the processor; by default sched_yield(2). */
  readonly giveWay?: () => void;
  /** ms; by default `performance.now`. */
  readonly clock?: () => number;
}

/** See the module. */
export class BriefWait {
  readonly #poller: Poller;
  readonly #longest: number;
  readonly #sleep: Sleep;
  readonly #giveWay: () => void;
  readonly #clock: () => number;
  readonly #bet = new Bet(PATIENCE, PATIENCE);
  readonly #awake = new Bet(ADVANCE, WORTH);
  readonly #politely = new Bet(ADVANCE, WORTH);
  #tries = 0;

  /**
   * @throws {RangeError} If `options.longest` is negative or NaN.
   */
  constructor(poller: Poller, options: BriefWaitOptions = {}) {
    const { longest, sleep, giveWay, clock } = options;
    const wanted = longest ?? DEFAULT;
    if (!(wanted >= 0)) {
      throw new RangeError(
        `Cannot wait briefly: briefWait is negative or NaN: ${wanted}`,
      );
    }
    this.#poller = poller;
    this.#giveWay = giveWay ?? (() => libc().sched_yield());
    this.#clock = clock ?? (() => performance.now());
    this.#sleep = sleep ?? ((ms) => poller.linger!(ms) ? OURS : 0);
    this.#longest = poller.linger === undefined ? 0 : Math.min(wanted, MOST);
  }

  /** Whether the next wait should be made. */
  pays(): boolean {
    return this.#longest > 0 && this.#bet.pays();
  }

  /** Wait, at most `limit` ms; true if something became ready. */
  wait(limit: number): boolean {
    const longest = Math.min(limit, this.#longest);
    if (longest <= 0) return this.#poller.linger!(0);
    // What is tried now and then is tried in turn, whatever was better before.
    const awake = this.#bet.rare ? ++this.#tries % 2 === 0 : this.#awake.pays();
    if (awake) {
      return this.#bet.ended(this.#ask(longest), 1);
    }
    if (this.#politely.pays() && this.#askPolitely(longest)) {
      return this.#bet.ended(true, 1);
    }
    const found = this.#sleep(longest);
    // Deno's I/O ended it: neither won nor lost.
    if (found === DENOS) return false;
    return this.#bet.ended(found !== 0, 1);
  }

  #askPolitely(longest: number): boolean {
    const start = this.#clock();
    this.#giveWay();
    const won = this.#poller.linger!(0);
    const cost = this.#clock() - start;
    // What the answer took would have been waited for in any case.
    return this.#politely.ended(won, won && cost <= longest ? 0 : cost);
  }

  #ask(ms: number): boolean {
    const poller = this.#poller;
    const start = this.#clock();
    let won;
    let now;
    do {
      won = poller.linger!(0);
      now = this.#clock();
    } while (!won && now - start < ms);
    return this.#awake.ended(won, now - start);
  }
}
