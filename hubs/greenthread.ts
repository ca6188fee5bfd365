/**
 * A greenthread: an async function with an identity, a result, and waits that
 * can be broken off from outside.
 *
 * The trap it guards: a greenthread inside an ordinary `await` cannot be
 * interrupted there; a kill is then kept and delivered at its next wait.
 *
 * @module
 */

import { context, getCurrent, main, setMain } from "./current.ts";
import { GreenletExit, HubError } from "./errors.ts";
import { killGreenThread } from "./kill.ts";
import { Links } from "./links.ts";
import { LocalTimers } from "./local_timers.ts";
import { reportError } from "./report.ts";
import type { Cancellable, Entry } from "./scheduler.ts";
import type { Scope } from "./scope.ts";
import { suspend } from "./suspend.ts";
import { BARE, type Suspension, type SuspensionOwner } from "./suspension.ts";
import { currentHub, thread } from "./thread.ts";
import { ignore, noteAddressed, noteThrown, refused } from "./thrown.ts";

// Its error, if nobody waits for it at its end, is reported ...
const AT_ONCE = 0;
const A_PASS_LATER = 1;
const NEVER = 2;

const UNSTARTED = 0;
const STARTED = 1;
// Has always been started, and never ends.
const MAINLOOP = 2;
const RETURNED = 3;
const FAILED = 4;
const STATES = ["unstarted", "started", "started", "dead", "dead"] as const;

/** Any function a greenthread can run. */
// deno-lint-ignore no-explicit-any
export type AnyFunction = (...args: any[]) => unknown;

/** A function that is called with the greenthread when it ends. */
export type LinkFunction<T> = (
  gt: GreenThread<T>,
  // deno-lint-ignore no-explicit-any
  ...args: any[]
) => unknown;

/** What is thrown at a greenthread at its next wait ... */
export interface Kept {
  readonly error: unknown;
  /** ... inside of this time limit; null: wherever. */
  readonly scope: Scope | null;
}

const NO_ARGS: readonly unknown[] = [];

let lastId = 0;

/**
 * A greenthread, as `spawn` returns it.
 *
 * @example Wait for a result
 * ```ts
 * import { spawn } from "../mod.ts";
 *
 * const gt = spawn((a: number, b: number) => a + b, 1, 2);
 * if (await gt.wait() !== 3) throw new Error("not 3");
 * ```
 */
export class GreenThread<T = unknown> implements Entry, SuspensionOwner {
  // What every wait looks at comes first, to be near to each other.
  /** Its pending waits: one, or more than one has made a set of, oldest first. */
  #waits: Suspension | Set<Suspension> | null = null;
  /** Thrown while it waited for nothing, oldest first. */
  #kept: Kept[] | null = null;
  #state = UNSTARTED;
  /** In which wave of resumes it runs; 0 when it waits. @internal */
  wave = 0;

  /** Counts up from 0, which is main. */
  readonly id: number = lastId++;

  readonly #name: string;
  #fn: AnyFunction | null;
  #args: readonly unknown[];
  #value: unknown = undefined;
  /** What will start it; once it runs, its local timers. */
  #timer: Cancellable | null = null;
  /** Lets it begin, in the context in which it was spawned. */
  #open: ((gt: GreenThread) => void) | null = null;
  #waiters: Suspension[] | null = null;
  #links: Links | null = null;
  #reported = AT_ONCE;

  /**
   * Make a greenthread that nobody has scheduled yet; users call `spawn`.
   *
   * @param fn What it runs; null for main and MAINLOOP, which just run.
   * @param args What `fn` is called with.
   * @param name What error messages call it.
   */
  constructor(
    fn: AnyFunction | null,
    args: readonly unknown[] = NO_ARGS,
    name = "",
  ) {
    this.#fn = fn;
    this.#args = args;
    this.#name = name !== "" ? name : nameOf(fn);
    if (fn === null) this.#state = STARTED;
    else thread.observer?.made(this as GreenThread);
  }

  /** It has ended, by return, error or kill. */
  get dead(): boolean {
    return this.#state >= RETURNED;
  }

  /** It has begun and not ended. */
  get started(): boolean {
    return this.#state === STARTED || this.#state === MAINLOOP;
  }

  /** The name of the function it runs. */
  get name(): string {
    return this.#name;
  }

  /** `GreenThread <id> (<function name>)`. */
  toString(): string {
    return `GreenThread ${this.id} (${this.#name})`;
  }

  /** What `console.log` shows. */
  [Symbol.for("Deno.customInspect")](): string {
    return `${this.toString()} [${STATES[this.#state]}]`;
  }

