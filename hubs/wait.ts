/**
 * Waits for a descriptor whose owner alone closes it, and says so first: what
 * green sockets use in place of `trampoline`.
 *
 * Three things make it lean. The listener is used again for every wait of a
 * connection: it rests in its place between them, and so does its registration
 * with the poller. The suspension is used again. And the system call is tried
 * again in MAINLOOP, before the greenthread is resumed: one promise for the
 * whole call, none for the readiness; some calls in a row, so that each finds
 * the code it needs in the processor's caches.
 *
 * The trap it guards: whatever ends a wait (data, time, kill, close) leaves no
 * listener and no timer, and the object must be as new for the next one.
 *
 * @module
 */

import { HubError } from "./errors.ts";
import { getCurrent } from "./current.ts";
import type { GreenThread } from "./greenthread.ts";
import { suspend, TimedWait } from "./suspend.ts";
import type { BaseHub } from "./hub.ts";
import { FdListener, type Received } from "./listeners.ts";
import type { Interest } from "./poller.ts";
import { getHub } from "./registry.ts";
import type { Cancellable } from "./scheduler.ts";
import {
  HAPPENED,
  type Suspension,
  type SuspensionOwner,
} from "./suspension.ts";
import { CALLS, thread } from "./thread.ts";
import { refused } from "./thrown.ts";
import { Timeout } from "./timeout.ts";

/**
 * Count a call that needed no wait. True if there were many since MAINLOOP's
 * last step: the caller shall go by the hub then, or a greenthread that always
 * finds data would never let anybody else run.
 */
export function impatient(): boolean {
  if (--thread.calls >= 0) return false;
  thread.calls = CALLS;
  return !getCurrent().isMainloop;
}

/** Resolve to `value` by way of the hub. */
export function yielded<T>(value: T): Promise<T> {
  try {
    const suspension = suspend(getHub(), HAPPENED);
    suspension.schedule(value);
    return suspension.promise as Promise<T>;
  } catch (error) {
    return refused(error);
  }
}

/** Reject with `error` by way of the hub. */
export function yieldedError(error: unknown): Promise<never> {
  try {
    const suspension = suspend(getHub(), HAPPENED);
    suspension.scheduleError(error);
    return suspension.promise as Promise<never>;
  } catch (reason) {
    return refused(reason);
  }
}

/**
 * One direction of an owned descriptor: at most one wait at a time, any number
 * one after the other.
 */
export abstract class OwnedWait extends FdListener implements SuspensionOwner {
  /** Of the wait under way, or of the one before, to be used again. */
  #suspension: Suspension | null = null;
  #waiting = false;
  #timer: Cancellable | null = null;

  /** Prepare waits for one direction of `fd`. */
  constructor(evtype: Interest, fd: number) {
    super(evtype, fd);
    this.spent = true;
  }

  /** The wait under way. */
  get suspension(): Suspension | null {
    return this.#waiting ? this.#suspension : null;
  }

  /** See {@linkcode FdListener}. */
  get cb(): () => void {
    return onReady;
  }

  /** See {@linkcode FdListener}. */
  get tb(): (error: Error) => void {
    return onLost;
  }

  /** See {@linkcode FdListener}. */
  get markAsClosed(): null {
    return null;
  }

  /** Who waits, or has waited last. */
  get greenlet(): GreenThread {
    return this.#suspension!.greenlet;
  }

  /** See {@linkcode FdListener}. */
  get stack(): string | null {
    return stacks.get(this) ?? null;
  }

  /**
   * Called from MAINLOOP when the descriptor is ready: try again, and then
   * {@linkcode succeed}, {@linkcode fail}, or neither to wait on. Must not
   * throw.
   *
   * @param received Has been received already.
   */
  abstract attempt(received: Received | null): void;

  /** Let go of what the wait needed; it is over. */
  abstract release(): void;

  /** A wait is under way, in a hub that is still in use. */
  get busy(): boolean {
    const suspension = this.#suspension;
    return suspension !== null && !suspension.settled &&
      suspension.hub === thread.hub;
  }

  /**
   * Begin a wait of the current greenthread.
   *
   * @param timeout Milliseconds, or null.
   * @throws {HubError} From MAINLOOP, or if another one waits for the same.
   */
  begin(timeout: number | null): Promise<unknown> {
    const hub = getHub();
    const used = this.#suspension;
    const before = used === null ? null : used.hub;
    const again = used !== null && used.settled ? used : null;
    const suspension = suspend(hub, this, again);
    if (again === null) this.#suspension = suspension;
    if (thread.settings.listenerStacks) {
      recorded = true;
      stacks.set(this, new Error().stack ?? "");
    } else if (recorded) stacks.delete(this);
    try {
      if (this.kept && before === hub) hub.wakeListener(this);
      else {
        this.spent = false;
        hub.addListener(this, true);
      }
    } catch (error) {
      this.spent = true;
      suspension.withdraw();
      throw error;
    }
    this.#waiting = true;
    const { promise } = suspension;
    if (timeout !== null && timeout !== Infinity) {
      const expire = (): void => OwnedWait.#expire(this, promise, timeout);
      try {
        this.#timer = hub.expireLater(Math.max(0, timeout), expire, this);
      } catch (error) {
        // The hub's clock has thrown.
        OwnedWait.#undo(this);
        suspension.withdraw();
        throw error;
      }
    }
    return promise;
  }

  /**
   * Try again; the suspension to be fired if the wait is over. One that was
   * taken off its descriptor in this very pass must not try: the number may
   * name something else by now. @internal
   */
  override prepare(received: Received | null): Suspension | null {
    return this.spent ? null : this.again(received);
  }

