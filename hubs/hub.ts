/**
 * `BaseHub`: listeners, timers and switching over any poller, as users and the
 * authors of hubs see them. What makes it go round is in `mainloop.ts`.
 *
 * @module
 */

import {
  checkedAbort,
  checkedAdd,
  checkedClock,
  checkedFd,
  checkedOptions,
  checkPoller,
  checkScheduled,
} from "./checks.ts";
import { hasOwnClock, systemClock } from "./clock.ts";
import { HubError, IOClosed } from "./errors.ts";
import { carried, getCurrent } from "./current.ts";
import type { AnyFunction, GreenThread } from "./greenthread.ts";
import { suspend } from "./suspend.ts";
import type { IdleOptions } from "./idle.ts";
import { bequeath } from "./inheritance.ts";
import {
  CallbackListener,
  type ErrorCallback,
  type FdListener,
  type ReadyCallback,
} from "./listeners.ts";
import { closedHub, Mainloop } from "./mainloop.ts";
import type { ParkingName } from "./parking.ts";
import { type Interest, type Poller, READ, WRITE } from "./poller.ts";
import { reportError } from "./report.ts";
import type { Entry, Scheduler, TimerOwner } from "./scheduler.ts";
import { BARE } from "./suspension.ts";
import { ListenerTable, type Visitor } from "./table.ts";
import { thread } from "./thread.ts";
import { ENDS, type Timer, type TimerExtras } from "./timers.ts";

/** What every hub's constructor takes. */
export interface HubOptions extends IdleOptions {
  /** The hub's clock: milliseconds, monotonic. Default: the system's. */
  readonly clock?: (() => number) | undefined;
}

/** Counters of a hub's life, and the way it parks. */
export interface Statistics {
  /** How it parks: `"thread"` is its own system call on another thread. */
  readonly parking: ParkingName;
  /** Trips round MAINLOOP. */
  readonly passes: number;
  /** Times the poller was asked. */
  readonly sweeps: number;
  /** Listeners that were called because their descriptor was ready. */
  readonly events: number;
  /** Timers that fired. */
  readonly timersFired: number;
  /** Times it parked. */
  readonly parks: number;
  /** Brief synchronous waits before a park. */
  readonly briefWaits: number;
  /** Times it yielded to Deno's loop while busy. */
  readonly yields: number;
}

/**
 * A hub: listeners, timers and MAINLOOP over any {@linkcode Poller}.
 *
 * @example A hub by somebody else is a poller behind a BaseHub
 * ```ts
 * import { BaseHub, type Poller } from "./mod.ts";
 *
 * export function hubOver(poller: Poller): BaseHub {
 *   return new BaseHub(poller, { clock: () => performance.now() });
 * }
 * ```
 */
export class BaseHub implements Scheduler, AsyncDisposable {
  /** Interest in readability. */
  static readonly READ: typeof READ = READ;
  /** Interest in writability. */
  static readonly WRITE: typeof WRITE = WRITE;
  /** Interest in readability. */
  readonly READ: typeof READ = READ;
  /** Interest in writability. */
  readonly WRITE: typeof WRITE = WRITE;
  /** `"epolls"`, `"poll"`, `"selects"`, `"libevent"`, or a name of its own. */
  declare readonly name: string;
  /** MAINLOOP, as a greenthread: who is current in callbacks. */
  readonly greenlet: GreenThread;

  readonly #poller: Poller;
  readonly #table: ListenerTable;
  readonly #loop: Mainloop;
  /** As it was given or assigned. */
  #clock: () => number;
  #shut: Promise<void> | null = null;

