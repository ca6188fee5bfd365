/**
 * What MAINLOOP does when it has nothing to do, or has done enough for now: it
 * waits briefly, parks, looks for descriptors closed in silence, and yields to
 * Deno's loop.
 *
 * The trap it guards: whatever is relied on here may fail. A way to park that
 * misses a wake-up is replaced for good; a descriptor that was closed behind
 * our back (epoll forgets it without a word) is found by an audit, soon after
 * parking and then more and more rarely, at a hundredth of the time.
 *
 * @module
 */

import { BriefWait } from "./brief_wait.ts";
import {
  chooseParking,
  fallbackParking,
  type ParkingChoice,
} from "./choose_parking.ts";
import { LoopSignal, macrotask } from "./deno_loop.ts";
import { Fairness } from "./fairness.ts";
import { driverPending, sleepBesideDriver } from "./loop_driver.ts";
import { type Parking, type ParkingName, TimedParking } from "./parking.ts";
import type { Poller } from "./poller.ts";
import type { ListenerTable, LostWaiter } from "./table.ts";
import { thread } from "./thread.ts";

/** How a hub may be told to idle. */
export interface IdleOptions {
  /** Which way to park; default `"auto"`, the fastest that works. */
  readonly parking?: ParkingChoice | undefined;
  /**
   * The longest brief wait before a park, ms; 0: none; default 0.05; more than
   * 1 counts as 1. It is spent asking the kernel again and again where answers
   * come within microseconds, else asleep; where neither pays, it is left out.
   */
  readonly briefWait?: number | undefined;
}

/** The longest single park, ms: so long at most may a wake-up go missing. */
const MAX_PARK = 60_000;
/** A silent close is looked for this long after parking, ms; then ... */
const FIRST_AUDIT = 20;
/** ... after ten times as long, and so on, ... */
const AUDIT_GROWTH = 10;
/** ... up to this, ms, or ... */
const LAST_AUDIT = 2000;
/** ... this many times what one takes, if that is more. */
const IDLE_SHARE = 2000;
/** Longer than any park, ms. */
const NEVER = 2 ** 30;
/** While MAINLOOP is busy: so long after the last one was paid for, ms. */
const BUSY_AUDIT = 50;
/** Between audits, this many times what the last one took, ms, if more. */
const AUDIT_SHARE = 100;

/** What makes Deno's loop look at its I/O, where this Deno has such a thing. */
function makeLoopSignal(): LoopSignal | null {
  try {
    return new LoopSignal();
  } catch {
    return null;
  }
}

/** See the module. */
export class Idle {
  /** Counters for `statistics()`. */
  parks = 0;
  briefWaits = 0;
  yields = 0;

  readonly #poller: Poller;
  readonly #table: ListenerTable;
  readonly #signal: LoopSignal | null;
  readonly #fairness: Fairness;
  readonly #briefWait: BriefWait;
  readonly #onLost: (lost: LostWaiter) => void;
  #parking: Parking;
  #parked = false;
  /** Deno's loop had a turn since something was last done. */
  #settled = false;
  /** How long the park under way may last, ms, and could at most; -1: none is. */
  #timeout = -1;
  #cap = 0;
  /** How long there was nothing to do when it began, ms. */
  #limit = 0;
  /** The last park ended because its time was over. */
  #exhausted = false;
  /** What a main module awaits is kept by: see `#inBackground`. */
  #pending: ReturnType<typeof setInterval> | undefined;
  #auditAfter = 0;
  #auditCost = 0;
  /** Nothing was done since the last park. */
  #idling = false;
  /** The last park ended, and not by us. */
  #announced = false;
  #auditDelay = FIRST_AUDIT;