  /** Try again, though nobody may listen any more. @internal */
  again(received: Received | null = null): Suspension | null {
    if (!this.#waiting) return null;
    this.attempt(received);
    return this.#waiting ? null : this.#suspension;
  }

  /** Wait on, for its place was given away (`hub.removeDescriptor`). @internal */
  anew(): void {
    const { suspension } = this;
    if (suspension === null) return;
    this.spent = false;
    try {
      hubOf(suspension)!.addListener(this, true);
    } catch (error) {
      this.spent = true;
      suspension.throw(error);
    }
  }

  /** End the wait: the greenthread will go on with `value`. */
  succeed(value: unknown): void {
    const { suspension } = this;
    OwnedWait.#undo(this);
    suspension?.grant(value);
  }

  /** End the wait by an error. */
  fail(error: unknown): void {
    const { suspension } = this;
    OwnedWait.#undo(this);
    suspension?.deny(error);
  }

  /** Break the wait off by an error, now. */
  interrupt(error: unknown): void {
    this.suspension?.throw(error);
  }

  /** The wait was broken off. */
  abandoned(): void {
    // One that has kept its place was never in a queue.
    const queued = !this.kept && !this.spent;
    OwnedWait.#undo(this);
    if (queued) this.outOfLine();
  }

  /** It was broken off, and there may have been others before or behind it. */
  outOfLine(): void {}

  // Static: a private method takes a word of every object.
  static #undo(it: OwnedWait): void {
    it.#waiting = false;
    hubOf(it.#suspension)?.restListener(it);
    if (it.#timer !== null) {
      it.#timer.cancel();
      it.#timer = null;
    }
    it.release();
  }

  static #expire(it: OwnedWait, wait: Promise<unknown>, ms: number): void {
    const { suspension } = it;
    if (suspension?.promise === wait) suspension.throw(Timeout.expired(ms));
  }
}

/** Where waits began, while `debug.hubListenerStacks(true)`. */
const stacks = new WeakMap<OwnedWait, string>();
let recorded = false;

function hubOf(suspension: Suspension | null): BaseHub | null {
  return suspension === null ? null : suspension.hub as BaseHub;
}

function onReady(this: OwnedWait): void {
  const over = this.again();
  if (over !== null) over.fire();
  else if (this.spent) this.anew();
}

function onLost(this: OwnedWait, error: Error): void {
  this.interrupt(error);
}

/**
 * A limit in time, and a signal, for a call that waits several times: whatever
 * it waits in when the limit is reached is broken off.
 */
export class Limit {
  readonly #hub: BaseHub = getHub();
  readonly #timeout: number | null;
  readonly #signal: AbortSignal | undefined;
  #timer: Cancellable | null = null;
  #over: { error: unknown } | null = null;
  #waiting: Suspension | null = null;
  /** What it was for: a suspension may be used again. */
  #promise: Promise<unknown> | null = null;

  /** Start the clock, and listen to the signal. */
  constructor(timeout: number | null, signal?: AbortSignal) {
    this.#timeout = timeout;
    this.#signal = signal;
    if (timeout !== null && timeout !== Infinity) {
      const ms = Math.max(0, timeout);
      this.#timer = this.#hub.expireLater(ms, this.#expire);
    }
    signal?.addEventListener("abort", this.#abort, { once: true });
  }

  /** Throw if the limit was reached between two waits. */
  check(): void {
    this.#signal?.throwIfAborted();
    if (this.#over !== null) throw this.#over.error;
  }

  /** Wait under the limit. */
  async during<T>(promise: Promise<T>, suspension: Suspension): Promise<T> {
    this.#waiting = suspension;
    this.#promise = suspension.promise;
    try {
      return await promise;
    } finally {
      this.#waiting = null;
    }
  }

  /**
   * Wait for an ordinary promise under the limit; kill breaks it off too. It is
   * begun only if it can be waited for: nobody would hold it otherwise.
   */
  promise<T>(begin: () => Promise<T>): Promise<T> {
    const suspension = suspend(this.#hub, HAPPENED);
    begin().then(
      (value) => suspension.schedule(value),
      (error) => suspension.scheduleError(error),
    );
    return this.during(suspension.promise as Promise<T>, suspension);
  }

  /** Wait for `ms` under the limit. */
  pause(ms: number): Promise<void> {
    const { suspension } = new TimedWait(this.#hub, ms);
    return this.during(suspension.promise as Promise<void>, suspension);
  }

  /** Stop the clock. */
  [Symbol.dispose](): void {
    this.#timer?.cancel();
    this.#timer = null;
    this.#signal?.removeEventListener("abort", this.#abort);
  }

  readonly #expire = (): void => this.end(Timeout.expired(this.#timeout));

  readonly #abort = (): void => {
    const reason = this.#signal?.reason;
    this.#reached(reason)?.abort(reason);
  };

  /** Break off whatever is waited in, and whatever will be: the limit is reached. */
  end(error: unknown): void {
    this.#reached(error)?.throw(error);
  }

  #reached(error: unknown): Suspension | null {
    this.#over ??= { error };
    const waiting = this.#waiting;
    return waiting?.promise === this.#promise ? waiting : null;
  }
}

/** Throw unless in a greenthread or main. */
export function assertMayWait(what: string): void {
  if (getCurrent().isMainloop) {
    throw new HubError(
      `Cannot ${what}: do not call blocking functions from the mainloop`,
    );
  }
}
