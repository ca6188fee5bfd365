/**
 * Debug switches and listings; all off costs nothing.
 *
 * The trap they guard: a listing that leaves out what was added just now, or
 * whoever waits behind another. These show all there is, in order.
 *
 * @example Who waits for what
 * ```ts
 * import { formatHubListeners, formatHubTimers } from "./debug.ts";
 * import { getHub } from "../mod.ts";
 *
 * const timer = getHub().scheduleCallGlobal(1000, function backup() {});
 * const text = formatHubListeners() + formatHubTimers();
 * timer.cancel();
 * if (!text.includes("backup")) throw new Error(text);
 * ```
 *
 * @module
 */

import { BlockingDetector } from "./blocking.ts";
import { checkBoolean } from "./checks.ts";
import type { BaseHub } from "./hub.ts";
import { thread } from "./thread.ts";

/** What counts as blocking, ms, unless told. */
const BLOCKING_MS = 1000;

/**
 * Whether errors nobody waits for are reported on stderr; default on.
 *
 * @throws {TypeError} If `on` is no boolean.
 */
export function hubExceptions(on: boolean = true): void {
  checkSwitch(on);
  thread.settings.exceptions = on;
}

/**
 * Whether listeners record where they were added, from now on, for
 * {@linkcode formatHubListeners} and the message about a second reader; default
 * off.
 *
 * @throws {TypeError} If `on` is no boolean.
 */
export function hubListenerStacks(on: boolean = false): void {
  checkSwitch(on);
  thread.settings.listenerStacks = on;
}

/**
 * Whether timers record where they were made, from now on, for
 * {@linkcode formatHubTimers}; default off.
 *
 * @throws {TypeError} If `on` is no boolean.
 */
export function hubTimerStacks(on: boolean = false): void {
  checkSwitch(on);
  thread.settings.timerStacks = on;
}

/**
 * Whether a second simultaneous reader (writer) of a descriptor is an error,
 * the default, or queues up behind the first.
 *
 * @throws {TypeError} If `on` is no boolean.
 */
export function hubPreventMultipleReaders(on: boolean = true): void {
  checkSwitch(on);
  thread.settings.preventMultipleReaders = on;
}

/**
 * Whether to report on stderr who kept the thread longer than `ms` without a
 * switch point, and where that greenthread was spawned, if it was after this
 * call; default off.
 *
 * It is measured between two steps of MAINLOOP, so the report comes when the
 * thread is free again. A greenthread that came back from an ordinary `await`,
 * not from a wait of the hub, is not seen.
 *
 * @param on Whether to look.
 * @param ms How long is too long.
 * @throws {TypeError} If `on` is no boolean or `ms` no number.
 * @throws {RangeError} If `ms` is not above 0.
 */
export function hubBlockingDetection(
  on: boolean = false,
  ms: number = BLOCKING_MS,
): void {
  checkSwitch(on);
  if (typeof ms !== "number") {
    throw new TypeError(
      `Cannot detect blocking: ms is no number: ${typeof ms}`,
    );
  }
  if (!(ms > 0)) {
    throw new RangeError(`Cannot detect blocking: ms is not above 0: ${ms}`);
  }
  thread.observer = on ? new BlockingDetector(ms) : null;
}

/**
 * All listeners of the thread's hub, those too that queue behind others: one
 * line each under READERS and WRITERS, each with its stack if it has one.
 */
export function formatHubListeners(): string {
  const hub = currentOrNone();
  const readers = hub?.getReaders() ?? [];
  const writers = hub?.getWriters() ?? [];
  return ["READERS:", ...readers, "WRITERS:", ...writers].join("\n");
}

/**
 * All timers of the thread's hub that will still fire, soonest first: one line
 * each, each with its stack if it has one. Cancelled ones are gone.
 */
export function formatHubTimers(): string {
  const hub = currentOrNone();
  const now = hub?.clock() ?? 0;
  const lines = (hub?.getTimers() ?? []).map((timer) => {
    const left = timer.deadline === 0 ? 0 : timer.deadline - now;
    return `(in ${left.toFixed(3)} ms) ${timer}`;
  });
  return ["TIMERS:", ...lines].join("\n");
}

function checkSwitch(on: unknown): void {
  checkBoolean(on, "on", "set a debug switch");
}

function currentOrNone(): BaseHub | null {
  return thread.hub as BaseHub | null;
}
