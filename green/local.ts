/**
 * `GreenLocal`: a variable of which each greenthread has its own.
 *
 * The trap it guards: a table from greenthreads to values that keeps the ended
 * ones alive. The values hang on the greenthreads, weakly.
 *
 * @module
 */

import { getCurrent } from "../hubs/current.ts";
import type { GreenThread } from "../hubs/greenthread.ts";

/**
 * One value per greenthread; main has one too, and so has MAINLOOP.
 *
 * All code that nobody spawned is main, a `Deno.serve` handler too, and shares
 * main's value.
 *
 * @example
 * ```ts
 * import { GreenLocal, spawn } from "../mod.ts";
 *
 * const log = new GreenLocal<string[]>(() => []);
 * log.get().push("main");
 * const gt = spawn(() => log.get().length);
 * if (await gt.wait() !== 0) throw new Error("not its own");
 * ```
 */
export class GreenLocal<T = unknown> {
  readonly #values = new WeakMap<GreenThread, T>();
  readonly #init: (() => T) | undefined;

  /**
   * Make a variable without a value.
   *
   * @param init Makes the value of each greenthread at its first `get()`;
   * without it that is undefined.
   * @throws {TypeError} If `init` is no function.
   */
  constructor(init?: () => T) {
    if (init !== undefined && typeof init !== "function") {
      throw new TypeError(
        `Cannot make a GreenLocal: init is no function: ${typeof init}`,
      );
    }
    this.#init = init;
  }

  /** The current greenthread's value. */
  get(): T {
    const current = getCurrent();
    if (this.#init !== undefined && !this.#values.has(current)) {
      this.#values.set(current, this.#init());
    }
    return this.#values.get(current) as T;
  }

  /** Set the current greenthread's value. */
  set(value: T): void {
    this.#values.set(getCurrent(), value);
  }
}
