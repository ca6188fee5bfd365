/**
 * What queues of calls on one socket have in common: a call that waits in one,
 * and the one listener that waits for the descriptor on behalf of all.
 *
 * @module
 */

import type { GreenThread } from "../../hubs/greenthread.ts";
import type { BaseHub } from "../../hubs/hub.ts";
import { CallbackListener } from "../../hubs/listeners.ts";
import type { Cancellable } from "../../hubs/scheduler.ts";
import type { Suspension, SuspensionOwner } from "../../hubs/suspension.ts";
import { thread } from "../../hubs/thread.ts";
import { Timeout } from "../../hubs/timeout.ts";

/** A call that waits in a queue. */
export abstract class QueuedCall implements SuspensionOwner {
  readonly suspension: Suspension;
  /** Where it was made, if `debug.hubListenerStacks(true)`. */
  readonly stack: string | null;
  #timer: Cancellable | null = null;

  /** @param begin Begins the wait that it is the owner of. */
  constructor(begin: (owner: SuspensionOwner) => Suspension) {
    this.suspension = begin(this);
    this.stack = thread.settings.listenerStacks
      ? new Error().stack ?? ""
      : null;
  }

  /** Leave the queue: the wait was broken off. */
  protected abstract leave(): void;

  /**
   * It fails after `ms`.
   *
   * @throws What the hub's clock throws.
   */
  limit(hub: BaseHub, ms: number): void {
    const expire = (): void => this.suspension.throw(Timeout.expired(ms));
    this.#timer = hub.expireLater(Math.max(0, ms), expire);
  }

  /** It has ended, or is about to. */
  over(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }

  /** See {@linkcode SuspensionOwner}. */
  abandoned(): void {
    this.over();
    this.leave();
  }
}

/** Waits for a descriptor on behalf of calls. */
export abstract class QueueListener extends CallbackListener {
  /** Name the one it waits for now, as debugging and error messages do. */
  protected speakFor({ suspension, stack }: QueuedCall): void {
    const mutable = this as { greenlet: GreenThread; stack: string | null };
    mutable.greenlet = suspension.greenlet;
    mutable.stack = stack;
  }

  /**
   * Begin to wait.
   *
   * @throws {HubError} If somebody else does.
   */
  protected listen(hub: BaseHub): void {
    this.spent = false;
    try {
      hub.addListener(this, true);
    } catch (error) {
      this.spent = true;
      throw error;
    }
  }
}
