/**
 * One wait of one greenthread: the only thing in the project that resumes.
 *
 * The trap it guards is eventlet's spurious resume: a stale timer or event
 * that wakes a *later* wait. A suspension is resumed at most once; whoever
 * comes late finds it settled. What the wait had set up elsewhere (a listener,
 * a timer, a place in a queue) hangs on its `owner`, which is told to undo it
 * when the wait is broken off.
 *
 * @module
 */

import type { GreenThread } from "./greenthread.ts";
import type { Entry, Scheduler } from "./scheduler.ts";
import type { Scope } from "./scope.ts";

/** Who set up a wait, and can undo it. */
export interface SuspensionOwner {
  /**
   * The wait was broken off by kill, throw, timeout or abort. `granted` says
   * that a resume had already been scheduled and is now lost: what it carried
   * (a token, an item) must go to somebody else.
   */
  abandoned(suspension: Suspension, granted: boolean): void;
}

/** Owns a bare `hub.switch()`, which `gt.switch(value)` may resume. */
export const BARE: SuspensionOwner = { abandoned() {} };

/**
 * Owns a wait that needs no undoing, for one's turn after something that has
 * happened: once it is scheduled, it ends whatever becomes of the hub.
 */
export const HAPPENED: SuspensionOwner = { abandoned() {} };

const PENDING = 0;
const SCHEDULED = 1;
const YIELDING = 2;
const FAILING = 3;
const GRANTED = 4;
const DENIED = 5;
const SETTLED = 6;

let takenResolve: (value: unknown) => void;
let takenReject: (reason: unknown) => void;
// One executor for all: no closure per wait.
function take(
  resolve: (value: unknown) => void,
  reject: (reason: unknown) => void,
): void {
  takenResolve = resolve;
  takenReject = reject;
}

/** A pending wait. Made by {@linkcode suspend}. */
export class Suspension implements Entry {
  /** Settles when the wait is over. */
  promise: Promise<unknown>;
  /** Who waits. */
  greenlet: GreenThread;
  /** The hub it waits in. */
  hub: Scheduler;
  /** Undoes the wait; null when there is nothing to undo. */
  owner: SuspensionOwner | null = null;
  /**
   * The time limit it was begun inside of.
   * @internal
   */
  scope: Scope | null = null;

  #resolve: (value: unknown) => void;
  #reject: (reason: unknown) => void;
  #state = PENDING;
  #outcome: unknown = undefined;

  /** Made by `suspend`, which also notes it with the greenthread. */
  constructor(greenlet: GreenThread, hub: Scheduler) {
    this.promise = new Promise<unknown>(take);
    this.#resolve = takenResolve;
    this.#reject = takenReject;
    this.greenlet = greenlet;
    this.hub = hub;
  }

  /**
   * Make it a new wait. Only its owner may, who knows that the one before is
   * over, was never scheduled, and that nobody else has kept a hold on it.
   */
  renew(greenlet: GreenThread, hub: Scheduler): void {
    this.promise = new Promise<unknown>(take);
    this.#resolve = takenResolve;
    this.#reject = takenReject;
    this.greenlet = greenlet;
    this.hub = hub;
    this.#state = PENDING;
  }

  /** Nothing was scheduled or delivered yet. */
  get pending(): boolean {
    return this.#state === PENDING;
  }

  /** The wait is over. */
  get settled(): boolean {
    return this.#state === SETTLED;
  }

