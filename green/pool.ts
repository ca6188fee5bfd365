/**
 * `GreenPool`: so many greenthreads at a time.
 *
 * A slot belongs to a member from the call of `spawn` until its end, however it
 * ends, also if it was killed before it started. A slot that becomes free while
 * somebody waits to spawn is that one's at once.
 *
 * The trap it guards: a member that spawns into its own full pool would wait
 * for a slot that it may hold itself. It lends its own: the new greenthread
 * runs while the member waits for it, so no more run than before.
 *
 * @module
 */

import { GreenletExit, HubError } from "../hubs/errors.ts";
import { getCurrent } from "../hubs/current.ts";
import { type AnyFunction, GreenThread } from "../hubs/greenthread.ts";
import { currentHub } from "../hubs/thread.ts";
import { outer, refused } from "../hubs/thrown.ts";
import { type AnyIterable, Inputs, type Items } from "./inputs.ts";
import { PoolMap } from "./pool_map.ts";
import { checkCount, Semaphore } from "./semaphore.ts";
import { checkWait, Waiters, type WaitOptions } from "./waiters.ts";

/** What a member does with its slot while it waits for those it has spawned. */
class Lending {
  readonly member: GreenThread;
  /** Whose turn it is to have the slot. */
  readonly turn = new Semaphore(1);
  /** How many have it: one, and those killed that still unwind. */
  lent = 0;
  /** The member has ended meanwhile: what is to be done when it comes back. */
  free: (() => void) | null = null;

  constructor(member: GreenThread) {
    this.member = member;
  }

  comesBack(): void {
    if (--this.lent === 0) this.free?.();
  }
}

/** How many greenthreads a pool has room for, unless told. */
export const DEFAULT_SIZE = 1000;

/**
 * A bound on how many greenthreads run at a time.
 *
 * @example
 * ```ts
 * import { GreenPool, sleep } from "../mod.ts";
 *
 * const pool = new GreenPool(2);
 * const squares: number[] = [];
 * for await (const n of pool.imap((n: number) => n * n, [1, 2, 3])) {
 *   squares.push(n);
 * }
 * if (squares.join() !== "1,4,9") throw new Error(squares.join());
 *
 * for (let i = 0; i < 5; i++) await pool.spawnN(() => sleep(1));
 * await pool.waitAll();
 * if (pool.running !== 0) throw new Error("still running");
 * ```
 */
export class GreenPool {
  readonly #members = new WeakSet<GreenThread>();
  /** Members that lend their slot, and those who lend it for them. */
  readonly #lendings = new WeakMap<GreenThread, Lending>();
  readonly #spawners: Waiters;
  readonly #idlers = new Waiters();
  #size: number;
  #running = 0;

