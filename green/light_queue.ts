/**
 * `LightQueue`: a queue without the book-keeping of `join`.
 *
 * Two rules keep it fair. An item that arrives while somebody waits is handed
 * to who has waited longest, at once: no newcomer can take it. A slot that
 * becomes free is filled at once with the item of whoever has waited longest to
 * put. So somebody waits to get only if there is nothing, and to put only if
 * there is no room.
 *
 * The trap it guards: the gap between handing over and delivery, in which the
 * getter may be killed. Its item goes to the one served after it, whose item
 * goes on to the next, and so on: nothing is lost and the order is kept.
 *
 * @module
 */

import { suspend } from "../hubs/greenthread.ts";
import type { Suspension, SuspensionOwner } from "../hubs/suspension.ts";
import { currentHub } from "../hubs/thread.ts";
import { QueueEmpty, QueueFull } from "./errors.ts";
import { FifoStore, type Store } from "./stores.ts";
import {
  type BlockOptions,
  checkWait,
  inMainloop,
  type Waiter,
  Waiters,
} from "./waiters.ts";

/** The owner of a put that has happened and only waits for its turn. */
const HAPPENED: SuspensionOwner = { abandoned(): void {} };

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
export class LightQueue<T = unknown> {
  readonly #store: Store<T>;
  readonly #getters: Waiters<T>;
  readonly #putters = new Waiters<T>({ expired: endWithFull });
  #maxSize: number | null;
  /** Who was handed an item last; the others lead to it by `after`. */
  #served: Waiter<T> | null = null;
  /** The first of those not gone on yet, where later items may displace. */
  #serving: Waiter<T> | null = null;

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
    this.#getters = new Waiters<T>({
      expired: endWithEmpty,
      left: (waiter, granted) => {
        if (granted) this.#comeBack(waiter);
      },
    });
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
    return this.#getters.size;
  }

  /** How many wait to put. */
  get putting(): number {
    return this.#putters.size;
  }

  /**
   * Put an item in, waiting for room if need be. No switch point if there is
   * room; into a channel it always is one, but with `block: false`.
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
      if (block && this.#maxSize === 0 && this.#getters.size > 0) {
        return this.#putIntoChannel(item);
      }
      if (this.#tryPut(item)) return Promise.resolve();
      if (!block) throw new QueueFull();
      const { suspension } = this.#putters.wait(options, item);
      return suspension.promise as Promise<void>;
    } catch (error) {
      return Promise.reject(error);
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
   * one.
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
      const item = this.#tryGet();
      if (item !== NOTHING) return Promise.resolve(item);
      if (!block) throw new QueueEmpty();
      const waiter = this.#getters.wait(options, undefined as T);
      return waiter.suspension.promise as Promise<T>;
    } catch (error) {
      return Promise.reject(error);
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

  #tryPut(item: T): boolean {
    if (this.#getters.size === 0 && this.full) return false;
    if (this.#serving === null) this.#place(item);
    else this.#displace(item);
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

  /** Give an item to who has waited longest, or keep it. */
  #place(item: T): void {
    if (this.#getters.size === 0) {
      this.#store.push(item);
      return;
    }
    const waiter = this.#getters.grant(item);
    waiter.value = item;
    if (this.#served !== null) this.#served.after = waiter;
    this.#served = waiter;
    if (this.#store.before !== undefined) this.#serving ??= waiter;
  }

  /**
   * Those who were handed an item and have not gone on yet get the first of all
   * that have arrived by then; what is left over is placed.
   */
  #displace(arrived: T): void {
    const served: Waiter<T>[] = [];
    for (let one = this.#serving; one !== null; one = one.after) {
      if (!one.suspension.settled) served.push(one);
    }
    this.#serving = served[0] ?? null;
    const at = served.findIndex((one) =>
      this.#store.before!(arrived, one.value)
    );
    const moved = at < 0 ? [] : served.slice(at);
    // Comparing may throw: change nothing before that is over.
    this.#place(moved.length === 0 ? arrived : moved.at(-1)!.value);
    let item = arrived;
    for (const one of moved) item = swap(one, item);
  }

  /** A getter was killed with an item in hand. */
  #comeBack(waiter: Waiter<T>): void {
    let item = waiter.value;
    for (let one = waiter.after; one !== null; one = one.after) {
      if (!one.suspension.settled) item = swap(one, item);
    }
    if (this.#getters.size > 0) this.#place(item);
    else this.#store.unshift(item);
  }
}

/** Give one who was served `item` instead of what it has. */
function swap<T>(waiter: Waiter<T>, item: T): T {
  const other = waiter.value;
  waiter.value = item;
  waiter.suspension.amend(item);
  return other;
}
