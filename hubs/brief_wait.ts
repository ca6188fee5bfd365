/**
 * The brief wait before a park: what comes within some tens of microseconds,
 * as the answer of a peer on the same machine does, is awaited on the spot.
 *
 * The trap it guards: it stops Deno's loop for that time, so it must pay. It is
 * a bet with a memory: won, it is made again at once; lost several times, it
 * is left out for longer and longer.
 *
 * @module
 */

import type { Poller } from "./poller.ts";

/** The longest brief wait by default, ms. */
const DEFAULT = 0.05;
/** So many bets lost in a row are borne. */
const PATIENCE = 3;
/** At most so many parks are passed over before the next try. */
const LONGEST_PAUSE = 1024;

/** See the module. */
export class BriefWait {
  readonly #poller: Poller;
  readonly #longest: number;
  #lost = 0;
  #pause = 0;
  #skipped = 0;

  /**
   * @param longest ms; 0 for none.
   * @throws {RangeError} If `longest` is negative, NaN or above 1.
   */
  constructor(poller: Poller, longest: number = DEFAULT) {
    if (!(longest >= 0 && longest <= 1)) {
      throw new RangeError(
        `Cannot wait briefly: briefWait is not from 0 to 1 ms: ${longest}`,
      );
    }
    this.#poller = poller;
    this.#longest = poller.linger === undefined ? 0 : longest;
  }

  /** Whether the next bet should be made. */
  pays(): boolean {
    if (this.#longest === 0) return false;
    if (this.#lost < PATIENCE) return true;
    if (++this.#skipped < this.#pause) return false;
    this.#skipped = 0;
    return true;
  }

  /** Wait, at most `limit` ms; true if something became ready. */
  wait(limit: number): boolean {
    const won = this.#poller.linger!(Math.min(limit, this.#longest));
    if (won) {
      this.#lost = 0;
      this.#pause = 0;
    } else if (++this.#lost >= PATIENCE) {
      this.#pause = Math.min(LONGEST_PAUSE, Math.max(8, 2 * this.#pause));
    }
    return won;
  }
}
