/**
 * The one container of waiters: everything that makes greenthreads wait for
 * each other keeps them in here.
 *
 * The trap it guards: a wait has many ends (granted, expired, aborted, killed)
 * and only one may count. Granting takes the waiter off the list *and* disarms
 * its timer and signal in the same step, so a timeout that falls due between
 * the grant and its delivery finds nothing to end: a grant wins. A kill in that
 * gap does get through, and then what was granted is handed back to its owner,
 * to be passed on.
 *
 * @module
 */

import { getCurrent } from "../hubs/current.ts";
import { suspend } from "../hubs/suspend.ts";
import { checkDelay } from "../hubs/checks.ts";
import type { Cancellable } from "../hubs/scheduler.ts";
import type { Suspension, SuspensionOwner } from "../hubs/suspension.ts";
import { currentHub, thread } from "../hubs/thread.ts";
import { outer } from "../hubs/thrown.ts";
import { Timeout } from "../hubs/timeout.ts";
import { yielded } from "../hubs/wait.ts";

/** What may end a wait early. */
export interface WaitOptions {
  /** Give up after so many milliseconds; null or undefined: never. */
  timeout?: number | null | undefined;
  /** Abort the wait: it rejects with `signal.reason`. */
  signal?: AbortSignal | undefined;
}

/** How an operation waits, or that it does not. */
export interface BlockOptions extends WaitOptions {
  /** False: do not wait at all; goes with no `timeout`. Default true. */
  block?: boolean | undefined;
}

/**
 * Throw unless the options are sound and the wait not aborted already.
 *
 * @param action What is refused if not, for the message: "get", "acquire".
 * @returns Whether the operation may wait.
 * @internal
 */
export function checkWait(
  options: BlockOptions | undefined,
  action: string,
): boolean {
  if (options === undefined) return true;
  if (typeof options !== "object" || options === null) {
    throw new TypeError(`Cannot ${action}: options are no object`);
  }
  const { block, timeout, signal } = options;
  if (block !== undefined && typeof block !== "boolean") {
    throw new TypeError(`Cannot ${action}: block is no boolean`);
  }
  if (timeout !== undefined && timeout !== null) {
    checkDelay(timeout);
    if (block === false) {
      throw new TypeError(
        `Cannot ${action}: a timeout makes no sense with block: false`,
      );
    }
  }
  if (signal !== undefined && signal !== null) {
    if (!(signal instanceof AbortSignal)) {
      throw new TypeError(`Cannot ${action}: signal is no AbortSignal`);
    }
    signal.throwIfAborted();
  }
  return block !== false;
}

/** The end of a wait whose time is over, as most waits have it. @internal */
export function endWithTimeout(suspension: Suspension, ms: number): void {
  suspension.throw(Timeout.expired(ms));
}

/** One who waits in a {@linkcode Waiters}, and what it brings or was given. */
export class Waiter<V> implements SuspensionOwner, EventListenerObject {
  /** What it brings along, or what it was granted. */
  value: V;
  /** Neighbours in the list, oldest first. @internal */
  previous: Waiter<V> | null = null;
  next: Waiter<V> | null = null;
  /** Who was granted something right after it. */
  after: Waiter<V> | null = null;

  readonly #list: Waiters<V>;
  #suspension: Suspension | null = null;
  #timer: Cancellable | null = null;
  #signal: AbortSignal | null = null;

  /** Made by {@linkcode Waiters.wait}. */
  constructor(list: Waiters<V>, value: V) {
    this.#list = list;
    this.value = value;
  }

  /** Its wait. */
  get suspension(): Suspension {
    return this.#suspension!;
  }

  /** Wait, until granted or as long as `options` allow. @internal */
  begin(options: WaitOptions | undefined): Suspension {
    const hub = currentHub();
    const suspension = this.#suspension = suspend(hub, this);
    if (options === undefined) return suspension;
    const { timeout, signal } = options;
    if (timeout !== undefined && timeout !== null && timeout !== Infinity) {
      const ms = Math.max(0, timeout);
      try {
        this.#timer = hub.callLater(ms, () => this.#expire(timeout));
      } catch (error) {
        // The hub's clock has thrown.
        suspension.withdraw();
        throw error;
      }
    }
    if (signal !== undefined && signal !== null) {
      this.#signal = signal;
      signal.addEventListener("abort", this, { once: true });
    }
    return suspension;
  }

  /** Take down the timer and the signal. @internal */
  disarm(): void {
    if (this.#timer !== null) {
      this.#timer.cancel();
      this.#timer = null;
    }
    if (this.#signal !== null) {
      this.#signal.removeEventListener("abort", this);
      this.#signal = null;
    }
  }

