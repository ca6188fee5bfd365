/**
 * The brief wait before a park: what comes within some tens of microseconds,
 * as the answer of a peer on the same machine does, is awaited on the spot.
 * Best by asking again and again: to be put to sleep and woken costs more than
 * all else in a round trip. Asleep where that does not pay.
 *
 * The trap it guards: it stops Deno's loop for that time, and asking burns a
 * processor that somebody else may need to send the answer. So either must
 * pay: it is a bet with a memory. Won, it is made again at once; lost several
 * times, it is left out for longer and longer.
 *
 * @module
 */

import type { Poller } from "./poller.ts";

/** The longest brief wait by default, ms. */
const DEFAULT = 0.05;
/** The longest that can be had, ms: so long at most Deno's loop stands still. */
const MOST = 1;
/** So many bets lost in a row are borne. */
const PATIENCE = 3;
/** The first pause after that; each one that follows is twice as long, ... */
const FIRST_PAUSE = 8;
/** ... up to this many occasions that are passed over. */
const LONGEST_PAUSE = 1024;

/** A bet that is made as long as it is won now and then. */
class Bet {
  #lost = 0;
  #pause = 0;
  #skipped = 0;

  /** It has been lost so often that it is only tried now and then. */
  get rare(): boolean {
    return this.#pause > 0;
  }

  /** Whether it should be made this time. */
  pays(): boolean {
    if (this.#lost < PATIENCE) return true;
    if (++this.#skipped < this.#pause) return false;
    this.#skipped = 0;
    return true;
  }

  /** Say how it ended; returns that. */
  ended(won: boolean): boolean {
    if (won) {
      this.#lost = 0;
      this.#pause = 0;
    } else if (++this.#lost >= PATIENCE) {
      this.#pause = Math.min(
        LONGEST_PAUSE,
        Math.max(FIRST_PAUSE, 2 * this.#pause),
      );
    }
    return won;
  }
}

/** See the module. */
export class BriefWait {
  readonly #poller: Poller;
  readonly #longest: number;
  readonly #bet = new Bet();
  readonly #awake = new Bet();
  #tries = 0;

  /**
   * @param longest ms; 0 for none; more than 1 counts as 1.
   * @throws {RangeError} If `longest` is negative or NaN.
   */
  constructor(poller: Poller, longest: number | null = DEFAULT) {
    const wanted = longest ?? DEFAULT;
    if (!(wanted >= 0)) {
      throw new RangeError(
        `Cannot wait briefly: briefWait is negative or NaN: ${wanted}`,
      );
    }
    this.#poller = poller;
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
    const won = awake
      ? this.#awake.ended(this.#ask(longest))
      : this.#poller.linger!(longest);
    return this.#bet.ended(won);
  }

  #ask(ms: number): boolean {
    const poller = this.#poller;
    const end = performance.now() + ms;
    do if (poller.linger!(0)) return true; while (performance.now() < end);
    return false;
  }
}
