/**
 * Starting, pausing and ending greenthreads.
 *
 * @module
 */

import { GreenletExit, HubError } from "./errors.ts";
import { getCurrent } from "./current.ts";
import { type AnyFunction, GreenThread } from "./greenthread.ts";
import { killGreenThread } from "./kill.ts";
import { suspend, TimedWait } from "./suspend.ts";
import { checkDelay } from "./checks.ts";
import { getHub } from "./registry.ts";
import { currentHub } from "./thread.ts";
import { refused } from "./thrown.ts";

function make<T>(fn: unknown, args: readonly unknown[]): GreenThread<T> {
  if (typeof fn !== "function") {
    throw new TypeError(`Cannot spawn: fn is no function: ${typeof fn}`);
  }
  // One empty list of arguments for all that have none.
  const gt = new GreenThread<T>(
    fn as AnyFunction,
    args.length === 0 ? undefined : args,
  );
  gt.inheritContext();
  return gt;
}

/**
 * Run `fn(...args)` in a greenthread of its own.
 *
 * It starts in the next pass, first come first served; nothing of it runs
 * before `spawn` returns. Its uncaught error goes to whoever waits for it; if
 * nobody does by then, it is reported once on stderr.
 *
 * @throws {TypeError} If `fn` is no function.
 *
 * @example
 * ```ts
 * import { sleep, spawn } from "../mod.ts";
 *
 * const gt = spawn(async (ms: number) => {
 *   await sleep(ms);
 *   return "done";
 * }, 1);
 * if (await gt.wait() !== "done") throw new Error("not done");
 * ```
 */
export function spawn<A extends unknown[], T>(
  fn: (...args: A) => T | PromiseLike<T>,
  ...args: A
): GreenThread<T>;
/** The same for an `fn` that only sometimes returns a promise. */
export function spawn<A extends unknown[], R>(
  fn: (...args: A) => R,
  ...args: A
): GreenThread<Awaited<R>>;
export function spawn<A extends unknown[], T>(
  fn: (...args: A) => T,
  ...args: A
): GreenThread<T> {
  const gt = make<T>(fn, args);
  currentHub().enqueue(gt);
  return gt;
}

/**
 * As {@linkcode spawn}, for those who want no result.
 *
 * @throws {TypeError} If `fn` is no function.
 */
export function spawnN<A extends unknown[]>(
  fn: (...args: A) => unknown,
  ...args: A
): void {
  currentHub().enqueue(make(fn, args));
}

/**
 * Spawn after `ms` milliseconds, whatever becomes of the caller. Cancelling
 * the greenthread cancels its timer too.
 *
 * @throws {TypeError} If `fn` is no function or `ms` no number.
 * @throws {RangeError} If `ms` is NaN.
 */
export function spawnAfter<A extends unknown[], T>(
  ms: number,
  fn: (...args: A) => T | PromiseLike<T>,
  ...args: A
): GreenThread<T>;
/** The same for an `fn` that only sometimes returns a promise. */
export function spawnAfter<A extends unknown[], R>(
  ms: number,
  fn: (...args: A) => R,
  ...args: A
): GreenThread<Awaited<R>>;
export function spawnAfter<A extends unknown[], T>(
  ms: number,
  fn: (...args: A) => T,
  ...args: A
): GreenThread<T> {
  const gt = make<T>(fn, args);
  gt.startsBy(
    currentHub().callLater(ms, () => gt.fire(), gt as GreenThread),
  );
  return gt;
}

/**
 * As {@linkcode spawnAfter}, but if the calling greenthread has ended by then,
 * the new one ends unstarted with `GreenletExit`.
 *
 * @throws {TypeError} If `fn` is no function or `ms` no number.
 * @throws {RangeError} If `ms` is NaN.
 */
export function spawnAfterLocal<A extends unknown[], T>(
  ms: number,
  fn: (...args: A) => T | PromiseLike<T>,
  ...args: A
): GreenThread<T>;
/** The same for an `fn` that only sometimes returns a promise. */
export function spawnAfterLocal<A extends unknown[], R>(
  ms: number,
  fn: (...args: A) => R,
  ...args: A
): GreenThread<Awaited<R>>;
export function spawnAfterLocal<A extends unknown[], T>(
  ms: number,
  fn: (...args: A) => T,
  ...args: A
): GreenThread<T> {
  const gt = make<T>(fn, args);
  const maker = getCurrent();
  const start = (): void => {
    if (maker.dead) gt.end(true, new GreenletExit(`${maker} ended first`));
    else gt.fire();
  };
  gt.startsBy(currentHub().callLater(ms, start, gt as GreenThread));
  return gt;
}

/**
 * Let others run: for `ms` milliseconds, never less; 0 yields, so everything
 * else that is ready runs first.
 *
 * @throws {HubError} In MAINLOOP, if `ms` > 0.
 * @throws {TypeError} If `ms` is no number.
 * @throws {RangeError} If `ms` is NaN.
 */
export function sleep(ms = 0): Promise<void> {
  try {
    if (ms !== 0) checkDelay(ms);
    if (ms > 0) return sleepFor(ms);
    const hub = getHub();
    if (getCurrent().isMainloop) return Promise.resolve();
    const suspension = suspend(hub, null);
    suspension.yield();
    return suspension.promise as Promise<void>;
  } catch (error) {
    return refused(error);
  }
}

function sleepFor(ms: number): Promise<void> {
  const hub = getHub();
  if (getCurrent().isMainloop) {
    throw new HubError(
      "Cannot sleep: do not call blocking functions from the mainloop",
    );
  }
  return new TimedWait(hub, ms).suspension.promise as Promise<void>;
}

/**
 * Kill a greenthread: `error` is thrown at every wait it is in.
 *
 * Resolves once the victim has unwound or waits again; its cleanup, its links
 * and whatever was scheduled before run first. A dead one: at once. One that
 * has not started never runs. One inside an ordinary `await` gets the error at
 * its next switch point, and kill resolves in the next pass. Killing oneself
 * rejects with `error`, which strikes at the next wait if nobody awaits that;
 * but an event handler kills the greenthread that set it up, and waits
 * meanwhile, like any other. One that kills itself while another wait of its
 * own is pending is taken for such a handler: the call resolves later, instead
 * of throwing at once.
 *
 * @param gt Whom.
 * @param error What is thrown; default a new {@linkcode GreenletExit}.
 * @throws {TypeError} If `gt` is no greenthread.
 * @throws {HubError} If `gt` is a hub's MAINLOOP.
 *
 * @example
 * ```ts
 * import { GreenletExit, kill, sleep, spawn } from "../mod.ts";
 *
 * const gt = spawn(() => sleep(60_000));
 * await sleep();
 * await kill(gt);
 * await gt.wait().catch((error) => {
 *   if (!(error instanceof GreenletExit)) throw error;
 * });
 * ```
 */
export function kill(
  gt: GreenThread,
  error: unknown = new GreenletExit(),
): Promise<void> {
  if (!(gt instanceof GreenThread)) {
    return Promise.reject(new TypeError("Cannot kill: no GreenThread"));
  }
  return killGreenThread(gt, error);
}
