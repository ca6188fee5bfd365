/**
 * The local timers of one greenthread: they end with it.
 *
 * The trap it guards: a timer that will call nobody must not count as one, nor
 * keep the process alive until it would be due.
 *
 * @module
 */

import type { Cancellable } from "./scheduler.ts";

/** See the module. */
export class LocalTimers implements Cancellable {
  readonly #timers = new Set<Cancellable>();

  /** Keep a timer, to cancel it with the others. */
  add(timer: Cancellable): void {
    this.#timers.add(timer);
  }

  /** Let go of one that was called or cancelled. */
  drop(timer: Cancellable): void {
    this.#timers.delete(timer);
  }

  /** Their maker has ended: cancel all. */
  cancel(): void {
    // Each takes itself out.
    for (const timer of this.#timers) timer.cancel();
  }
}
