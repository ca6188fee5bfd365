/**
 * The clocks a hub may go by.
 *
 * The trap it guards: one that a user gave may throw, and MAINLOOP reads it in
 * every pass. To MAINLOOP such a clock says NaN, which it has an answer to.
 *
 * @module
 */

import { monotonic } from "../ffi/clock.ts";
import { reportError } from "./report.ts";

/** The clock of a hub that was given none. */
export function systemClock(): number {
  return performance.now();
}

/**
 * The same clock, but NaN where it throws or says no number. It is reported
 * once, until it works again. Ours do not throw: they stay as they are.
 */
export function guarded(clock: () => number): () => number {
  if (clock === systemClock || clock === monotonic) return clock;
  let failed = false;
  return () => {
    try {
      const now: unknown = clock();
      failed = false;
      return typeof now === "number" ? now : NaN;
    } catch (error) {
      if (!failed) reportError("Error in the hub's clock", error);
      failed = true;
      return NaN;
    }
  };
}

/**
 * Whether a subclass of `Base` has a `clock` of its own: a getter, a method, or
 * a field, which is there only when the whole constructor has run.
 */
export function hasOwnClock(hub: object, Base: { prototype: object }): boolean {
  for (
    let owner: object | null = hub;
    owner !== null && owner !== Base.prototype;
    owner = Object.getPrototypeOf(owner)
  ) {
    const clock = Object.getOwnPropertyDescriptor(owner, "clock");
    if (clock !== undefined) return clock.get !== undefined || "value" in clock;
  }
  return false;
}