  /**
   * Make a hub. MAINLOOP starts at the first switch. A poller whose hub cannot
   * be made is closed.
   *
   * @throws {TypeError} If `poller` lacks `watch`, `sweep` or `close`, or an
   * option has a wrong type.
   * @throws {RangeError} If an option has a wrong value.
   * @throws {HubError} If the way to park that was asked for does not work.
   */
  constructor(poller: Poller, options: HubOptions = {}) {
    checkPoller(poller);
    const name = poller.name ?? new.target.name;
    // A subclass may have a getter.
    if (!Reflect.has(this, "name")) this.name = name;
    this.#poller = poller;
    this.#table = new ListenerTable(poller);
    try {
      const given = checkedOptions(options);
      this.#clock = checkedClock(given.clock ?? systemClock);
      this.#loop = new Mainloop(
        this,
        poller,
        this.#table,
        this.#effectiveClock(),
        given,
      );
    } catch (error) {
      try {
        poller.close();
      } catch (another) {
        reportError(`Error at the close of hub ${name}`, another);
      }
      throw error;
    }
    this.greenlet = this.#loop.greenlet;
    thread.making?.push(this);
  }

  /** MAINLOOP has been started and has not left. */
  get running(): boolean {
    return this.#loop.running;
  }

  /** MAINLOOP was told to leave. */
  get stopping(): boolean {
    return this.#loop.stopping;
  }

  /**
   * The time in ms on the hub's own clock; may be assigned at any time, or be a
   * subclass's own. While it throws, it is taken for one that says NaN: nothing
   * is due, and what asks for a timer throws the same.
   */
  get clock(): () => number {
    return this.#clock;
  }

  set clock(clock: () => number) {
    this.#clock = checkedClock(clock);
    this.#loop.clock = this.#effectiveClock();
  }

  /**
   * Listen to a descriptor until told otherwise.
   *
   * `cb(fd)` is called from MAINLOOP once in each pass in which the descriptor
   * is ready, so it must take what is there or remove the listener. `tb(error)`
   * is called once if the descriptor is closed under it (`IOClosed`) or turns
   * out not to be open (`SystemError` EBADF); the listener is gone then. A
   * callback that throws is reported and loses its own listener. An
   * `AsyncLocalStorage` has the value in the callbacks that it has here.
   *
   * @param evtype {@linkcode READ} or {@linkcode WRITE}.
   * @param fd The descriptor.
   * @param cb Called when it is ready.
   * @param tb Called when there is nothing to wait for any more.
   * @param markAsClosed Called if the number was handed out anew.
   * @throws {HubError} If somebody else listens to it for the same.
   * @throws {SystemError} EBADF if it is not open; on a hub whose poller tells
   * of that in its sweep, `tb` gets it in the next pass instead.
   */
  add(
    evtype: Interest,
    fd: number,
    cb: ReadyCallback,
    tb: ErrorCallback,
    markAsClosed?: (() => void) | null,
  ): FdListener {
    const mark = markAsClosed ?? null;
    const checked = checkedAdd(evtype, fd, cb, tb, mark);
    const listener = new CallbackListener(
      evtype,
      checked,
      carried(cb),
      carried(tb),
      mark === null ? null : carried(mark),
      getCurrent(),
      thread.settings.listenerStacks ? captureStack() : null,
    );
    this.addListener(listener);
    return listener;
  }

  /** Add a listener made elsewhere. @internal */
  addListener(listener: FdListener, trusted = false): void {
    this.#assertOpen();
    this.#table.add(listener, trusted);
    this.#loop.listened();
  }

  /** Let a listener that has kept its place be called again. @internal */
  wakeListener(listener: FdListener): void {
    this.#assertOpen();
    this.#table.wake(listener);
    this.#loop.changed();
  }

  /**
   * Let others run, and then use a descriptor: it may be closed meanwhile.
   *
   * @param markAsClosed Called if the number is handed out anew.
   * @throws {IOClosed} If it is.
   * @internal
   */
  async useLater(
    fd: number,
    turn: Promise<void>,
    markAsClosed: (() => void) | null,
  ): Promise<void> {
    const visitor: Visitor = { fd, markAsClosed, lost: false };
    this.#table.visit(visitor);
    try {
      await turn;
    } finally {
      this.#table.leave(visitor);
    }
    if (visitor.lost) throw new IOClosed(fd);
  }

  /**
   * Remove a listener; harmless if it is gone, or another hub's. What it was
   * still to be told of a descriptor that is gone, it is not.
   */
  remove(listener: FdListener): void {
    this.removeListener(listener);
  }

  /** Remove a listener that was made elsewhere. @internal */
  removeListener(listener: FdListener): void {
    this.#table.remove(listener);
    this.#loop.unwatched();
  }

  /** Remove a listener that may keep its place. @internal */
  restListener(listener: FdListener): void {
    if (listener.kept && !listener.spent) this.#table.rest(listener);
    else this.#table.remove(listener);
    this.#loop.unwatched();
  }

  /**
   * Take every listener off a descriptor. Each is called once more, in the
   * next pass, as if the descriptor were ready: whoever waits goes on and
   * finds out by itself.
   *
   * @throws {TypeError} If `fd` is no number.
   * @throws {RangeError} If it is no integer from 0.
   */
  removeDescriptor(fd: number): void {
    for (const listener of this.#take(checkedFd(fd, "remove"))) {
      this.enqueue({
        fire: () =>
          this.#table.lastCall(listener) ? listener.cb(listener.fd) : undefined,
        discard: () => {
          this.#table.lastCall(listener);
          return true;
        },
      });
    }
  }

  /**
   * Say that `fd` is about to be closed: all who wait for it get `IOClosed`
   * in the next pass. Call it just before the close.
   *
   * @throws {TypeError} If `fd` is no number.
   * @throws {RangeError} If it is no integer from 0.
   */
  notifyClose(fd: number): void {
    this.#gone(checkedFd(fd, "give notice"));
  }

  /**
   * Say that the system has just handed out the number `fd`: whoever still
   * waits for it waits for something that is gone, and gets `IOClosed`.
   *
   * @throws {TypeError} If `fd` is no number.
   * @throws {RangeError} If it is no integer from 0.
   */
  markAsReopened(fd: number): void {
    const gone = this.#gone(checkedFd(fd, "give notice"));
    for (const { markAsClosed } of gone) {
      try {
        markAsClosed?.();
      } catch (error) {
        reportError("Error in markAsClosed", error);
      }
    }
  }

  /**
   * Park the current greenthread until `gt.switch(value)` resumes it.
   *
   * It keeps nothing alive: who parks this way has said elsewhere (a listener,
   * a timer) what shall wake it.
   *
   * @throws {HubError} If called from MAINLOOP, or if the hub was closed.
   */
  switch(): Promise<unknown> {
    if (getCurrent().isMainloop) {
      return Promise.reject(
        new HubError("Cannot switch to MAINLOOP from MAINLOOP"),
      );
    }
    try {
      this.#assertOpen();
      return suspend(this, BARE).promise;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Call `fn(...args)` from MAINLOOP after `ms`, whatever becomes of the
   * caller. Never early; with equal deadlines in the order of scheduling; never
   * in the pass that schedules it. An `AsyncLocalStorage` has the value in it
   * that it has here.
   *
   * @throws {TypeError} If `ms` is no number or `fn` no function.
   * @throws {RangeError} If `ms` is NaN.
   */
  scheduleCallGlobal<A extends unknown[]>(
    ms: number,
    fn: (...args: A) => unknown,
    ...args: A
  ): Timer {
    const given = args.length === 0 ? null : args;
    return this.#schedule(ms, carried(fn as AnyFunction), given, null);
  }

  /**
   * As {@linkcode BaseHub.scheduleCallGlobal}, but the timer is cancelled when
   * the calling greenthread ends.
   */
  scheduleCallLocal<A extends unknown[]>(
    ms: number,
    fn: (...args: A) => unknown,
    ...args: A
  ): Timer {
    const local = getCurrent();
    const call = carried(fn as AnyFunction);
    const timer = this.#schedule(ms, call, args, { local });
    local.keepTimer(timer);
    return timer;
  }

  /**
   * End MAINLOOP after the pass under way; at once if it is parked. Timers are
   * discarded and unstarted greenthreads end with `GreenletExit`; listeners stay;
   * whoever is parked stays parked and can be killed. The next switch, spawn,
   * timer or listener starts MAINLOOP again, be it begun in the same breath. Not
   * running: nothing happens.
   */
  abort(): void;
  /**
   * The same, and wait until MAINLOOP has left.
   *
   * @throws {TypeError} If `options` is no object, or `wait` no boolean.
   * @throws {HubError} If called from MAINLOOP.
   */
  abort(options: { wait: true }): Promise<void>;
  abort(options?: { wait?: boolean }): Promise<void> | void {
    const wait = checkedAbort(options);
    if (wait && getCurrent().isMainloop) {
      return Promise.reject(
        new HubError("Cannot abort and wait: the caller is MAINLOOP"),
      );
    }
    const left = this.#loop.stop();
    if (!wait) return;
    return left;
  }

  /**
   * Eliminate the hub: listeners and timers are forgotten, MAINLOOP ends, the
   * descriptors are closed once no park is under way. The next `getHub()`
   * makes a new one of the same class. Closing twice is harmless.
   *
   * @throws {HubError} If called from MAINLOOP.
   */
  close(): Promise<void> {
    if (getCurrent() === this.greenlet) {
      return Promise.reject(
        new HubError("Cannot close the hub: the caller is its MAINLOOP"),
      );
    }
    return this.#shut ??= this.#eliminate();
  }

  /** As {@linkcode BaseHub.close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** All read listeners, queued ones included. */
  getReaders(): FdListener[] {
    return this.#table.list(READ);
  }

  /** All write listeners, queued ones included. */
  getWriters(): FdListener[] {
    return this.#table.list(WRITE);
  }

  /** How many timers will still fire. */
  getTimersCount(): number {
    return this.#loop.timersCount;
  }

  /** Those timers, soonest first. */
  getTimers(): Timer[] {
    return this.#loop.timers();
  }

  /** What it has done so far. */
  statistics(): Statistics {
    const { passes, sweeps, events, timersFired, idle } = this.#loop;
    const { parking, parks, briefWaits, yields } = idle;
    return {
      parking,
      passes,
      sweeps,
      events,
      timersFired,
      parks,
      briefWaits,
      yields,
    };
  }

  // The inner face: what suspensions, timers and greenthreads use.

  /** The whole constructor has run: a field may be its clock. @internal */
  constructed(): void {
    if (Object.hasOwn(this, "clock")) this.#loop.clock = this.#effectiveClock();
  }

  /** See {@linkcode Scheduler}. @internal */
  enqueue(entry: Entry): void {
    if (this.#loop.closed) bequeath(entry);
    else this.#loop.enqueue(entry);
  }

  /** The longest it parks in one go, ms; what the suite allows for. @internal */
  get longestPark(): number {
    return this.#loop.idle.longestPark;
  }

  /** See {@linkcode Scheduler}. @internal */
  get sweeps(): number {
    return this.#loop.sweeps;
  }

  /** See {@linkcode Scheduler}. @internal */
  unswept(sweeps: number): boolean {
    return this.#loop.unswept(sweeps);
  }

  /** See {@linkcode Scheduler}. @internal */
  get resting(): boolean {
    return !this.#loop.closed && this.#loop.idle.resting;
  }

  /** See {@linkcode Scheduler}. @internal */
  changed(): void {
    this.#loop.changed();
  }

  /** See {@linkcode Scheduler}. @internal */
  launch(): void {
    this.#loop.launch();
  }

  /** See {@linkcode Scheduler}. @internal */
  resumed(who: GreenThread): void {
    this.#loop.resumed(who);
  }

  /** See {@linkcode Scheduler}. @internal */
  waits(who: GreenThread): void {
    this.#loop.waits(who);
  }

  /** See {@linkcode Scheduler}. @internal */
  callLater(
    ms: number,
    fn: () => void,
    owner: TimerOwner | null = null,
  ): Timer {
    const extras = owner === null ? null : { owner };
    return this.#schedule(ms, fn, null, extras);
  }

  /** End a wait after this pass's sweep. @internal */
  expire(end: () => void): void {
    this.#loop.expire(end);
  }

  /**
   * The same, after `ms`: data that is there by then wins, and so does
   * `IOClosed` if `listener` is to be told of it. @internal
   */
  expireLater(
    ms: number,
    end: () => void,
    listener: FdListener | null = null,
  ): Timer {
    const told = (): boolean => listener !== null && this.#table.owes(listener);
    const late = (): void => this.#loop.expire(() => told() || end());
    return this.#schedule(ms, late, null, ENDS);
  }

  /** What the timers go by: a subclass's own clock, if it has one. */
  #effectiveClock(): () => number {
    return hasOwnClock(this, BaseHub) ? () => this.clock() : this.#clock;
  }

  #schedule(
    ms: number,
    fn: AnyFunction,
    args: readonly unknown[] | null,
    extras: TimerExtras | null,
  ): Timer {
    checkScheduled(ms, fn);
    const all = thread.settings.timerStacks
      ? { ...extras, stack: captureStack() }
      : extras;
    return this.#loop.schedule(ms, fn, args, all);
  }

  /** Those who wait for a descriptor, and those about to use it, have lost it. */
  #gone(fd: number): (FdListener | Visitor)[] {
    const listeners = this.#take(fd);
    for (const listener of listeners) {
      this.#loop.tell({ listener, error: new IOClosed(listener.fd) });
    }
    return [...listeners, ...this.#table.turnAway(fd)];
  }

  /** Take everybody off a descriptor. */
  #take(fd: number): FdListener[] {
    const watched = this.#table.watches(fd);
    const listeners = this.#table.take(fd);
    if (watched) this.#loop.unwatched();
    return listeners;
  }

  async #eliminate(): Promise<void> {
    if (thread.hub === this) thread.hub = null;
    this.#table.clear();
    try {
      const underWay = this.#loop.close(bequeath);
      if (underWay !== null) await underWay;
    } finally {
      this.#poller.close();
    }
  }

  #assertOpen(): void {
    if (this.#loop.closed) {
      throw closedHub(this);
    }
  }
}

function captureStack(): string {
  return new Error().stack?.split("\n").slice(3).join("\n") ?? "";
}