  /**
   * Make a pool.
   *
   * @param size How many may run at a time; with 0, `spawn` waits for a
   * `resize`.
   * @throws {TypeError} If `size` is no number.
   * @throws {RangeError} If it is no integer from 0.
   */
  constructor(size: number = DEFAULT_SIZE) {
    checkCount(size, "size");
    this.#size = size;
    this.#spawners = new Waiters({
      left: (_waiter, granted) => {
        if (granted) this.#running--;
        this.#admit();
      },
    });
  }

  /** How many may run at a time. */
  get size(): number {
    return this.#size;
  }

  /** Slots in use, from the call of `spawn` on. */
  get running(): number {
    return this.#running;
  }

  /** Slots left; negative while a pool that has shrunk runs too many. */
  get free(): number {
    return this.#size - this.#running;
  }

  /** How many wait to spawn. */
  get waiting(): number {
    return this.#spawners.size;
  }

  /**
   * Run `fn(...args)` in a greenthread of its own, waiting for a slot if need
   * be. No switch point if there is one.
   *
   * Called by a member while the pool is full, it lends the member's slot: it
   * resolves when `fn` has ended, and its result or error is in what it
   * resolves to.
   *
   * @throws {TypeError} If `fn` is no function.
   * @throws {HubError} From MAINLOOP, if it would have to wait.
   */
  spawn<A extends unknown[], T>(
    fn: (...args: A) => T | PromiseLike<T>,
    ...args: A
  ): Promise<GreenThread<T>>;
  /** The same for an `fn` that only sometimes returns a promise. */
  spawn<A extends unknown[], R>(
    fn: (...args: A) => R,
    ...args: A
  ): Promise<GreenThread<Awaited<R>>>;
  spawn<A extends unknown[], T>(
    fn: (...args: A) => T,
    ...args: A
  ): Promise<GreenThread<T>> {
    return this.#spawn<T>(fn as AnyFunction, args, true);
  }

  /**
   * As {@linkcode GreenPool.spawn}, for those who want no result. An uncaught
   * error is reported once.
   */
  spawnN<A extends unknown[]>(
    fn: (...args: A) => unknown,
    ...args: A
  ): Promise<void> {
    return outer(this.#spawn(fn as AnyFunction, args, false).then(nothing));
  }

  /**
   * Call `fn` with an item of each input, in this pool, and give the results in
   * the order of the inputs.
   *
   * The inputs may be sync or async iterables; the shortest ends it. At most
   * `size` calls are under way or not fetched yet, and one more item has been
   * taken from the inputs. A call that fails makes `next()` reject at its
   * place, and the results go on; an input that fails does so after all results
   * and ends it. `return()`, as at the end of a `for await`, kills the calls
   * that still run and closes the inputs.
   *
   * @param fn What is called; null: the result is an array of the items.
   * @throws {TypeError} If `fn` is no function, or an input not iterable.
   */
  // deno-lint-ignore no-explicit-any
  imap<I extends AnyIterable<any>[], R>(
    fn: (...args: Items<I>) => R | PromiseLike<R>,
    ...iterables: I
  ): PoolMap<R>;
  /** The same for an `fn` that only sometimes returns a promise. */
  // deno-lint-ignore no-explicit-any
  imap<I extends AnyIterable<any>[], R>(
    fn: (...args: Items<I>) => R,
    ...iterables: I
  ): PoolMap<Awaited<R>>;
  /** The same without a function: arrays of the items. */
  // deno-lint-ignore no-explicit-any
  imap<I extends AnyIterable<any>[]>(
    fn: null | undefined,
    ...iterables: I
  ): PoolMap<Items<I>>;
  imap(
    fn: AnyFunction | null | undefined,
    ...iterables: AnyIterable<unknown>[]
  ): PoolMap<unknown> {
    return this.#map(fn, () => new Inputs(iterables));
  }

  /**
   * As {@linkcode GreenPool.imap} with one input of arrays, each the arguments
   * of one call.
   *
   * @throws {TypeError} If `fn` is no function, or the input not iterable.
   */
  starmap<R>(
    // deno-lint-ignore no-explicit-any
    fn: (...args: any[]) => R | PromiseLike<R>,
    iterable: AnyIterable<Iterable<unknown>>,
  ): PoolMap<R>;
  /** The same for an `fn` that only sometimes returns a promise. */
  starmap<R>(
    // deno-lint-ignore no-explicit-any
    fn: (...args: any[]) => R,
    iterable: AnyIterable<Iterable<unknown>>,
  ): PoolMap<Awaited<R>>;
  /** The same without a function: arrays of the arguments. */
  starmap<A>(
    fn: null | undefined,
    iterable: AnyIterable<Iterable<A>>,
  ): PoolMap<A[]>;
  starmap(
    fn: AnyFunction | null | undefined,
    iterable: AnyIterable<Iterable<unknown>>,
  ): PoolMap<unknown> {
    return this.#map(fn, () => new Inputs([iterable], true));
  }

  /**
   * Wait until nothing runs and nobody waits to spawn. No switch point if so.
   *
   * @throws {Timeout} If the time is over.
   * @throws {HubError} If a member of the pool calls it, or MAINLOOP and it
   * would have to wait.
   */
  waitAll(options?: WaitOptions): Promise<void> {
    try {
      checkWait(options, "wait");
      if (this.#members.has(getCurrent())) {
        throw new HubError(
          `Cannot wait for the pool: ${getCurrent()} is in it itself`,
        );
      }
      if (this.#idle) return Promise.resolve();
      const { suspension } = this.#idlers.wait(options, undefined);
      return suspension.promise as Promise<void>;
    } catch (error) {
      return refused(error);
    }
  }

  /**
   * Change how many may run. Growing lets in those who wait to spawn; shrinking
   * lets run who runs.
   *
   * @throws {TypeError} If `size` is no number.
   * @throws {RangeError} If it is no integer from 0.
   */
  resize(size: number): void {
    checkCount(size, "size");
    this.#size = size;
    this.#admit();
  }

  get #idle(): boolean {
    return this.#running === 0 && this.#spawners.size === 0;
  }

  #spawn<T>(
    fn: AnyFunction,
    args: readonly unknown[],
    wanted: boolean,
  ): Promise<GreenThread<T>> {
    try {
      if (typeof fn !== "function") {
        throw new TypeError(`Cannot spawn: fn is no function: ${typeof fn}`);
      }
      if (this.#running < this.#size) {
        this.#running++;
        return Promise.resolve(this.#start<T>(fn, args));
      }
      if (this.#members.has(getCurrent())) {
        return outer(this.#lend<T>(fn, args, wanted));
      }
      const { suspension } = this.#spawners.wait(undefined, undefined);
      return outer(suspension.promise.then(() => this.#start<T>(fn, args)));
    } catch (error) {
      return refused(error);
    }
  }

  #map(
    fn: AnyFunction | null | undefined,
    open: () => Inputs,
  ): PoolMap<unknown> {
    const call = fn ?? ((...args: unknown[]) => args);
    if (typeof call !== "function") {
      throw new TypeError(`Cannot map: fn is no function: ${typeof call}`);
    }
    const map = new PoolMap(open(), {
      spawn: (args) => this.#spawn(call, args, true),
      window: () => Math.max(1, this.#size),
    });
    const current = getCurrent();
    if (this.#members.has(current)) {
      // A member's map may have to lend the member's slot to its calls.
      this.#members.add(map.producer);
      this.#lendings.set(map.producer, this.#lendingOf(current));
    }
    return map;
  }

  /** Spawn into a slot that was taken already; it is free if that fails. */
  #start<T>(fn: AnyFunction, args: readonly unknown[]): GreenThread<T> {
    try {
      const gt = this.#make<T>(fn, args);
      gt.link(ended, this.#ended);
      currentHub().enqueue(gt);
      return gt;
    } catch (error) {
      this.#free();
      throw error;
    }
  }

  /**
   * Spawn without a slot of its own, and wait for the end. A member that spawns
   * several at once lends its slot to one after the other.
   */
  async #lend<T>(
    fn: AnyFunction,
    args: readonly unknown[],
    wanted: boolean,
  ): Promise<GreenThread<T>> {
    const lending = this.#lendingOf(getCurrent());
    using _turn = await lending.turn.permit();
    if (this.#running < this.#size) {
      this.#running++;
      return this.#start<T>(fn, args);
    }
    // A map may outlive the member it was made by: no slot is left to lend.
    if (lending.member.dead) {
      await this.#spawners.wait(undefined, undefined).suspension.promise;
      return this.#start<T>(fn, args);
    }
    const done = new Waiters();
    const wait = done.wait(undefined, undefined).suspension.promise;
    const gt = this.#make<T>(fn, args);
    // Nobody can wait for it yet, but its error is in what the caller gets.
    if (wanted) gt.allowLateWait();
    gt.link(() =>
      this.#whenBack(gt as GreenThread, () => {
        lending.comesBack();
        if (done.size > 0) done.grant(undefined);
      })
    );
    currentHub().enqueue(gt);
    lending.lent++;
    try {
      await wait;
    } catch (error) {
      // Whoever interrupts the lender interrupts what runs in its place.
      gt.throw(error instanceof GreenletExit ? error : new GreenletExit());
      throw error;
    }
    return gt;
  }

  #lendingOf(lender: GreenThread): Lending {
    const lending = this.#lendings.get(lender) ?? new Lending(lender);
    this.#lendings.set(lender, lending);
    return lending;
  }

  /** `gt` has ended: call `fn` when it has no part in its slot any more. */
  #whenBack(gt: GreenThread, fn: () => void): void {
    const lending = this.#lendings.get(gt);
    if (lending !== undefined && lending.lent > 0) lending.free = fn;
    else fn();
  }

  #make<T>(fn: AnyFunction, args: readonly unknown[]): GreenThread<T> {
    const gt = new GreenThread<T>(fn, args);
    gt.inheritContext();
    this.#members.add(gt as GreenThread);
    return gt;
  }

  readonly #ended = (gt: GreenThread): void => {
    this.#whenBack(gt, () => this.#free());
  };

  #free(): void {
    this.#running--;
    this.#admit();
  }

  /** Let in those who wait to spawn; tell those who wait for nobody. */
  #admit(): void {
    while (this.#spawners.size > 0 && this.#running < this.#size) {
      this.#running++;
      this.#spawners.grant(undefined);
    }
    if (this.#idle) this.#idlers.grantAll(undefined);
  }
}

function nothing(): void {}

/** A link: one function for all members. */
function ended(gt: GreenThread, tell: (gt: GreenThread) => void): void {
  tell(gt);
}
