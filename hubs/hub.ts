/**
 * MAINLOOP, and nothing else that has a better room.
 *
 * The trap it guards: MAINLOOP is *one long-lived async function*, started
 * once in its own async context. Entering that context at every pass would
 * cost a microsecond a switch; an await restores it for nothing.
 *
 * # The contract of a pass
 *
 * 1. Deliver `IOClosed` to the listeners made obsolete since the last pass,
 *    oldest first.
 * 2. Read the clock once. Run the timers due by then, and what was put in the
 *    run queue since the last pass, in order of due time, first come first
 *    served. What is added meanwhile waits for the next pass.
 * 3. Sweep the poller into a list; only then call the listeners on it, in the
 *    kernel's order, leaving out those spent during this very pass. Then end
 *    the waits of `trampoline` whose time is over: data wins over a timeout.
 * 4. A descriptor nobody listens to is forgotten.
 * 5. Stopping: leave. Nothing pending that could ever wake it: leave; the
 *    next switch, timer, listener or spawn starts it again.
 * 6. Something was done: go round again. On a budget in time, yield to Deno's
 *    loop; in the midst of a pass, too, if the pass is long.
 * 7. Nothing was done: one macrotask and one more sweep, since greenthreads
 *    may be several microtasks deep; then park until the next deadline.
 *
 * Between any two things it does, MAINLOOP lets whoever was resumed run until
 * it waits again (or is off in an ordinary await): the order of a program does
 * not depend on how many awaits deep its waits are.
 *
 * @module
 */

import { HubError, IOClosed } from "./errors.ts";
import { BriefWait } from "./brief_wait.ts";
import {
  chooseParking,
  fallbackParking,
  type ParkingChoice,
} from "./choose_parking.ts";
import { LoopTimer, macrotask, watchLoopIo } from "./deno_loop.ts";
import { Fairness } from "./fairness.ts";
import {
  type AnyFunction,
  getCurrent,
  GreenThread,
  runAs,
  suspend,
} from "./greenthread.ts";
import {
  type ErrorCallback,
  FdListener,
  type ReadyCallback,
} from "./listeners.ts";
import type { Parking, ParkingName } from "./parking.ts";
import { type Interest, type Poller, READ, WRITE } from "./poller.ts";
import { reportError } from "./report.ts";
import type { Entry, Scheduler } from "./scheduler.ts";
import { ListenerTable, type LostWaiter } from "./table.ts";
import { thread } from "./thread.ts";
import { Timer, TimerHeap, type TimerHome } from "./timers.ts";

/** What every hub's constructor takes. */
export interface HubOptions {
  /** The hub's clock: milliseconds, monotonic. Default: the system's. */
  readonly clock?: () => number;
  /** Which way to park; default `"auto"`, the fastest that works. */
  readonly parking?: ParkingChoice;
  /** The longest brief wait before a park, ms; 0 for none. */
  readonly briefWait?: number;
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

/** The largest number a descriptor can have. */
const MAX_FD = 2 ** 31 - 1;
/** Microtasks a resumed greenthread is given to reach its next wait. */
const MAX_HOPS = 50;
/** The longest single park, ms: so long at most may a wake-up go missing. */
const MAX_PARK = 60_000;
/** A silent close is looked for this long after parking, ms; then ... */
const FIRST_AUDIT = 20;
/** ... after ten times as long, and so on, ... */
const AUDIT_GROWTH = 10;
/** ... up to a minute. */
const LAST_AUDIT = 60_000;
/** While MAINLOOP is busy: so long after the last one was paid for, ms. */
const BUSY_AUDIT = 50;
/** Between audits, this many times what the last one took. */
const AUDIT_SHARE = 100;

const NOTHING: readonly Entry[] = [];

const TURN: Promise<void> = Promise.resolve();

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
export class BaseHub implements Scheduler, TimerHome, AsyncDisposable {
  /** Interest in readability. */
  static readonly READ = READ;
  /** Interest in writability. */
  static readonly WRITE = WRITE;
  /** Interest in readability. */
  readonly READ = READ;
  /** Interest in writability. */
  readonly WRITE = WRITE;
  /** `"epolls"`, `"poll"`, `"selects"`, `"libevent"`, or a name of its own. */
  readonly name: string;
  /** MAINLOOP, as a greenthread: who is current in callbacks. */
  readonly greenlet: GreenThread = GreenThread.forMainloop();

