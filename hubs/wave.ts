/**
 * A wave: those who were resumed and have not waited again. MAINLOOP takes its
 * next step when there are none left.
 *
 * The trap it guards: who is off in an ordinary await, or never waits again, is
 * given up on, and must not be taken for one of a later wave when he does wait.
 *
 * @module
 */

import type { GreenThread } from "./greenthread.ts";

let waves = 0;

/** See the module. */
export class Wave {
  #left = 0;
  /** Called when there are none left. */
  #allWait: ((turned: boolean) => void) | null = null;
  /** Tells them from those who were given up on earlier. */
  #number = ++waves;

  /** How many run. */
  get left(): number {
    return this.#left;
  }

  /** `who` was resumed. */
  add(who: GreenThread): void {
    if (who.wave === this.#number) return;
    who.wave = this.#number;
    this.#left++;
  }

  /** `who` is one of them. */
  has(who: GreenThread): boolean {
    return who.wave === this.#number;
  }

  /** `who`, one of them, waits again or has ended. */
  drop(who: GreenThread): void {
    who.wave = 0;
    if (--this.#left === 0) this.#allWait?.(false);
  }

  /**
   * Wait until there are none left, or until Deno's loop has turned once:
   * before that, all microtasks run. Who runs by then is given up on.
   *
   * @returns Whether it has turned.
   */
  async end(): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    this.#allWait = resolve;
    const turn = setImmediate(resolve, true);
    const turned = await promise;
    this.#allWait = null;
    if (!turned) clearImmediate(turn);
    else if (this.#left > 0) {
      this.#left = 0;
      this.#number = ++waves;
    }
    return turned;
  }
}
