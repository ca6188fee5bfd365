/**
 * `Semaphore` and `BoundedSemaphore`: so many at a time.
 *
 * The trap it guards: a newcomer that takes a token past those who wait for
 * one, without waiting or with a timeout, and so starves them. A token released
 * while somebody waits is that waiter's from then on; the counter does not even
 * see it. A waiter that is killed with a token in hand passes it on.
 *
 * @module
 */

import type { Suspension } from "../hubs/suspension.ts";
import { outer, refused } from "../hubs/thrown.ts";
import { Timeout } from "../hubs/timeout.ts";
import {
  type BlockOptions,
  checkWait,
  inTurn,
  overdue,
  Waiters,
  type WaitOptions,
} from "./waiters.ts";

/** Throw unless `value` is an integer from 0. @internal */
export function checkCount(value: unknown, what: string): void {
  if (typeof value !== "number") {
    throw new TypeError(`Cannot use ${what}: no number: ${typeof value}`);
  }
  if (!(Number.isSafeInteger(value) && value >= 0)) {
    throw new RangeError(`Cannot use ${what}: no integer from 0: ${value}`);
  }
}

/** The end of a wait that says false. @internal */
export function endWithFalse(suspension: Suspension): void {
  suspension.resume(false);
}

/**
 * A token of a semaphore, given back at the end of a `using` block, once.
 */
export class Permit implements Disposable {
  #release: (() => void) | null;

  /** Made by {@linkcode Semaphore.permit}. */
  constructor(release: () => void) {
    this.#release = release;
  }

  /** Give the token back. */
  [Symbol.dispose](): void {
    const release = this.#release;
    this.#release = null;
    release?.();
  }
}

/**
 * A counter that is never taken below zero: whoever would, waits. First come,
 * first served, without exception.
 *
 * @example
 * ```ts
 * import { Semaphore, sleep, spawn } from "../mod.ts";
 *
 * const two = new Semaphore(2);
 * let inside = 0;
 * const work = async () => {
 *   using _permit = await two.permit();
 *   if (++inside > 2) throw new Error("too many");
 *   await sleep();
 *   inside--;
 * };
 * for (const gt of [1, 2, 3, 4].map(() => spawn(work))) await gt.wait();
 * ```
 */
export class Semaphore {
  readonly #waiters: Waiters;
  #counter: number;

  /**
   * Make a semaphore with `value` tokens.
   *
   * @throws {TypeError} If `value` is no number.
   * @throws {RangeError} If it is no integer from 0.
   */
  constructor(value = 1) {
    checkCount(value, "value");
    this.#counter = value;
    this.#waiters = new Waiters({
      expired: endWithFalse,
      left: (_waiter, granted) => {
        if (granted) this.#putBack();
      },
    });
  }

  /** Tokens there are, less those who wait for one. */
  get balance(): number {
    return this.#counter - this.#waiters.size;
  }

  /** There is no token: `acquire` would wait. */
  get locked(): boolean {
    return this.#counter === 0;
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
      const { suspension } = this.#waiters.wait(options, undefined);
      return suspension.promise as Promise<boolean>;
    } catch (error) {
      return refused(error);
    }
  }

  /** Take a token if there is one that nobody waits for. Never yields. */
  tryAcquire(): boolean {
    if (this.#counter === 0) return false;
    this.#counter--;
    return true;
  }

  /**
   * Take a token for a `using` block.
   *
   * @throws As {@linkcode Semaphore.acquire}; and
   * @throws {Timeout} If the time is over.
   */
  permit(options?: WaitOptions): Promise<Permit> {
    return outer(this.#permit(options));
  }

  async #permit(options: WaitOptions | undefined): Promise<Permit> {
    const got = await this.acquire(options);
    if (!got) throw Timeout.expired(options?.timeout ?? null);
    return new Permit(() => this.release());
  }

  /** Give a token back: to who has waited longest. Never yields. */
  release(): boolean {
    this.#putBack();
    return true;
  }

  /** Tokens there are, whoever waits. For subclasses. */
  protected get tokens(): number {
    return this.#counter;
  }

  #putBack(): void {
    if (this.#waiters.size > 0) this.#waiters.grant(true);
    else this.#counter++;
  }
}

/**
 * A semaphore that knows how many tokens it can have: one released too often is
 * an error.
 *
 * @example
 * ```ts
 * import { BoundedSemaphore } from "../mod.ts";
 *
 * const one = new BoundedSemaphore(1);
 * await one.acquire();
 * one.release();
 * try {
 *   one.release();
 *   throw new Error("no error");
 * } catch (error) {
 *   if (!(error instanceof RangeError)) throw error;
 * }
 * ```
 */
export class BoundedSemaphore extends Semaphore {
  readonly #initial: number;

  /** As {@linkcode Semaphore}; `value` is the bound, too. */
  constructor(value = 1) {
    super(value);
    this.#initial = value;
  }

  /**
   * Give a token back.
   *
   * @throws {RangeError} If all are there; nothing has changed then.
   */
  override release(): boolean {
    if (this.tokens >= this.#initial) {
      throw new RangeError(
        `Cannot release: all ${this.#initial} tokens are there`,
      );
    }
    return super.release();
  }
}
