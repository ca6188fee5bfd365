/**
 * The one door to waiting.
 *
 * The trap it guards: a wait that begins in MAINLOOP, or in a greenthread that
 * was killed while it waited for nothing. Neither leaves anything behind.
 *
 * @module
 */

import { context, main } from "./current.ts";
import { HubError } from "./errors.ts";
import type { Cancellable, Scheduler } from "./scheduler.ts";
import { Scope } from "./scope.ts";
import { Suspension, type SuspensionOwner } from "./suspension.ts";
import { thread } from "./thread.ts";

/**
 * Begin a wait of the current greenthread in `hub`.
 *
 * @throws {HubError} If called from MAINLOOP.
 * @throws What was thrown at the greenthread while it waited for nothing.
 * @internal
 */
export function suspend(
  hub: Scheduler,
  owner: SuspensionOwner | null,
  used: Suspension | null = null,
): Suspension {
  const current = context.get() ?? main;
  if (current.isMainloop) {
    throw new HubError(
      "Cannot wait in MAINLOOP: do not call blocking functions from the mainloop",
    );
  }
  const scope = Scope.current();
  const kept = current.takeKept(scope);
  if (kept !== null) throw kept.error;
  const suspension = used ?? new Suspension(current, hub);
  if (used !== null) used.renew(current, hub);
  suspension.owner = owner;
  suspension.scope = scope;
  current.addSuspension(suspension);
  hub.waits(current);
  hub.launch();
  return suspension;
}

/**
 * The end of a park on another thread that is under way, or was a moment ago;
 * null if there is none. For what needs no turn of the hub's, and may be the last
 * that a test waits for.
 * @internal
 */
export function parkEnded(): Promise<void> | null {
  return thread.hub?.resting === true ? nextPass(thread.hub) : null;
}

/**
 * Until the next pass of `hub`, for those who may not wait: nobody is suspended.
 * @internal
 */
export function nextPass(hub: Scheduler): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const discard = (): boolean => {
    resolve();
    return true;
  };
  hub.enqueue({ fire: resolve, discard });
  return promise;
}

/**
 * A wait of the current greenthread for time to pass.
 * @internal
 */
export class TimedWait implements SuspensionOwner {
  /** The wait; its owner is this. */
  readonly suspension: Suspension;
  readonly #timer: Cancellable;

  /**
   * Begin it; it is over after `ms`.
   *
   * @throws As {@linkcode suspend}, and what the hub's clock throws.
   */
  constructor(hub: Scheduler, ms: number) {
    const suspension = this.suspension = suspend(hub, this);
    try {
      this.#timer = hub.callLater(ms, () => suspension.resume());
    } catch (error) {
      // The hub's clock has thrown.
      suspension.withdraw();
      throw error;
    }
  }

  /** It was broken off. */
  abandoned(): void {
    this.cancel();
  }

  /** The time shall not end it any more. */
  cancel(): void {
    this.#timer.cancel();
  }
}
