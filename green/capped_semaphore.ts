/**
 * `CappedSemaphore`: a semaphore with a ceiling, at which releasing waits.
 *
 * It is a channel for tokens without content, and obeys the rules of one: who
 * releases hands its token to who has waited longest, even under a limit of 0;
 * who acquires lets in the token of whoever has waited longest to release.
 *
 * @module
 */

import { refused } from "../hubs/thrown.ts";
import { checkCount, endWithFalse } from "./semaphore.ts";
import {
  type BlockOptions,
  checkWait,
  inTurn,
  overdue,
  Waiters,
} from "./waiters.ts";

/**
 * A counter between zero and a limit: taking below waits, and so does giving
 * back above.
 *
 * A release that was broken off by a kill has released nothing if it still
 * waited for room. A token whose taker was killed before it could go on comes
 * back, above the limit if need be.
 *
 * @example
 * ```ts
 * import { CappedSemaphore, spawn } from "../mod.ts";
 *
 * const sem = new CappedSemaphore(1, 1);
 * const gt = spawn(() => sem.release()); // waits: it is at the limit
 * await sem.acquire();
 * await sem.acquire();
 * await gt.wait();
 * ```
 */
export class CappedSemaphore {
  readonly #limit: number;
  readonly #acquirers: Waiters;
  readonly #releasers = new Waiters({ expired: endWithFalse });
  #counter: number;

  /**
   * Make a semaphore with `count` tokens of at most `limit`.
   *
   * @throws {TypeError} If one is no number.
   * @throws {RangeError} If one is no integer from 0, or `count` > `limit`.
   */
  constructor(count: number, limit: number) {
    checkCount(count, "count");
    checkCount(limit, "limit");
    if (count > limit) {
      throw new RangeError(
        `Cannot make a CappedSemaphore: count ${count} is above limit ${limit}`,
      );
    }
    this.#counter = count;
    this.#limit = limit;
    this.#acquirers = new Waiters({
      expired: endWithFalse,
      left: (_waiter, granted) => {
        if (granted) this.#putBack();
      },
    });
  }

  /**
   * Tokens there are, less those who wait for one, less the room there is, plus
   * those who wait for room.
   */
  get balance(): number {
    const room = Math.max(0, this.#limit - this.#counter);
    return (this.#counter - this.#acquirers.size) -
      (room - this.#releasers.size);
  }

  /** There is no token: `acquire` would wait. */
  get locked(): boolean {
    return this.#counter === 0 && this.#releasers.size === 0;
  }

  /** There is no room: `release` would wait. */
  get bounded(): boolean {
    return this.#counter >= this.#limit && this.#acquirers.size === 0;
  }

  /**
   * Take a token, waiting for it if need be. No switch point if there is one,
   * but for one in a thousand calls without one: others want to run, too.
   *
   * @returns True, or false: the time is over, or there was no token and
   * `block` is false.
   * @throws {TypeError} If an option has the wrong type, or `timeout` comes
   * with `block: false`.
   * @throws {RangeError} If `timeout` is NaN.
   * @throws {HubError} From MAINLOOP, if it would have to wait.
   */
  acquire(options?: BlockOptions): Promise<boolean> {
    try {
      const block = checkWait(options, "acquire");
      if (block && !this.locked && overdue()) {
        return inTurn(() => this.acquire(options));
      }
      if (this.tryAcquire()) return Promise.resolve(true);
      if (!block) return Promise.resolve(false);
      const { suspension } = this.#acquirers.wait(options, undefined);
      return suspension.promise as Promise<boolean>;
    } catch (error) {
      return refused(error);
    }
  }

  /** Take a token if there is one that nobody waits for. Never yields. */
  tryAcquire(): boolean {
    if (this.locked) return false;
    this.#counter--;
    this.#admit();
    return true;
  }

  /**
   * Give a token back, waiting for room if need be. No switch point if there is
   * room, or somebody who waits for a token.
   *
   * @returns True, or false: the time is over, or there was no room and `block`
   * is false.
   * @throws As {@linkcode CappedSemaphore.acquire}.
   */
  release(options?: BlockOptions): Promise<boolean> {
    try {
      const block = checkWait(options, "release");
      if (!this.bounded) {
        this.#putBack();
        return Promise.resolve(true);
      }
      if (!block) return Promise.resolve(false);
      const { suspension } = this.#releasers.wait(options, undefined);
      return suspension.promise as Promise<boolean>;
    } catch (error) {
      return refused(error);
    }
  }

  #putBack(): void {
    if (this.#acquirers.size > 0) this.#acquirers.grant(true);
    else this.#counter++;
  }

  /** Let in the tokens of those who wait for room. */
  #admit(): void {
    while (this.#releasers.size > 0 && this.#counter < this.#limit) {
      this.#releasers.grant(true);
      this.#counter++;
    }
  }
}