  /**
   * @param onLost Called for each waiter whose descriptor is not open any more.
   * @throws {RangeError} If an option has a wrong value.
   * @throws {HubError} If the way to park that was asked for does not work.
   */
  constructor(
    poller: Poller,
    table: ListenerTable,
    onLost: (lost: LostWaiter) => void,
    options: IdleOptions,
  ) {
    this.#poller = poller;
    this.#table = table;
    this.#onLost = onLost;
    const signal = this.#signal = makeLoopSignal();
    const pending = signal === null ? null : driverPending(signal.fd);
    this.#fairness = new Fairness(signal, pending);
    try {
      this.#briefWait = new BriefWait(poller, {
        longest: options.briefWait,
        sleep: signal === null ? null : sleepBesideDriver(signal.fd, poller),
      });
      this.#parking = chooseParking(poller, options.parking);
    } catch (error) {
      signal?.close();
      throw error;
    }
  }

  /** The way it parks now. */
  get parking(): ParkingName {
    return this.#parking.name;
  }

  /** The longest it parks in one go, ms, whatever there is to wait for. */
  get longestPark(): number {
    return this.#parking.longest ?? Infinity;
  }

  /** MAINLOOP is parked and has not been woken. */
  get parked(): boolean {
    return this.#parked;
  }

  /** It is parked, in a way that may be a call on another thread. */
  get elsewhere(): boolean {
    return this.#parked && this.#parking.light !== true;
  }

  /** The same, or its call has not ended since it was woken. */
  get resting(): boolean {
    return this.#timeout >= 0 && this.#parking.light !== true;
  }

  /** The poller may have something, be it for nobody. */
  get announced(): boolean {
    return this.#announced;
  }

  /** MAINLOOP begins, right after Deno's loop had its turn. */
  begin(): void {
    this.#fairness.restart();
    this.#settled = false;
  }

  /** Something was done in the pass that ends. */
  busy(): void {
    this.#settled = false;
    this.#idling = false;
    this.#auditDelay = FIRST_AUDIT;
  }

  /** Count so many steps; true if it is time to {@linkcode Idle.yield}. */
  step(count: number): boolean {
    return this.#fairness.step(count);
  }

  /** Give Deno's loop its turn. */
  async yield(): Promise<void> {
    this.yields++;
    await this.#fairness.yield();
    // One that is never idle looks for silent closes now and then.
    if (performance.now() - this.#auditAfter >= BUSY_AUDIT) this.#audit();
  }

  /** Give it one turn, whether it is time or not. */
  async turn(): Promise<void> {
    await macrotask();
    this.turned();
  }

  /** It had one. */
  turned(): void {
    this.#fairness.turned();
  }

  /** A sweep found so many listeners to call. */
  swept(found: number): void {
    this.#announced = false;
    if (!this.#exhausted) return;
    this.#exhausted = false;
    if (found > 0) this.#parking.missed?.();
  }

  /**
   * Nothing is to be done, but the last pass did something: wait briefly for
   * more of it, at most `left()` ms, if that pays.
   *
   * @returns Whether there is something to sweep.
   */
  linger(left: () => number): boolean {
    if (this.#settled || this.#table.size === 0 || !this.#briefWait.pays()) {
      return false;
    }
    this.briefWaits++;
    return this.#briefWait.wait(left());
  }

  /**
   * Nothing was done in the last pass: wait, at most `left()` ms, until there
   * may be something. Where a park is dear, first a turn of Deno's loop and one
   * more sweep, since greenthreads may be several microtasks deep; then park.
   *
   * @returns What to wait for, and to call {@linkcode Idle.rested} after: each
   * async function in between would keep whoever is woken waiting. Null if there
   * is something to do already.
   */
  rest(left: () => number): Promise<void> | null {
    if (!this.#settled) {
      this.#settled = true;
      if (this.#parking.light !== true) return this.turn();
    }
    this.#table.settle();
    if (this.#audit()) return null;
    const limit = left();
    return limit > 0 ? this.#park(limit) : null;
  }

  /** The wait is over; it has failed if `broken`. */
  rested(broken: boolean): void {
    const timeout = this.#timeout;
    if (timeout < 0) return;
    this.#timeout = -1;
    this.#outOfBackground();
    if (broken) {
      void this.#parking.close();
      this.#parking = new TimedParking();
    }
    this.#exhausted = this.#parked && timeout === this.#cap;
    this.#announced = this.#parked;
    if (this.#exhausted) {
      const longest = Math.max(LAST_AUDIT, this.#auditCost * IDLE_SHARE);
      this.#auditDelay = Math.min(timeout * AUDIT_GROWTH, longest);
    }
    // Deno's loop ended the park; or it had its turn before it. But a light one
    // that was woken may be over before the loop turns, again and again.
    if (this.#parked || this.#parking.light !== true) this.#fairness.restart();
    this.#parked = false;
    if (this.#parking.broken === true) {
      // It cannot be relied on: the next way, for good.
      void this.#parking.close();
      this.#parking = fallbackParking(this.#poller, this.#parking.name);
    }
  }

  /** End a park under way. */
  wake(): void {
    if (!this.#parked) return;
    this.#parked = false;
    this.#parking.wake();
  }

  /** MAINLOOP leaves: keep the process alive no longer. */
  leave(): void {
    this.#parking.rest?.();
    this.#signal?.rest();
  }

  /** Give everything back; null unless a call is under way to wait for. */
  close(): Promise<void> | null {
    // First of all: a poller may fail to wake.
    this.#outOfBackground();
    this.#signal?.close();
    this.wake();
    return this.#parking.close();
  }

  #park(limit: number): Promise<void> {
    const cap = this.#table.size > 0 ? this.#auditDelay : MAX_PARK;
    const timeout = Math.min(limit, cap, MAX_PARK);
    this.#cap = cap;
    this.#timeout = timeout;
    this.#parked = true;
    this.parks++;
    this.#signal?.rest();
    const idling = this.#idling;
    this.#idling = true;
    const passed = this.#limit - limit;
    this.#limit = limit;
    try {
      const parking = this.#parking.park(timeout, idling, passed);
      const { background } = thread;
      // For those the process need not stay, if nothing else keeps it.
      if (background !== null && limit === Infinity) {
        if (this.#table.holdsOnly(background)) this.#inBackground();
      }
      return parking;
    } catch (error) {
      // A park that throws instead of waiting is none.
      return Promise.reject(error);
    }
  }

  /**
   * The process need not stay for this park. To a main module that awaits it,
   * Deno says that it never ends, unless something is pending, be it unref'd; a
   * handle does not count.
   */
  #inBackground(): void {
    if (this.#parking.rest === undefined) return;
    this.#parking.rest();
    this.#pending = setInterval(() => {}, NEVER);
    Deno.unrefTimer(this.#pending);
  }

  #outOfBackground(): void {
    if (this.#pending === undefined) return;
    clearInterval(this.#pending);
    this.#pending = undefined;
  }

  /** Look for descriptors closed in silence; true if there were any. */
  #audit(): boolean {
    if (this.#table.size === 0) return false;
    const start = performance.now();
    if (start < this.#auditAfter) return false;
    const lost = this.#table.audit();
    for (const one of lost) this.#onLost(one);
    const end = performance.now();
    this.#auditCost = end - start;
    this.#auditAfter = end +
      Math.max(FIRST_AUDIT, this.#auditCost * AUDIT_SHARE);
    return lost.length > 0;
  }
}
