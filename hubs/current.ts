/**
 * Which greenthread is current, across any await (`context.ts`).
 *
 * @module
 */

import { AsyncLocalStorage } from "node:async_hooks";
import { type Context, makeContext } from "./context.ts";
import type { AnyFunction, GreenThread } from "./greenthread.ts";

/** Where the current greenthread is kept. @internal */
export const context: Context<GreenThread> = makeContext<GreenThread>();

/** The greenthread that stands for all code that nobody spawned. @internal */
export let main: GreenThread;

/** Say which it is. @internal */
export function setMain(gt: GreenThread): void {
  main = gt;
}

/**
 * The greenthread that runs now: main outside of any, MAINLOOP in a callback
 * of a timer or listener. Right across any await.
 *
 * Everything that was not spawned is main: the main module, event handlers,
 * a `Deno.serve` handler. Main may wait in several places at once.
 *
 * @example
 * ```ts
 * import { getCurrent, spawn } from "../mod.ts";
 *
 * const gt = spawn(() => getCurrent());
 * if (await gt.wait() !== gt) throw new Error("somebody else");
 * ```
 */
export function getCurrent(): GreenThread {
  return context.get() ?? main;
}

/**
 * Run `fn` as `gt`, in a context that has nothing of the caller's: how MAINLOOP
 * gets its own. @internal
 */
export function runAs(gt: GreenThread, fn: () => void): void {
  context.runAlone(gt, fn);
}

/**
 * `fn` as MAINLOOP shall call it: other `AsyncLocalStorage`s see in it what they
 * see now, as in a callback of `setTimeout`. @internal
 */
export function carried(fn: AnyFunction): AnyFunction {
  if (context.alone() || typeof fn !== "function") return fn;
  const inside = AsyncLocalStorage.snapshot();
  const call = (...args: unknown[]): unknown => {
    const current = getCurrent();
    let result: unknown;
    inside(() => context.run(current, () => result = fn(...args)));
    return result;
  };
  return Object.defineProperty(call, "name", { value: fn.name });
}
