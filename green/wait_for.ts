/**
 * `waitFor`: any promise as a switch point.
 *
 * The trap it guards: a promise cannot be cancelled. Whoever is killed while it
 * waits for one goes at once, and what becomes of the promise later, a
 * rejection above all, must harm nobody.
 *
 * @module
 */

import { ignore, refused } from "../hubs/thrown.ts";
import { checkWait, Waiters, type WaitOptions } from "./waiters.ts";

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return ((typeof value === "object" && value !== null) ||
    typeof value === "function") &&
    typeof (value as PromiseLike<unknown>).then === "function";
}

/**
 * Who waits for which promise. One reaction does for all: it stays with a
 * promise until that settles, be it hours after those who waited have left.
 */
const followed = new WeakMap<Promise<unknown>, Waiters>();

function waitersOf(promise: Promise<unknown>): Waiters {
  const known = followed.get(promise);
  if (known !== undefined) return known;
  const waiters = new Waiters();
  followed.set(promise, waiters);
  promise.then(
    (value) => {
      followed.delete(promise);
      waiters.grantAll(value);
    },
    (error) => {
      followed.delete(promise);
      while (waiters.size > 0) waiters.fail(error);
    },
  );
  return waiters;
}

/** Wait for one promise. */
function follow(
  promise: Promise<unknown>,
  options: WaitOptions | undefined,
): Promise<unknown> {
  try {
    return waitersOf(promise).wait(options, undefined).suspension.promise;
  } catch (error) {
    promise.catch(ignore);
    throw error;
  }
}

/**
 * Wait for a promise as a switch point: kill, Timeout and abort reach the
 * greenthread in it at once, unlike in an ordinary `await`. The promise itself
 * goes on; its late result or rejection is ignored.
 *
 * @param promise A promise or thenable; any other value is returned at once.
 * @param options What may end the wait early.
 * @throws {Timeout} If the time is over.
 * @throws {HubError} From MAINLOOP.
 * @throws Whatever the promise rejects with.
 *
 * @example
 * ```ts
 * import { Timeout, waitFor } from "../mod.ts";
 *
 * const never = new Promise<void>(() => {});
 * try {
 *   using _limit = new Timeout(5);
 *   await waitFor(never);
 * } catch (error) {
 *   if (!(error instanceof Timeout)) throw error;
 * }
 * ```
 */
export function waitFor<T>(
  promise: T | PromiseLike<T>,
  options?: WaitOptions,
): Promise<T>;
/** The same for what only sometimes is a promise. */
export function waitFor<R>(
  promise: R,
  options?: WaitOptions,
): Promise<Awaited<R>>;
export function waitFor<T>(
  promise: T | PromiseLike<T>,
  options?: WaitOptions,
): Promise<T> {
  let thenable = false;
  try {
    thenable = isThenable(promise);
    checkWait(options, "wait");
    if (!thenable) return Promise.resolve(promise);
    return follow(Promise.resolve(promise), options) as Promise<T>;
  } catch (error) {
    if (thenable) Promise.resolve(promise).catch(ignore);
    return refused(error);
  }
}
