/**
 * `withTimeout`: a time limit around a function, with a value in place of the
 * error if wanted.
 *
 * The trap it guards: the value stands for the expiry of *this* limit only. A
 * timeout from outside that strikes within passes through.
 *
 * @module
 */

import { getCurrent } from "../hubs/current.ts";
import { Scope } from "../hubs/scope.ts";
import { parkEnded } from "../hubs/suspend.ts";
import { outer } from "../hubs/thrown.ts";
import {
  checkedError,
  type ErrorSource,
  makeError,
  Timeout,
} from "../hubs/timeout.ts";

/** How {@linkcode withTimeout} ends if time runs out. */
export interface WithTimeoutOptions<U> {
  /** Resolve to this; given as undefined it counts, too. */
  timeoutValue?: U;
  /** Throw this, an error or a class, instead of a {@linkcode Timeout}. */
  error?: ErrorSource | undefined;
}

/**
 * Call `fn` and wait for what it returns, at most `ms`.
 *
 * At expiry the timeout is thrown at the switch point `fn` is in, and at no
 * other wait of the caller's: several may be under way side by side. An
 * ordinary `await` in `fn` is not interrupted, so wrap a promise with `waitFor`.
 * A wait that was begun before is limited if `fn` returns it, or if it is the
 * only one of the greenthread (not of main).
 *
 * @param ms Milliseconds; null: no limit.
 * @param fn What is limited.
 * @param options A value or an error for the case of expiry.
 * @throws {Timeout} Or `options.error`, if time runs out and there is no
 * `timeoutValue`.
 * @throws Whatever `fn` throws.
 *
 * @example
 * ```ts
 * import { sleep, withTimeout } from "../mod.ts";
 *
 * const result = await withTimeout(5, () => sleep(10_000), {
 *   timeoutValue: "too late",
 * });
 * if (result !== "too late") throw new Error("in time?");
 * ```
 */
export function withTimeout<T, U = never>(
  ms: number | null | undefined,
  fn: () => T | PromiseLike<T>,
  options?: WithTimeoutOptions<U>,
): Promise<T | U>;
/** The same for an `fn` that only sometimes returns a promise. */
export function withTimeout<R, U = never>(
  ms: number | null | undefined,
  fn: () => R,
  options?: WithTimeoutOptions<U>,
): Promise<Awaited<R> | U>;
export function withTimeout<T, U = never>(
  ms: number | null | undefined,
  fn: () => T | PromiseLike<T>,
  options: WithTimeoutOptions<U> = {},
): Promise<T | U> {
  return outer(limit(ms, fn, options));
}

async function limit<T, U>(
  ms: number | null | undefined,
  fn: () => T | PromiseLike<T>,
  options: WithTimeoutOptions<U>,
): Promise<T | U> {
  if (typeof fn !== "function") {
    throw new TypeError(`Cannot limit: fn is no function: ${typeof fn}`);
  }
  const { error } = options;
  if (error !== undefined) checkedError(error, "error");
  const custom = error === undefined ? null : makeError(error);
  // Without a limit in time there is nothing to keep track of.
  if (ms === null || ms === undefined || ms === Infinity) return await fn();
  using scope = new Scope(getCurrent());
  using timeout = new Timeout(ms, custom).limit(scope);
  try {
    return await scope.run(fn);
  } catch (thrown) {
    const own = thrown === (custom ?? timeout) && timeout.struck;
    if (own && "timeoutValue" in options) return options.timeoutValue as U;
    throw thrown;
  } finally {
    // A hub that was parked for it alone does not end before.
    timeout.cancel();
    const ended = parkEnded();
    if (ended !== null) await ended;
  }
}
