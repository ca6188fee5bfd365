/**
 * `LightQueue`: a queue without the book-keeping of `join`.
 *
 * Two rules keep it fair. An item that arrives while somebody waits is handed
 * to who has waited longest, at once: no newcomer can take it. A slot that
 * becomes free is filled at once with the item of whoever has waited longest to
 * put. So somebody waits to get only if there is nothing, and to put only if
 * there is no room.
 *
 * The trap it guards: a put into a channel that goes on before its item was
 * taken. It gets its turn right behind the getter.
 *
 * @module
 */

import { suspend } from "../hubs/suspend.ts";
import { HAPPENED, type Suspension } from "../hubs/suspension.ts";
import { currentHub } from "../hubs/thread.ts";
import { refused } from "../hubs/thrown.ts";
import { QueueEmpty, QueueFull } from "./errors.ts";
import { HandOver } from "./hand_over.ts";
import { FifoStore, type Store } from "./stores.ts";
import {
  type BlockOptions,
  checkWait,
  inMainloop,
  inTurn,
  overdue,
  Waiters,
} from "./waiters.ts";

const NOTHING = Symbol("nothing");

function checkedMaxSize(maxSize: unknown): number | null {
  if (maxSize === undefined || maxSize === null) return null;
  if (typeof maxSize !== "number") {
    throw new TypeError(`Cannot use maxSize: no number: ${typeof maxSize}`);
  }
  if (maxSize === Infinity || maxSize < 0) return null;
  if (!Number.isSafeInteger(maxSize)) {
    throw new RangeError(`Cannot use maxSize: no integer: ${maxSize}`);
  }
  return maxSize;
}

function endWithEmpty(suspension: Suspension, ms: number): void {
  suspension.throw(new QueueEmpty(`Cannot get: nothing came in ${ms} ms`));
}

function endWithFull(suspension: Suspension, ms: number): void {
  suspension.throw(new QueueFull(`Cannot put: no room came in ${ms} ms`));
}

/**
 * A queue between greenthreads: first in, first out, and first come, first
 * served on both sides.
 *
 * With `maxSize` 0 it is a channel: `put` waits until its item is taken, and
 * goes on only after the taker.
 *
 * A `put` that was broken off by a kill has put nothing if it still waited for
 * room. An item whose getter was killed before it could go on comes back, above
 * `maxSize` if need be. (A promise as an item is awaited by `get`, as promises
 * are; `tryGet` returns it as it is.)
 *
 * @example
 * ```ts
 * import { LightQueue, spawn } from "../mod.ts";
 *
 * const queue = new LightQueue<number>(2);
 * const sum = spawn(async () => {
 *   let total = 0;
 *   for (let i = 0; i < 10; i++) total += await queue.get();
 *   return total;
 * });
 * for (let i = 1; i <= 10; i++) await queue.put(i);
 * if (await sum.wait() !== 55) throw new Error("not 55");
 * ```
 */
// deno-lint-ignore no-explicit-any
export class LightQueue<T = any> {
  readonly #store: Store<T>;
  readonly #handOver: HandOver<T>;
  readonly #putters = new Waiters<T>({ expired: endWithFull });
  #maxSize: number | null;

  /**
   * Make an empty queue.
   *
   * @param maxSize How many items it holds; 0: a channel; null, undefined or
   * negative: no limit.
   * @param store How it keeps them; default in order of arrival.
   * @throws {TypeError} If `maxSize` is no number.
   * @throws {RangeError} If it is no integer.
   */
  constructor(maxSize?: number | null, store: Store<T> = new FifoStore<T>()) {
    this.#maxSize = checkedMaxSize(maxSize);
    this.#store = store;
    this.#handOver = new HandOver(store, endWithEmpty);
  }

  /** How many items there are to get. */
  get size(): number {
    return this.#store.size;
  }

  /** How many it holds; null: no limit; 0: a channel. */
  get maxSize(): number | null {
    return this.#maxSize;
  }

  /** There is nothing in it. */
  get empty(): boolean {
    return this.#store.size === 0;
  }

  /** There is no room in it. A channel is always full, and empty as a rule. */
  get full(): boolean {
    return this.#maxSize !== null && this.#store.size >= this.#maxSize;
  }

  /** How many wait to get. */
  get getting(): number {
    return this.#handOver.getting;
  }

  /** How many wait to put. */
  get putting(): number {
    return this.#putters.size;
  }

