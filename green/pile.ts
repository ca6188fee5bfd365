/**
 * `GreenPile`: spawn now, fetch the results later, in the order of spawning.
 *
 * The trap it guards: a spawn that fails (its wait for a slot was broken off)
 * must leave no hole in the sequence. It has its place from the moment of the
 * call, and gives it up when it fails.
 *
 * @module
 */

import { outer } from "../hubs/thrown.ts";
import type { PoolMap } from "./pool_map.ts";
import { InOrder, resultOf } from "./in_order.ts";
import type { AnyIterable } from "./inputs.ts";
import { DEFAULT_SIZE, GreenPool } from "./pool.ts";
import type { WaitOptions } from "./waiters.ts";

/**
 * A pool that keeps results: iterating gives them in the order of spawning, and
 * ends when there are no more. After that it can be used again.
 *
 * A call that failed makes `next()` reject at its place, and the results go on.
 * Results that are never fetched are kept, so do fetch them, or use a
 * {@linkcode GreenPool}.
 *
 * @example
 * ```ts
 * import { GreenPile, sleep } from "../mod.ts";
 *
 * const pile = new GreenPile(10);
 * for (const ms of [3, 1, 2]) {
 *   await pile.spawn(async (ms: number) => {
 *     await sleep(ms);
 *     return ms;
 *   }, ms);
 * }
 * const results: number[] = [];
 * for await (const ms of pile as GreenPile<number>) results.push(ms);
 * if (results.join() !== "3,1,2") throw new Error(results.join());
 * ```
 */
// deno-lint-ignore no-explicit-any
export class GreenPile<R = any> implements AsyncIterableIterator<R> {
  readonly #pool: GreenPool;
  readonly #results = new InOrder(false);

  /**
   * Make a pile.
   *
   * @param sizeOrPool A pool to share, or the size of one of its own.
   * @throws {TypeError} If it is neither a pool nor a number.
   * @throws {RangeError} If it is no integer from 0.
   */
  constructor(sizeOrPool: number | GreenPool = DEFAULT_SIZE) {
    this.#pool = sizeOrPool instanceof GreenPool
      ? sizeOrPool
      : new GreenPool(sizeOrPool);
  }

  /** How many may run at a time. */
  get size(): number {
    return this.#pool.size;
  }

  /** Slots of the pool in use. */
  get running(): number {
    return this.#pool.running;
  }

  /** Slots of the pool left. */
  get free(): number {
    return this.#pool.free;
  }

  /** How many wait to spawn into the pool. */
  get waiting(): number {
    return this.#pool.waiting;
  }

  /**
   * Run `fn(...args)` in a greenthread of its own, waiting for a slot if need
   * be, and keep its result.
   *
   * @throws As `GreenPool.spawn`; nothing is kept then.
   */
  spawn<A extends unknown[]>(
    fn: (...args: A) => R | PromiseLike<R>,
    ...args: A
  ): Promise<void> {
    return outer(this.#spawn(fn, args));
  }

  async #spawn<A extends unknown[]>(
    fn: (...args: A) => R | PromiseLike<R>,
    args: A,
  ): Promise<void> {
    const place = this.#results.reserve();
    try {
      const gt = await this.#pool.spawn(fn, ...args);
      gt.expectWait();
      this.#results.fill(place, gt);
    } catch (error) {
      this.#results.drop(place);
      throw error;
    }
  }

  /** As `GreenPool.spawnN`: its result is not kept. */
  spawnN<A extends unknown[]>(
    fn: (...args: A) => unknown,
    ...args: A
  ): Promise<void> {
    return this.#pool.spawnN(fn, ...args);
  }

  /** As `GreenPool.imap`. */
  imap<T>(
    // deno-lint-ignore no-explicit-any
    fn: (...args: any[]) => T | PromiseLike<T>,
    // deno-lint-ignore no-explicit-any
    ...iterables: AnyIterable<any>[]
  ): PoolMap<T>;
  /** The same for an `fn` that only sometimes returns a promise. */
  imap<T>(
    // deno-lint-ignore no-explicit-any
    fn: (...args: any[]) => T,
    // deno-lint-ignore no-explicit-any
    ...iterables: AnyIterable<any>[]
  ): PoolMap<Awaited<T>>;
  imap(
    fn: (...args: unknown[]) => unknown,
    ...iterables: AnyIterable<unknown>[]
  ): PoolMap<unknown> {
    return this.#pool.imap(fn, ...iterables);
  }

  /** As `GreenPool.starmap`. */
  starmap<T>(
    // deno-lint-ignore no-explicit-any
    fn: (...args: any[]) => T | PromiseLike<T>,
    iterable: AnyIterable<Iterable<unknown>>,
  ): PoolMap<T>;
  /** The same for an `fn` that only sometimes returns a promise. */
  starmap<T>(
    // deno-lint-ignore no-explicit-any
    fn: (...args: any[]) => T,
    iterable: AnyIterable<Iterable<unknown>>,
  ): PoolMap<Awaited<T>>;
  starmap(
    fn: (...args: unknown[]) => unknown,
    iterable: AnyIterable<Iterable<unknown>>,
  ): PoolMap<unknown> {
    return this.#pool.starmap(fn, iterable);
  }

  /** As `GreenPool.waitAll`. */
  waitAll(options?: WaitOptions): Promise<void> {
    return this.#pool.waitAll(options);
  }

  /** As `GreenPool.resize`. */
  resize(size: number): void {
    this.#pool.resize(size);
  }

  /**
   * Wait for the next result; the end, if all were fetched.
   *
   * @throws Whatever that call threw.
   */
  next(): Promise<IteratorResult<R, undefined>> {
    return outer(this.#next());
  }

  async #next(): Promise<IteratorResult<R, undefined>> {
    return resultOf<R>(await this.#results.next());
  }

  /** Itself. Leaving a loop early leaves the rest to the next. */
  [Symbol.asyncIterator](): this {
    return this;
  }
}
