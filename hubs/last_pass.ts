/**
 * What is begun between `abort()` and the end of MAINLOOP: whether it is lost
 * with it, or for the next run.
 *
 * MAINLOOP finishes a pass. Whatever comes of that is part of what was aborted.
 * But who has called `abort()`, and code that MAINLOOP has nothing to do with,
 * may wait again before MAINLOOP has left, and cannot know that it has not:
 * that is the next switch, which starts MAINLOOP again. Main is such code: it
 * does many things at once.
 *
 * @module
 */

import { getCurrent, main } from "./current.ts";
import type { GreenThread } from "./greenthread.ts";

/** See the module. */
export class LastPass {
  /** Who has switched to the hub since, on his own account. */
  readonly #free = new Set<GreenThread>();
  /** Somebody has added a listener, in the same way. */
  #listening = false;
  /** Who was resumed by this pass from a wait begun before. */
  readonly #bound = new Set<GreenThread>();
  readonly #spared = new Set<unknown>();

  /** Somebody waits for the next run. */
  get awaited(): boolean {
    return this.#listening || this.#free.size > 0;
  }

  /** `who` was resumed, by whoever is current. */
  resumed(who: GreenThread): void {
    if (this.#free.has(who) || this.#isFree(getCurrent())) return;
    this.#bound.add(who);
  }

  /** The current greenthread switches to the hub. */
  switched(): void {
    const current = getCurrent();
    if (this.#isFree(current)) this.#free.add(current);
  }

  /** The current greenthread has added a listener. */
  listened(): void {
    if (this.#isFree(getCurrent())) this.#listening = true;
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
    return who === main || !who.isMainloop && !this.#bound.has(who);
  }
}