  /** The signal was aborted. */
  handleEvent(): void {
    this.#suspension!.abort(this.#signal?.reason);
  }

  /** The wait was broken off. For `Suspension` alone. */
  abandoned(_suspension: Suspension, granted: boolean): void {
    this.disarm();
    this.#list.leave(this, granted);
  }

  #expire(ms: number): void {
    this.#timer = null;
    this.#list.expire(this, ms);
  }
}

/** What the owner of a {@linkcode Waiters} decides. */
export interface WaitersOptions<V> {
  /** End a wait whose time is over. Default: throw a {@linkcode Timeout}. */
  readonly expired?: (suspension: Suspension, ms: number) => void;
  /**
   * A wait was broken off by kill, throw or abort, or has expired. `granted`:
   * what it was given must go to somebody else.
   */
  readonly left?: (waiter: Waiter<V>, granted: boolean) => void;
}

/** A FIFO of waiters. */
export class Waiters<V = void> {
  readonly #expired: (suspension: Suspension, ms: number) => void;
  readonly #left: ((waiter: Waiter<V>, granted: boolean) => void) | null;
  #first: Waiter<V> | null = null;
  #last: Waiter<V> | null = null;
  #size = 0;

  /** Make an empty one. */
  constructor(options: WaitersOptions<V> = {}) {
    this.#expired = options.expired ?? endWithTimeout;
    this.#left = options.left ?? null;
  }

  /** How many wait and have been granted nothing. */
  get size(): number {
    return this.#size;
  }

  /** Who has waited longest. */
  get first(): Waiter<V> | null {
    return this.#first;
  }

  /**
   * Begin a wait of the current greenthread, behind all others.
   *
   * @throws {HubError} From MAINLOOP.
   */
  wait(options: WaitOptions | undefined, value: V): Waiter<V> {
    const waiter = new Waiter<V>(this, value);
    waiter.begin(options);
    const last = this.#last;
    waiter.previous = last;
    if (last === null) this.#first = waiter;
    else last.next = waiter;
    this.#last = waiter;
    this.#size++;
    return waiter;
  }

  /** Take the first off the list and resume it with `value` next pass. */
  grant(value: unknown): Waiter<V> {
    const waiter = this.#first!;
    this.#drop(waiter);
    waiter.disarm();
    waiter.suspension.schedule(value);
    return waiter;
  }

  /** Take the first off the list and let its wait fail next pass. */
  fail(error: unknown): void {
    const waiter = this.#first!;
    this.#drop(waiter);
    waiter.disarm();
    waiter.suspension.scheduleError(error);
  }

  /** Resume all who wait now, oldest first. */
  grantAll(value: unknown): void {
    while (this.#first !== null) this.grant(value);
  }

  /** A wait was broken off. For {@linkcode Waiter} alone. @internal */
  leave(waiter: Waiter<V>, granted: boolean): void {
    if (!granted) this.#drop(waiter);
    this.#left?.(waiter, granted);
  }

  /** The time of a wait is over. For {@linkcode Waiter} alone. @internal */
  expire(waiter: Waiter<V>, ms: number): void {
    const { suspension } = waiter;
    this.#drop(waiter);
    waiter.disarm();
    suspension.owner = null;
    this.#expired(suspension, ms);
    this.#left?.(waiter, false);
  }

  #drop(waiter: Waiter<V>): void {
    const { previous, next } = waiter;
    if (previous === null) this.#first = next;
    else previous.next = next;
    if (next === null) this.#last = previous;
    else next.previous = previous;
    waiter.previous = null;
    waiter.next = null;
    this.#size--;
  }
}

/**
 * Count a wait that would be over before it began. True if there have been so
 * many since MAINLOOP's last pass that the caller shall wait for the next one:
 * a greenthread that always finds what it needs, as in
 * `queue.put(await queue.get())`, would let nobody else run, not even Deno's
 * own loop. @internal
 */
export function overdue(): boolean {
  return --thread.patience < 0 && !inMainloop();
}

/** Let all others run, and then make a call that nothing was done for yet. @internal */
export function inTurn<T>(call: () => Promise<T>): Promise<T> {
  return outer(afterOthers(call));
}

async function afterOthers<T>(call: () => Promise<T>): Promise<T> {
  await yielded(undefined);
  return await call();
}

/** Whether the caller is MAINLOOP, which may not wait. @internal */
export function inMainloop(): boolean {
  return getCurrent().isMainloop;
}
