/**
 * What is begun between `abort()` and the end of MAINLOOP: whether it is lost
 * with it, or for the next run.
 *
 * MAINLOOP finishes a pass. Whatever comes of that is part of what was aborted.
 * But who has called `abort()`, and code that MAINLOOP has nothing to do with,
 * may wait again before MAINLOOP has left, and cannot know that it has not:
 * that is the next switch, which starts MAINLOOP again.
 *
 * @module
 */

import { getCurrent } from "./current.ts";
import type { GreenThread } from "./greenthread.ts";

/** See the module. */
export class LastPass {
  /** Who has switched to the hub since, on his own account. */
  readonly #free = new Set<GreenThread>();
  /** Who was resumed from a wait begun before. */
  readonly #bound = new Set<GreenThread>();
  readonly #spared = new Set<unknown>();

  /** Somebody waits for the next run. */
  get awaited(): boolean {
    return this.#free.size > 0;
  }

  /** MAINLOOP has resumed `who`. */
  resumed(who: GreenThread): void {
    if (!this.#free.has(who)) this.#bound.add(who);
  }

  /** The current greenthread switches to the hub. */
  switched(): void {
    const current = getCurrent();
    if (this.#isFree(current)) this.#free.add(current);
  }

  /** The current greenthread asks for something. */
  begun(what: unknown): void {
    if (this.#isFree(getCurrent())) this.#spared.add(what);
  }

  /** It is not lost. */
  spares(what: unknown): boolean {
    return this.#spared.has(what);
  }

  #isFree(who: GreenThread): boolean {
    return !who.isMainloop && !this.#bound.has(who);
  }
}
