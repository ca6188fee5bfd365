/**
 * Between a queue's store and those who wait to get: who is handed what.
 *
 * The trap it guards: the gap between handing over and delivery, in which the
 * getter may be killed. Its item goes to the one served after it, whose item
 * goes on to the next, and so on: nothing is lost and the order is kept.
 *
 * @module
 */

import type { Suspension } from "../hubs/suspension.ts";
import type { Store } from "./stores.ts";
import { type Waiter, Waiters, type WaitOptions } from "./waiters.ts";

/** See the module. */
export class HandOver<T> {
  readonly #store: Store<T>;
  readonly #getters: Waiters<T>;
  /** Who was handed an item last; the others lead to it by `after`. */
  #served: Waiter<T> | null = null;
  /** It was killed. */
  #broken = false;
  /** The first of those not gone on yet, where later items may displace. */
  #serving: Waiter<T> | null = null;

  /** Join a store and those who wait; `expired` ends a wait whose time is over. */
  constructor(
    store: Store<T>,
    expired: (suspension: Suspension, ms: number) => void,
  ) {
    this.#store = store;
    this.#getters = new Waiters<T>({
      expired,
      left: (waiter, granted) => {
        if (granted) this.#comeBack(waiter);
      },
    });
  }

  /** How many wait to get. */
  get getting(): number {
    return this.#getters.size;
  }

  /** Wait for an item. */
  wait(options: WaitOptions | undefined): Promise<T> {
    const waiter = this.#getters.wait(options, undefined as T);
    // Do not keep an item alive that was delivered long ago. (If the last was
    // killed, those before it may not have gone on yet.)
    if (this.#served?.suspension.settled && !this.#broken) {
      this.#served = this.#serving = null;
    }
    return waiter.suspension.promise as Promise<T>;
  }

  /**
   * Give a new item to who has waited longest, or keep it.
   *
   * @throws Whatever a comparison of the store throws; nothing has changed then.
   */
  arrive(item: T): void {
    if (this.#serving === null) this.#place(item);
    else this.#displace(item);
  }

  #place(item: T): void {
    if (this.#getters.size === 0) {
      this.#store.push(item);
      return;
    }
    const waiter = this.#getters.grant(item);
    waiter.value = item;
    if (this.#served !== null) this.#served.after = waiter;
    this.#served = waiter;
    this.#broken = false;
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
    if (waiter === this.#served) this.#broken = true;
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