  /** Resume now: the greenthread goes on before MAINLOOP's next step. */
  resume(value?: unknown): void {
    if (this.#state === SETTLED) return;
    this.#state = SETTLED;
    this.owner = null;
    this.greenlet.dropSuspension(this);
    this.hub.resumed(this.greenlet);
    this.#resolve(value);
  }

  /** Resume in the next pass, after whatever was scheduled before. */
  schedule(value?: unknown): void {
    if (this.#state !== PENDING) return;
    this.#state = SCHEDULED;
    this.#outcome = value;
    this.hub.enqueue(this);
  }

  /**
   * Resume when all that is ready has run, descriptors included: should its
   * turn come before the next sweep, it has another one, after it.
   */
  yield(): void {
    if (this.#state !== PENDING) return;
    const { hub } = this;
    const { sweeps } = hub;
    // Whoever begins to wait for a descriptor after this is no reason.
    if (hub.unswept(sweeps)) {
      this.#state = YIELDING;
      this.#outcome = sweeps;
    } else this.#state = SCHEDULED;
    hub.enqueue(this);
  }

  /** Change what was scheduled and has not been delivered yet. */
  amend(value: unknown): void {
    if (this.#state === SCHEDULED) this.#outcome = value;
  }

  /**
   * Resume when {@linkcode Suspension.fire} is called. It counts as resumed
   * from now on: whatever is thrown at the greenthread waits for its next wait.
   */
  grant(value: unknown): void {
    Suspension.#settle(this, GRANTED, value);
  }

  /** As {@linkcode Suspension.grant}, and then fail. */
  deny(error: unknown): void {
    Suspension.#settle(this, DENIED, error);
  }

  /** Fail in the next pass, after whatever was scheduled before. */
  scheduleError(error: unknown): void {
    if (this.#state !== PENDING) return;
    this.#state = FAILING;
    this.#outcome = error;
    this.hub.enqueue(this);
  }

  /** Break the wait off with `error`, now; whatever it set up is undone. */
  throw(error: unknown): void {
    if (this.#state >= GRANTED) return;
    const granted = this.#state !== PENDING;
    this.#state = SETTLED;
    this.#outcome = undefined;
    const owner = this.owner;
    this.owner = null;
    this.greenlet.dropSuspension(this);
    this.hub.resumed(this.greenlet);
    this.#reject(error);
    if (owner !== null) owner.abandoned(this, granted);
  }

  /**
   * As {@linkcode Suspension.throw}, by an event of Deno's loop. What the wait
   * set up is undone now, so another may begin. But a hub that is parked is
   * woken, and the greenthread goes on when that has ended: it may be a test,
   * which shall find nothing under way.
   */
  abort(error: unknown): void {
    if (!this.hub.resting) {
      this.throw(error);
      return;
    }
    if (this.#state === PENDING) {
      const { owner } = this;
      this.deny(error);
      this.hub.enqueue(this);
      if (owner !== null) owner.abandoned(this, false);
      return;
    }
    // It will have ended by then, unless what was scheduled is discarded.
    const { promise } = this;
    const end = (): true => {
      // It may be used again by then.
      if (this.promise === promise) this.throw(error);
      return true;
    };
    this.hub.enqueue({ fire: end, discard: end });
  }

  /**
   * Forget a wait that could not be set up; its promise is never seen. Whoever
   * wanted it goes on, so MAINLOOP has to let it.
   */
  withdraw(): void {
    this.#state = SETTLED;
    this.owner = null;
    this.greenlet.dropSuspension(this);
    this.hub.resumed(this.greenlet);
  }

  /** MAINLOOP's turn: deliver what was scheduled. */
  fire(): void {
    if (this.#state === SETTLED) return;
    if (this.#state === YIELDING) {
      const sweeps = this.#outcome as number;
      this.#state = SCHEDULED;
      this.#outcome = undefined;
      if (this.hub.unswept(sweeps)) {
        this.hub.enqueue(this);
        return;
      }
    }
    const failing = this.#state === FAILING || this.#state === DENIED;
    const outcome = this.#outcome;
    this.#state = SETTLED;
    this.#outcome = undefined;
    this.owner = null;
    this.greenlet.dropSuspension(this);
    this.hub.resumed(this.greenlet);
    if (failing) this.#reject(outcome);
    else this.#resolve(outcome);
  }

  /**
   * The hub stopped first. A mere `sleep(0)` stays parked for good and can be
   * killed; what carries something (an item, a token) keeps its place.
   */
  discard(): boolean {
    if (this.#state === SETTLED) return true;
    if (this.owner !== null || this.#state >= GRANTED) return false;
    this.#state = PENDING;
    this.#outcome = undefined;
    return true;
  }

  // Static: a private method takes a word of every object.
  static #settle(it: Suspension, state: number, outcome: unknown): void {
    if (it.#state !== PENDING) return;
    it.#state = state;
    it.#outcome = outcome;
    it.owner = null;
    it.greenlet.dropSuspension(it);
  }
}