  /**
   * Wait for the end: resolves to the result, rejects with the error.
   *
   * Any number may wait, also later. When it has already ended this is no
   * switch point.
   *
   * @throws {HubError} If called by the greenthread itself, or from MAINLOOP.
   * @throws Whatever the greenthread threw; `GreenletExit` if it was killed.
   */
  wait(): Promise<T> {
    if (this.dead) {
      if (this.#state === RETURNED) return Promise.resolve(this.#value as T);
      const failed = Promise.reject(this.#value);
      GreenThread.#handOut(this as GreenThread, failed);
      return failed;
    }
    if (getCurrent() === this as GreenThread) {
      return Promise.reject(
        new HubError(`Cannot wait for ${this}: it is the caller itself`),
      );
    }
    let suspension;
    try {
      suspension = suspend(currentHub(), this);
    } catch (error) {
      return refused(error);
    }
    (this.#waiters ??= []).push(suspension);
    return suspension.promise as Promise<T>;
  }

  /** A waiter gave up. For `Suspension` alone. */
  abandoned(suspension: Suspension): void {
    const waiters = this.#waiters;
    if (waiters === null) return;
    const at = waiters.indexOf(suspension);
    if (at >= 0) waiters.splice(at, 1);
  }

  /**
   * Kill it: `error` is thrown at every wait it is in. See the function
   * `kill`, which this is.
   */
  kill(error: unknown = new GreenletExit()): Promise<void> {
    return killGreenThread(this, error);
  }

  /** Kill it if it has not started; else do nothing. Never yields. */
  cancel(): void {
    if (this.#state === UNSTARTED) this.end(true, new GreenletExit());
  }

  /**
   * Call `fn(gt, ...args)` once it has ended, in the order of linking and
   * before its waiters are resumed; at once if it has ended already. Each link
   * runs even if an earlier one throws; their errors are reported.
   *
   * @throws {TypeError} If `fn` is no function.
   */
  // deno-lint-ignore no-explicit-any
  link(fn: LinkFunction<T>, ...args: any[]): void {
    if (typeof fn !== "function") {
      throw new TypeError(`Cannot link: fn is no function: ${typeof fn}`);
    }
    const links = this.#links ??= new Links();
    links.add(fn, args);
    if (this.dead) links.run(this as GreenThread);
  }

  /** Take back a link with the same function and arguments. */
  // deno-lint-ignore no-explicit-any
  unlink(fn: LinkFunction<T>, ...args: any[]): boolean {
    return this.#links?.remove(fn, args) ?? false;
  }

  /**
   * Resume its latest bare `hub.switch()` with `value`.
   *
   * @throws {HubError} If it is not parked in one.
   */
  switch(value?: unknown): void {
    const waits = this.#waits;
    const all = waits instanceof Set ? [...waits] : [waits];
    const bare = all.findLast((one) => one?.owner === BARE && one.pending);
    if (!bare) {
      throw new HubError(
        `Cannot switch to ${this}: it is in no bare hub.switch()`,
      );
    }
    bare.resume(value);
  }

  /**
   * Throw `error` at every wait it is in, now. One that waits for nothing gets
   * it at its next wait; one that has not started ends with it; a dead one
   * is left alone, but for what it began and did not wait for.
   */
  throw(error: unknown): void {
    if (this.#state === UNSTARTED) {
      this.end(true, error);
      return;
    }
    if (!this.waiting) {
      if (this.started) this.keep(error);
      return;
    }
    // What has taken it may be something on the side that nobody awaits yet, or
    // ever, while its code is in an ordinary await: then it is thrown again, once.
    let again = 1;
    this.interrupt(error, () => {
      // Whoever waits for it has it from there, and must not lose it.
      if (this.#state === FAILED && this.#value === error) return false;
      if (again-- > 0 && this.started) this.throw(error);
      return true;
    });
  }

  /**
   * Throw `error` at every wait it is in. Of several, one has it for all: so many
   * others may be made an unhandled rejection of. If there is one, `settle`
   * decides. (Main waits for many, each by itself.) @internal
   */
  interrupt(error: unknown, settle: (() => boolean) | null): void {
    const gt = this as GreenThread;
    const waits = this.#waits;
    let others = waits instanceof Set ? waits.size - 1 : 0;
    if (others > 0) settle = () => others-- > 0;
    if (settle !== null && gt !== main) noteAddressed(error, settle);
    // Each throw takes its wait from those pending.
    for (
      let wait = GreenThread.#oldest(gt);
      wait !== null;
      wait = GreenThread.#oldest(gt)
    ) {
      GreenThread.#throwAt(wait, error);
    }
  }

  // What follows is for the hub's own modules.

  /**
   * Throw `error` at the waits that the limit `scope` is around; false if there
   * is none. One that was begun before counts if it is what the limited function
   * has returned, or a greenthread's only one: it must be what that awaits.
   * @internal
   */
  throwInside(scope: Scope, error: unknown): boolean {
    const waits = this.#waits;
    const all = waits instanceof Set
      ? [...waits]
      : waits === null
      ? []
      : [waits];
    let inside = all.filter((wait) =>
      scope.holds(wait.scope) || wait.promise === scope.returned
    );
    if (
      inside.length === 0 && all.length === 1 && this as GreenThread !== main
    ) inside = all;
    for (const wait of inside) GreenThread.#throwAt(wait, error);
    return inside.length > 0;
  }

  /** It is a hub's own. @internal */
  get isMainloop(): boolean {
    return this.#state === MAINLOOP;
  }

  /** Make the greenthread a hub itself runs as. @internal */
  static forMainloop(): GreenThread {
    const gt = new GreenThread(null, NO_ARGS, "MAINLOOP");
    gt.#state = MAINLOOP;
    return gt;
  }

  /** Keep the timer that will start it, to cancel both at once. @internal */
  startsBy(timer: Cancellable): void {
    this.#timer = timer;
  }

  /** Cancel a timer at its end; main and MAINLOOP have none. @internal */
  keepTimer(timer: Cancellable): void {
    if (this.isMainloop || this as GreenThread === main) return;
    if (this.dead) {
      timer.cancel();
      return;
    }
    let timers = this.#timer;
    if (!(timers instanceof LocalTimers)) {
      this.#timer = timers = new LocalTimers();
    }
    (timers as LocalTimers).add(timer);
  }

  /** Let go of a timer that was called or cancelled. @internal */
  dropTimer(timer: Cancellable): void {
    if (this.#timer instanceof LocalTimers) this.#timer.drop(timer);
  }

  /**
   * Make it begin in the async context of whoever calls now, so that other
   * `AsyncLocalStorage`s see what they saw at the spawn. A promise reaction
   * carries the context for a third of what a snapshot costs. @internal
   */
  inheritContext(): void {
    if (context.alone()) return;
    void new Promise<GreenThread>(takeGate).then(begin);
    this.#open = takenGate;
  }

  /** MAINLOOP's turn: begin. @internal */
  fire(): void {
    if (this.#state !== UNSTARTED) return;
    this.#state = STARTED;
    this.#timer = null;
    const open = this.#open;
    this.#open = null;
    thread.hub?.resumed(this as GreenThread);
    if (open !== null) open(this as GreenThread);
    else void Promise.resolve(this as GreenThread).then(beginAlone);
  }

  /** The hub stopped first. @internal */
  discard(): boolean {
    this.cancel();
    return true;
  }

  /** Run the function to its end. @internal */
  main(): void {
    const fn = this.#fn!;
    const args = this.#args;
    this.#fn = null;
    this.#args = NO_ARGS;
    try {
      const value = fn(...args) as PromiseLike<unknown> | null;
      const then = value?.then;
      if (typeof then !== "function") this.end(false, value);
      else if (then === Promise.prototype.then) {
        // What it calls runs in our context, so two functions do for all.
        void value!.then(ended, failed);
      } else {
        value!.then(
          (result) => this.end(false, result),
          (error) => this.end(true, error),
        );
      }
    } catch (error) {
      this.end(true, error);
    }
  }

  /** End it: waiters in the next pass, links now, in order. @internal */
  end(failed: boolean, value: unknown): void {
    if (this.dead) return;
    this.#state = failed ? FAILED : RETURNED;
    this.#value = value;
    this.#fn = null;
    this.#args = NO_ARGS;
    this.#open = null;
    this.#kept = null;
    if (this.#timer !== null) {
      this.#timer.cancel();
      this.#timer = null;
    }
    const waiters = this.#waiters ?? [];
    this.#waiters = null;
    for (const waiter of waiters) {
      if (failed) {
        GreenThread.#handOut(this as GreenThread, waiter.promise);
        waiter.scheduleError(value);
      } else waiter.schedule(value);
    }
    // Before any of them goes on, but what links bring about comes after.
    if (this.#links !== null) {
      this.#links.run(this as GreenThread);
      this.#links = null;
    }
    thread.hub?.waits(this as GreenThread);
    if (waiters.length === 0 && failed && !isExit(value)) {
      if (this.#reported === AT_ONCE) GreenThread.#report(this as GreenThread);
      else if (this.#reported === A_PASS_LATER) {
        GreenThread.#reportLater(this as GreenThread);
      }
    }
  }

  /** Whoever made it will ask for its error later: no report. @internal */
  expectWait(): void {
    this.#reported = NEVER;
  }

  /** Nobody can wait for it before its end; soon after, somebody may. @internal */
  allowLateWait(): void {
    this.#reported = A_PASS_LATER;
  }

  /** Add a wait to those pending. @internal */
  addSuspension(s: Suspension): void {
    const waits = this.#waits;
    if (waits === null) this.#waits = s;
    else if (waits instanceof Set) waits.add(s);
    else this.#waits = new Set([waits, s]);
  }

  /** Take a wait from those pending. @internal */
  dropSuspension(s: Suspension): void {
    const waits = this.#waits;
    if (waits === s) this.#waits = null;
    else if (waits instanceof Set) waits.delete(s);
  }

  /** It waits for something a hub will deliver. @internal */
  get waiting(): boolean {
    const waits = this.#waits;
    return waits instanceof Set ? waits.size > 0 : waits !== null;
  }

  /**
   * Take the first that is to be thrown at a wait begun in `scope`.
   * @internal
   */
  takeKept(scope: Scope | null): Kept | null {
    const all = this.#kept;
    if (all === null) return null;
    const first = all.find((kept) => kept.scope?.holds(scope) ?? true) ?? null;
    if (first !== null) this.dropKept(first);
    return first;
  }

  /**
   * Throw `error` at its next wait, or the next one inside `scope`.
   * @internal
   */
  keep(error: unknown, scope: Scope | null = null): Kept {
    noteThrown(error);
    const kept = { error, scope };
    (this.#kept ??= []).push(kept);
    return kept;
  }

  /**
   * Do not throw it, if that is still to be done.
   * @internal
   */
  dropKept(dropped: Kept): void {
    const rest = this.#kept?.filter((kept) => kept !== dropped) ?? [];
    this.#kept = rest.length > 0 ? rest : null;
  }

  /**
   * Cancel `what` at its end, unless code of it still waits then. Main has no
   * end. (It is a link: most greenthreads have none of either.) @internal
   */
  cancelAtEnd(what: Cancellable): void {
    const ends = this.#state === STARTED && this as GreenThread !== main;
    if (ends) this.link(lapse, what);
  }

  /** Take that back. @internal */
  outlive(what: Cancellable): void {
    this.unlink(lapse, what);
  }

  // Static: private methods take a word of every object.

  /**
   * One that was begun and is to be awaited later fails with the rest: nobody's
   * unhandled rejection.
   */
  static #throwAt(wait: Suspension, error: unknown): void {
    noteThrown(error);
    wait.promise.catch(ignore);
    wait.throw(error);
  }

  static #oldest(gt: GreenThread): Suspension | null {
    const waits = gt.#waits;
    if (!(waits instanceof Set)) return waits;
    return waits.values().next().value ?? null;
  }

  static #report(gt: GreenThread): void {
    reportError(`Uncaught error in ${gt}`, gt.#value);
  }

  /** Report its error in the next pass, unless somebody has asked by then. */
  static #reportLater(gt: GreenThread): void {
    const report = (): void => {
      if (gt.#reported === A_PASS_LATER) GreenThread.#report(gt);
    };
    const discard = (): boolean => {
      report();
      return true;
    };
    if (thread.hub === null) report();
    else thread.hub.enqueue({ fire: report, discard });
  }

  /** Its error goes out by `promise`, which may be awaited later, or never. */
  static #handOut(gt: GreenThread, promise: Promise<unknown>): void {
    gt.#reported = NEVER;
    noteThrown(gt.#value);
    promise.catch(ignore);
  }
}

function lapse(gt: GreenThread, what: Cancellable): void {
  if (!gt.waiting) what.cancel();
}

let takenGate: (gt: GreenThread) => void;
function takeGate(resolve: (gt: GreenThread) => void): void {
  takenGate = resolve;
}

/** A function's `name` need be no string. */
function nameOf(fn: AnyFunction | null): string {
  const name: unknown = fn?.name;
  return typeof name === "string" && name !== "" ? name : "anonymous";
}

/** Anything can be thrown, even what throws when it is looked at. */
function isExit(value: unknown): boolean {
  try {
    return value instanceof GreenletExit;
  } catch {
    return false;
  }
}

/** A reaction of its own, so the context it enters ends with it. */
function begin(gt: GreenThread): void {
  context.enter(gt);
  gt.main();
}

function ended(result: unknown): void {
  getCurrent().end(false, result);
}

function failed(error: unknown): void {
  getCurrent().end(true, error);
}

function beginAlone(gt: GreenThread): void {
  context.enterAlone(gt);
  gt.main();
}

setMain(new GreenThread(null, NO_ARGS, "main"));
