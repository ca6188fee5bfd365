/**
 * The blocking detector: who kept the thread too long?
 *
 * JavaScript has no alarm signal, so it is told after the fact: MAINLOOP tells
 * an observer of each of its steps, and this one looks at the clock in between.
 * The trap it guards: a detector that is paid for while it is off. Then there
 * is no observer, and spawns record nothing.
 *
 * @module
 */

import type { GreenThread } from "./greenthread.ts";
import type { StepObserver } from "./thread.ts";

/** Frames of these files are no spawn site. */
const OWN_FILES =
  /\/(?:hubs\/(?:blocking|greenthread|spawn)|green\/(?:pool\w*|net\/serve))\.ts:/;

/** See the module. */
export class BlockingDetector implements StepObserver {
  readonly #ms: number;
  readonly #clock: () => number;
  readonly #sites = new WeakMap<GreenThread, string>();
  /** Since when it is somebody's time; NaN: it is nobody's. */
  #since = NaN;

  /** Report whoever keeps the thread longer than `ms`. */
  constructor(ms: number, clock: () => number = () => performance.now()) {
    this.#ms = ms;
    this.#clock = clock;
  }

  /** Remember where a greenthread comes from. */
  made(gt: GreenThread, stack: string = new Error().stack ?? ""): void {
    const frames = stack.split("\n").slice(1);
    const at = frames.findIndex((frame) => !OWN_FILES.test(frame));
    this.#sites.set(gt, frames.slice(Math.max(0, at)).join("\n"));
  }

  /** See {@linkcode StepObserver}. */
  restart(): void {
    this.#since = this.#clock();
  }

  /** See {@linkcode StepObserver}. */
  pause(): void {
    this.#since = NaN;
  }

  /** See {@linkcode StepObserver}. */
  lap(who: GreenThread | null): void {
    if (Number.isNaN(this.#since)) return;
    const now = this.#clock();
    const took = now - this.#since;
    this.#since = now;
    if (took > this.#ms) this.#report(who, took);
  }

  #report(who: GreenThread | null, took: number): void {
    const culprit = who === null ? "A callback of the hub" : `${who}`;
    const site = who === null ? undefined : this.#sites.get(who);
    const where = site === undefined ? "" : `; it was spawned here:\n${site}`;
    try {
      console.error(
        `Blocking detected: ${culprit} kept the thread for ` +
          `${took.toFixed(1)} ms without a switch point${where}`,
      );
    } catch {
      // Whoever waits next must not pay for a stderr that takes nothing.
    }
    // Printing is not the next one's fault.
    this.#since = this.#clock();
  }
}