  readonly #poller: Poller;
  readonly #table: ListenerTable;
  readonly #heap = new TimerHeap();
  readonly #timer: LoopTimer | null;
  readonly #fairness: Fairness;
  readonly #briefWait: BriefWait;
  #parking: Parking;
  #clock: () => number;

  #running = false;
  #stopping = false;
  #closed = false;
  #launchSoon: ReturnType<typeof setImmediate> | null = null;
  #parked = false;
  /** The last park ended because its time was over. */
  #exhausted = false;
  #ended: PromiseWithResolvers<void> | null = null;
  #shut: Promise<void> | null = null;

  /** The run queue: what the next pass does, in order. */
  #queue: Entry[] = [];
  /** When the first of the queue was put there, if timers care. */
  #queuedAt = NaN;
  #zeroTimers = 0;
  /** Listeners that will be told IOClosed, oldest first. */
  #obsolete: LostWaiter[] = [];
  /** Waits whose time is over, to be ended after the sweep. */
  #expired: (() => void)[] = [];
  /** Who was resumed and has not waited again. */
  #resumed: GreenThread | null = null;
  /** Who was resumed last in the step under way, for the observer. */
  #ran: GreenThread | null = null;

  // The pass under way: what is left to do, as positions in lists.
  #told: LostWaiter[] = [];
  #toldAt = 0;
  #batch: readonly Entry[] = NOTHING;
  #batchAt = 0;
  #ready: FdListener[] = [];
  #readyAt = 0;
  #swept = false;
  #busy = false;
  #settled = false;
  #auditAfter = 0;
  #auditDelay = FIRST_AUDIT;

  #passes = 0;
  #sweeps = 0;
  #events = 0;
  #timersFired = 0;
  #parks = 0;
  #briefWaits = 0;
  #yields = 0;

  /**
   * Make a hub. MAINLOOP starts at the first switch.
   *
   * @throws {TypeError} If `poller` lacks `watch`, `sweep` or `close`.
   */
  constructor(poller: Poller, options: HubOptions = {}) {
    for (const method of ["watch", "sweep", "close"] as const) {
      if (typeof poller?.[method] !== "function") {
        throw new TypeError(`Cannot make a hub: the poller has no ${method}()`);
      }
    }
    this.name = poller.name ?? new.target.name;
    this.#poller = poller;
    try {
      this.#clock = checkedClock(options.clock ?? (() => performance.now()));
    } catch (error) {
      poller.close();
      throw error;
    }
    this.#table = new ListenerTable(poller);
    this.#briefWait = new BriefWait(poller, options.briefWait);
    this.#timer = makeLoopTimer();
    this.#fairness = new Fairness(
      this.#timer,
      this.#timer === null ? null : watchLoopIo(this.#timer.fd),
    );
    try {
      this.#parking = chooseParking(poller, this.#timer, options.parking);
    } catch (error) {
      this.#timer?.close();
      poller.close();
      throw error;
    }
  }

  /** MAINLOOP has been started and has not left. */
  get running(): boolean {
    return this.#running && !this.#closed;
  }

  /** MAINLOOP was told to leave. */
  get stopping(): boolean {
    return this.#stopping;
  }

  /** The time in ms on the hub's own clock; may be assigned at any time. */
  get clock(): () => number {
    return this.#clock;
  }

  set clock(clock: () => number) {
    this.#clock = checkedClock(clock);
    this.#wake();
  }