  /**
   * Put an item in, waiting for room if need be. No switch point if there is
   * room, but for one in a thousand calls without one: others want to run, too.
   * Into a channel it always is one, but with `block: false`.
   *
   * @throws {QueueFull} If the time is over, or there was no room and `block` is
   * false.
   * @throws {TypeError} If an option has the wrong type, or `timeout` comes
   * with `block: false`.
   * @throws {RangeError} If `timeout` is NaN.
   * @throws {HubError} From MAINLOOP, if it would have to wait.
   */
  put(item: T, options?: BlockOptions): Promise<void> {
    try {
      const block = checkWait(options, "put");
      if (block && this.#maxSize === 0 && this.getting > 0) {
        return this.#putIntoChannel(item);
      }
      if (block && this.#room && overdue()) {
        return inTurn(() => this.put(item, options));
      }
      if (this.#tryPut(item)) return Promise.resolve();
      if (!block) throw new QueueFull();
      const { suspension } = this.#putters.wait(options, item);
      return suspension.promise as Promise<void>;
    } catch (error) {
      return refused(error);
    }
  }

  /**
   * Put an item in now. Never yields, and works in callbacks of timers.
   *
   * @throws {QueueFull} If there is no room.
   */
  tryPut(item: T): void {
    if (!this.#tryPut(item)) throw new QueueFull();
  }

  /**
   * Take an item out, waiting for one if need be. No switch point if there is
   * one, but for one in a thousand calls without one.
   *
   * @throws {QueueEmpty} If the time is over, or there was nothing and `block`
   * is false.
   * @throws {TypeError} If an option has the wrong type, or `timeout` comes
   * with `block: false`.
   * @throws {RangeError} If `timeout` is NaN.
   * @throws {HubError} From MAINLOOP, if it would have to wait.
   */
  get(options?: BlockOptions): Promise<T> {
    try {
      const block = checkWait(options, "get");
      if (block && this.#filled && overdue()) {
        return inTurn(() => this.get(options));
      }
      const item = this.#tryGet();
      if (item !== NOTHING) return Promise.resolve(item);
      if (!block) throw new QueueEmpty();
      return this.#handOver.wait(options);
    } catch (error) {
      return refused(error);
    }
  }

  /**
   * Take an item out now, from somebody who waits to put it if need be. Never
   * yields, and works in callbacks of timers.
   *
   * @throws {QueueEmpty} If there is none.
   */
  tryGet(): T {
    const item = this.#tryGet();
    if (item === NOTHING) throw new QueueEmpty();
    return item;
  }

  /**
   * Change `maxSize`. Growing lets in those who wait to put; shrinking keeps
   * the items there are.
   *
   * @throws {TypeError} If `maxSize` is no number.
   * @throws {RangeError} If it is no integer.
   */
  resize(maxSize: number | null): void {
    this.#maxSize = checkedMaxSize(maxSize);
    this.#admit();
  }

  /** An item was put. For subclasses. */
  protected accepted(): void {}

  /** A put need not wait. */
  get #room(): boolean {
    return !this.full || this.getting > 0;
  }

  /** A get need not wait. */
  get #filled(): boolean {
    return this.#store.size > 0 || this.#putters.size > 0;
  }

  #tryPut(item: T): boolean {
    if (!this.#room) return false;
    this.#handOver.arrive(item);
    this.accepted();
    return true;
  }

  /** The getter goes on first, then the putter. */
  #putIntoChannel(item: T): Promise<void> {
    const suspension = inMainloop() ? null : suspend(currentHub(), HAPPENED);
    try {
      this.#tryPut(item);
    } catch (error) {
      suspension?.withdraw();
      throw error;
    }
    if (suspension === null) return Promise.resolve();
    suspension.schedule();
    return suspension.promise as Promise<void>;
  }

  #tryGet(): T | typeof NOTHING {
    if (this.#store.size > 0) {
      const item = this.#store.shift();
      this.#admit();
      return item;
    }
    const putter = this.#putters.first;
    if (putter === null) return NOTHING;
    this.#putters.grant(undefined);
    this.accepted();
    return putter.value;
  }

  /** Fill the room there is with what others wait to put. */
  #admit(): void {
    for (
      let putter = this.#putters.first;
      putter !== null && !this.full;
      putter = this.#putters.first
    ) {
      try {
        this.#store.push(putter.value);
      } catch (error) {
        // A comparison threw: that is the putter's error, not the getter's.
        this.#putters.fail(error);
        continue;
      }
      this.#putters.grant(undefined);
      this.accepted();
    }
  }
}