  /**
   * Listen to a descriptor until told otherwise.
   *
   * `cb(fd)` is called from MAINLOOP once in each pass in which the descriptor
   * is ready, so it must take what is there or remove the listener. `tb(error)`
   * is called once if the descriptor is closed under it (`IOClosed`) or turns
   * out not to be open (`SystemError` EBADF); the listener is gone then. A
   * callback that throws is reported and loses its own listener.
   *
   * @param evtype {@linkcode READ} or {@linkcode WRITE}.
   * @param fd The descriptor.
   * @param cb Called when it is ready.
   * @param tb Called when there is nothing to wait for any more.
   * @param markAsClosed Called if the number was handed out anew.
   * @throws {HubError} If somebody else listens to it for the same.
   * @throws {SystemError} EBADF if it is not open.
   */
  add(
    evtype: Interest,
    fd: number,
    cb: ReadyCallback,
    tb: ErrorCallback,
    markAsClosed?: (() => void) | null,
  ): FdListener {
    checkAdd(evtype, fd, cb, tb);
    const listener = new FdListener(
      evtype,
      fd,
      cb,
      tb,
      markAsClosed ?? null,
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
    this.#changed();
  }

  /** Remove a listener; harmless if it is gone. */
  remove(listener: FdListener): void {
    this.#table.remove(listener);
    // The last thing to wait for may have gone while MAINLOOP is parked.
    if (this.#parked && !this.#alive()) this.#wake();
  }

  /**
   * Take every listener off a descriptor. Each is called once more, in the
   * next pass, as if the descriptor were ready: whoever waits goes on and
   * finds out by itself.
   */
  removeDescriptor(fd: number): void {
    for (const listener of this.#table.take(fd)) {
      this.enqueue({
        fire: () => listener.cb(listener.fd),
        discard: () => true,
      });
    }
  }

  /**
   * Say that `fd` is about to be closed: all who wait for it get `IOClosed`
   * in the next pass. Call it just before the close.
   */
  notifyClose(fd: number): void {
    for (const listener of this.#table.take(fd)) {
      this.#obsolete.push({ listener, error: new IOClosed(fd) });
    }
    if (this.#obsolete.length > 0) this.#changed();
  }

  /**
   * Say that the system has just handed out the number `fd`: whoever still
   * waits for it waits for something that is gone, and gets `IOClosed`.
   */
  markAsReopened(fd: number): void {
    for (const listener of this.#table.take(fd)) {
      this.#obsolete.push({ listener, error: new IOClosed(fd) });
      if (listener.markAsClosed !== null) {
        this.#guard(listener.markAsClosed, "Error in markAsClosed");
      }
    }
    if (this.#obsolete.length > 0) this.#changed();
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
      const suspension = suspend(this, null);
      suspension.bare = true;
      return suspension.promise;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Call `fn(...args)` from MAINLOOP after `ms`, whatever becomes of the
   * caller. Never early; with equal deadlines in the order of scheduling; never
   * in the pass that schedules it.
   *
   * @throws {TypeError} If `ms` is no number or `fn` no function.
   * @throws {RangeError} If `ms` is NaN.
   */
  scheduleCallGlobal<A extends unknown[]>(
    ms: number,
    fn: (...args: A) => unknown,
    ...args: A
  ): Timer {
    return this.#schedule(ms, fn as AnyFunction, args, null);
  }

  /**
   * As {@linkcode BaseHub.scheduleCallGlobal}, but nothing is called if the
   * calling greenthread has ended by then.
   */
  scheduleCallLocal<A extends unknown[]>(
    ms: number,
    fn: (...args: A) => unknown,
    ...args: A
  ): Timer {
    const current = getCurrent();
    return this.#schedule(ms, fn as AnyFunction, args, current);
  }

  /**
   * End MAINLOOP after the pass under way. Timers are discarded and unstarted
   * greenthreads end with `GreenletExit`; listeners stay; whoever is parked
   * stays parked and can be killed. The next switch starts MAINLOOP again. Not
   * running: nothing happens.
   */
  abort(): void;
  /**
   * The same, and wait until MAINLOOP has left.
   *
   * @throws {HubError} If called from MAINLOOP.
   */
  abort(options: { wait: true }): Promise<void>;
  abort(options?: { wait?: boolean }): Promise<void> | void {
    const wait = options?.wait === true;
    if (wait && getCurrent().isMainloop) {
      return Promise.reject(
        new HubError("Cannot abort and wait: the caller is MAINLOOP"),
      );
    }
    if (this.#running) {
      this.#stopping = true;
      this.#wake();
    }
    if (!wait) return;
    if (!this.#running) return Promise.resolve();
    this.#ended ??= Promise.withResolvers<void>();
    return this.#ended.promise;
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
    return this.#heap.size + this.#zeroTimers;
  }

  /** Those timers, soonest first. */
  getTimers(): Timer[] {
    const soon = [...this.#batch.slice(this.#batchAt), ...this.#queue]
      .filter((entry) => entry instanceof Timer && !entry.called);
    return [...soon as Timer[], ...this.#heap.list()];
  }

  /** What it has done so far. */
  statistics(): Statistics {
    return {
      parking: this.#parking.name,
      passes: this.#passes,
      sweeps: this.#sweeps,
      events: this.#events,
      timersFired: this.#timersFired,
      parks: this.#parks,
      briefWaits: this.#briefWaits,
      yields: this.#yields,
    };
  }

  // The inner face: what suspensions, timers and greenthreads use.

  /** See {@linkcode Scheduler}. @internal */
  enqueue(entry: Entry): void {
    if (this.#closed) {
      // What has already been granted is delivered by the hub that follows.
      thread.makeHub().enqueue(entry);
      return;
    }
    if (this.#queue.length === 0 && this.#heap.size > 0) {
      this.#queuedAt = this.#clock();
    }
    this.#queue.push(entry);
    this.#changed();
  }

  /** See {@linkcode Scheduler}. @internal */
  launch(): void {
    if (this.#running || this.#closed) return;
    if (this.#launchSoon !== null) {
      clearImmediate(this.#launchSoon);
      this.#launchSoon = null;
    }
    this.#running = true;
    runAs(this.greenlet, () => void this.#run());
  }

  /** See {@linkcode Scheduler}. @internal */
  resumed(who: GreenThread): void {
    this.#resumed = who;
    this.#ran = who;
  }

  /** See {@linkcode Scheduler}. @internal */
  waits(who: GreenThread): void {
    if (this.#resumed === who) this.#resumed = null;
  }

  /** See {@linkcode Scheduler}. @internal */
  callLater(
    ms: number,
    fn: () => void,
    onDiscard: (() => void) | null = null,
  ): Timer {
    const timer = this.#schedule(ms, fn, [], null);
    timer.onDiscard = onDiscard;
    return timer;
  }

  /** End a wait after this pass's sweep. @internal */
  expire(end: () => void): void {
    this.#expired.push(end);
  }

  /** See {@linkcode TimerHome}. @internal */
  removeTimer(timer: Timer): void {
    if (timer.index >= 0) this.#heap.remove(timer);
    else this.#zeroTimers--;
    if (this.#parked && !this.#alive()) this.#wake();
  }

  #schedule(
    ms: number,
    fn: AnyFunction,
    args: readonly unknown[],
    local: GreenThread | null,
  ): Timer {
    checkDelay(ms);
    if (typeof fn !== "function") {
      throw new TypeError(`Cannot schedule: fn is no function: ${typeof fn}`);
    }
    this.#assertOpen();
    const stack = thread.settings.timerStacks ? captureStack() : null;
    if (ms === 0) {
      const timer = new Timer(this, 0, fn, args, local, stack);
      this.#zeroTimers++;
      this.enqueue(timer);
      return timer;
    }
    const now = this.#clock();
    const timer = new Timer(this, now + ms, fn, args, local, stack);
    if (this.#heap.size === 0 && this.#queue.length > 0) this.#queuedAt = now;
    const earliest = timer.deadline < this.#heap.next;
    this.#heap.add(timer);
    if (earliest || !this.#running) this.#changed();
    return timer;
  }

  /** There is something new: a parked or ended MAINLOOP must see it. */
  #changed(): void {
    if (this.#parked) this.#wake();
    else if (!this.#running && this.#launchSoon === null) {
      // Only after the caller has yielded to the event loop: see surface 1.
      this.#launchSoon = setImmediate(() => {
        this.#launchSoon = null;
        this.launch();
      });
    }
  }

  #wake(): void {
    if (!this.#parked) return;
    this.#parked = false;
    this.#parking.wake();
  }

  #alive(): boolean {
    return this.#heap.size > 0 || this.#queue.length > 0 ||
      this.#table.size > 0 || this.#obsolete.length > 0;
  }

  async #run(): Promise<void> {
    this.#fairness.restart();
    await TURN;
    try {
      for (;;) {
        this.#beginPass();
        thread.observer?.restart();
        for (;;) {
          if (this.#resumed !== null) {
            let hops = 0;
            do await TURN; while (this.#resumed !== null && ++hops < MAX_HOPS);
            this.#resumed = null;
          }
          thread.observer?.lap(this.#ran);
          this.#ran = null;
          // With many descriptors, a pass alone takes longer than the budget.
          if (this.#fairness.step()) await this.#yield();
          if (!this.#step()) break;
        }
        if (this.#stopping || this.#closed || !this.#alive()) break;
        if (!this.#busy) {
          await this.#idle();
          continue;
        }
        this.#settled = false;
        this.#auditDelay = FIRST_AUDIT;
        await TURN;
      }
    } catch (error) {
      this.#fail(error);
    }
    this.#leave();
  }

  async #yield(): Promise<void> {
    this.#yields++;
    await this.#fairness.yield();
    // One that is never idle looks for silent closes now and then.
    if (performance.now() - this.#auditAfter >= BUSY_AUDIT) this.#audit();
    // The turn of Deno's loop is nobody's time.
    thread.observer?.restart();
  }

  #beginPass(): void {
    this.#passes++;
    this.#busy = false;
    this.#swept = false;
    // Never one list under two names: what comes during a pass would be done
    // in that very pass, and again in the next.
    if (this.#obsolete.length > 0) {
      this.#told = this.#obsolete;
      this.#toldAt = 0;
      this.#obsolete = [];
    }
    if (this.#queue.length > 0) {
      this.#batch = this.#queue;
      this.#queue = [];
    } else this.#batch = NOTHING;
    this.#batchAt = 0;
    if (this.#heap.size > 0) this.#addDue(this.#batch);
    this.#queuedAt = NaN;
  }

  /** Put the timers that are due round the run queue, by time. */
  #addDue(queue: readonly Entry[]): void {
    const now = this.#clock();
    if (!(this.#heap.next <= now)) return;
    const first: Entry[] = [];
    const last: Entry[] = [];
    const queued = queue.length === 0 ? now : Math.min(now, this.#queuedAt);
    for (let due; (due = this.#heap.takeDue(queued)) !== null;) first.push(due);
    for (let due; (due = this.#heap.takeDue(now)) !== null;) last.push(due);
    this.#zeroTimers += first.length + last.length;
    this.#batch = [...first, ...queue, ...last];
  }

  /** Do one thing of the pass; false when there is none left. */
  #step(): boolean {
    if (this.#closed) return false;
    if (this.#toldAt < this.#told.length) {
      const { listener, error } = this.#told[this.#toldAt++]!;
      this.#busy = true;
      this.#guard(() => listener.tb(error), "Error in a listener's tb");
      return true;
    }
    if (this.#batchAt < this.#batch.length) {
      this.#fire(this.#batch[this.#batchAt++]!);
      return true;
    }
    if (!this.#swept) {
      this.#swept = true;
      if (!this.#table.quiet) return this.#sweep();
    }
    while (this.#readyAt < this.#ready.length) {
      const listener = this.#ready[this.#readyAt++]!;
      // By identity: the number may have a new listener by now.
      if (listener.spent) continue;
      this.#call(listener);
      return true;
    }
    if (this.#expired.length > 0) {
      this.#busy = true;
      this.#guard(this.#expired.shift()!, "Error at the end of a wait");
      return true;
    }
    return false;
  }

  #fire(entry: Entry): void {
    if (entry instanceof Timer) {
      if (entry.called) return;
      this.#zeroTimers--;
      this.#timersFired++;
    }
    this.#busy = true;
    try {
      const result = entry.fire() as unknown;
      if (result instanceof Promise) reportLater(result, "Error in a timer");
    } catch (error) {
      reportError("Error in a timer", error);
    }
  }

  #sweep(): true {
    this.#sweeps++;
    const { ready, bad } = this.#table.sweep();
    this.#ready = ready;
    this.#readyAt = 0;
    if (this.#exhausted) {
      this.#exhausted = false;
      if (ready.length > 0) this.#parking.missed?.();
    }
    if (bad.length > 0) {
      this.#told = bad;
      this.#toldAt = 0;
    }
    return true;
  }

  #call(listener: FdListener): void {
    this.#events++;
    this.#busy = true;
    try {
      const result = listener.cb(listener.fd);
      if (result instanceof Promise) {
        result.catch((error) => this.#drop(listener, error));
      }
    } catch (error) {
      this.#drop(listener, error);
    }
  }

  /** Its callback threw, or rejected: it loses its listener, nothing else. */
  #drop(listener: FdListener, error: unknown): void {
    this.remove(listener);
    reportError(`Error in the callback of ${listener}, removed`, error);
  }

  #guard(fn: () => unknown, what: string): void {
    try {
      const result = fn();
      if (result instanceof Promise) reportLater(result, what);
    } catch (error) {
      reportError(what, error);
    }
  }

  /** Nothing was done in this pass. */
  async #idle(): Promise<void> {
    if (!this.#settled) {
      if (this.#table.size > 0 && this.#briefWait.pays()) {
        this.#briefWaits++;
        if (this.#briefWait.wait(this.#untilNextTimer())) return;
      }
      this.#settled = true;
      await macrotask();
      this.#fairness.turned();
      return;
    }
    this.#table.settle();
    if (this.#audit()) return;
    const left = this.#untilNextTimer();
    if (left <= 0) return;
    const cap = this.#table.size > 0 ? this.#auditDelay : MAX_PARK;
    const timeout = Math.min(left, cap, MAX_PARK);
    this.#parked = true;
    this.#parks++;
    await this.#parking.park(timeout);
    this.#exhausted = this.#parked && timeout === cap;
    if (this.#exhausted) {
      this.#auditDelay = Math.min(cap * AUDIT_GROWTH, LAST_AUDIT);
    }
    this.#parked = false;
    this.#fairness.restart();
    if (this.#parking.broken === true) this.#demote();
  }

  /** The way to park cannot be relied on: take the next one, for good. */
  #demote(): void {
    void this.#parking.close();
    this.#parking = fallbackParking(this.#poller);
  }

  #untilNextTimer(): number {
    return this.#heap.size === 0 ? Infinity : this.#heap.next - this.#clock();
  }

  /** Look for descriptors closed in silence; true if there were any. */
  #audit(): boolean {
    if (this.#table.size === 0) return false;
    const start = performance.now();
    if (start < this.#auditAfter) return false;
    this.#obsolete.push(...this.#table.audit());
    const end = performance.now();
    this.#auditAfter = end + (end - start) * AUDIT_SHARE;
    return this.#obsolete.length > 0;
  }

  /** The poller failed: nobody may go on waiting for it. */
  #fail(error: unknown): void {
    reportError(`MAINLOOP of hub ${this.name} ended by an error`, error);
    const lost = error instanceof Error ? error : new HubError(String(error));
    for (const listener of [...this.getReaders(), ...this.getWriters()]) {
      this.#table.remove(listener);
      this.#obsolete.push({ listener, error: lost });
    }
  }

  #leave(): void {
    const rest = [...this.#batch.slice(this.#batchAt), ...this.#queue];
    this.#batch = [];
    this.#batchAt = 0;
    this.#queue = rest;
    const stopped = this.#stopping;
    this.#parking.rest?.();
    this.#running = false;
    this.#stopping = false;
    this.#settled = false;
    if (!this.#closed) {
      if (stopped) this.#discard();
      this.#table.settle();
      // A late addition, or one made by what was discarded.
      if (this.#alive() && !stopped || this.#queue.length > 0) this.#changed();
    }
    this.#ended?.resolve();
    this.#ended = null;
  }

  /** Forget all timers, and what the run queue holds of them and of starts. */
  #discard(): void {
    for (const timer of this.#heap.list()) timer.discard();
    const queue = this.#queue;
    this.#queue = [];
    const kept = queue.filter((entry) => !entry.discard());
    this.#queue = [...kept, ...this.#queue];
  }

  async #eliminate(): Promise<void> {
    if (thread.hub === this) thread.hub = null;
    if (this.#launchSoon !== null) clearImmediate(this.#launchSoon);
    this.#launchSoon = null;
    const rest = [...this.#batch.slice(this.#batchAt), ...this.#queue];
    this.#batch = [];
    this.#batchAt = 0;
    this.#queue = rest;
    this.#closed = true;
    this.#table.clear();
    this.#obsolete = [];
    this.#expired = [];
    for (const timer of this.#heap.list()) timer.discard();
    this.#queue = [];
    for (const entry of rest) {
      if (!entry.discard()) thread.makeHub().enqueue(entry);
    }
    this.#wake();
    const underWay = this.#parking.close();
    this.#timer?.close();
    if (underWay !== null) await underWay;
    this.#poller.close();
  }

  #assertOpen(): void {
    if (this.#closed) {
      throw new HubError(`Cannot use hub ${this.name}: it was closed`);
    }
  }
}

/** A timer of Deno's loop, where this Deno and this system have one. */
function makeLoopTimer(): LoopTimer | null {
  try {
    return new LoopTimer();
  } catch {
    return null;
  }
}

/** Report the rejection of a callback's promise, should there be one. */
function reportLater(promise: Promise<unknown>, what: string): void {
  promise.catch((error) => reportError(what, error));
}

function captureStack(): string {
  return new Error().stack?.split("\n").slice(3).join("\n") ?? "";
}

function checkedClock(clock: unknown): () => number {
  if (typeof clock !== "function") {
    throw new TypeError(`Cannot set the clock: no function: ${typeof clock}`);
  }
  return clock as () => number;
}

function checkAdd(evtype: number, fd: number, cb: unknown, tb: unknown): void {
  if (evtype !== READ && evtype !== WRITE) {
    throw new RangeError(
      `Cannot listen: evtype is neither READ nor WRITE: ${evtype}`,
    );
  }
  checkFd(fd);
  if (typeof cb !== "function" || typeof tb !== "function") {
    throw new TypeError("Cannot listen: cb and tb must be functions");
  }
}

/**
 * Throw unless `fd` may be a descriptor.
 *
 * @throws {TypeError} If it is no number.
 * @throws {RangeError} If it is no integer from 0 to 2^31 - 1.
 * @internal
 */
export function checkFd(fd: unknown): void {
  if (typeof fd !== "number") {
    throw new TypeError(`Cannot wait: fd is no number: ${typeof fd}`);
  }
  if (!(Number.isInteger(fd) && fd >= 0 && fd <= MAX_FD)) {
    throw new RangeError(`Cannot wait: fd is no descriptor: ${fd}`);
  }
}

/**
 * Throw unless `ms` is a delay.
 *
 * @throws {TypeError} If it is no number.
 * @throws {RangeError} If it is NaN.
 * @internal
 */
export function checkDelay(ms: unknown): void {
  if (typeof ms !== "number") {
    throw new TypeError(`Cannot schedule: ms is no number: ${typeof ms}`);
  }
  if (Number.isNaN(ms)) {
    throw new RangeError("Cannot schedule: ms is NaN");
  }
}
