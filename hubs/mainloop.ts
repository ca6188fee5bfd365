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
 *    served. What is added meanwhile waits for the next pass; so does a
 *    `sleep(0)` that was begun after the last sweep, since descriptors that are
 *    ready come before it.
 * 3. Sweep the poller into a list; only then call the listeners on it, in the
 *    kernel's order, leaving out those spent during this very pass. Green
 *    sockets are received from some at a time, in one system call where that can
 *    be, just before; whoever is given something so counts as resumed, and they
 *    go on together. Then end the waits of `trampoline` whose time is over: data
 *    wins over a timeout. If nothing is ready, and the pass before did something,
 *    wait briefly and sweep again.
 * 4. A descriptor nobody listens to is forgotten.
 * 5. Stopping: leave. Nothing pending that could ever wake it: leave; the
 *    next switch, timer, listener or spawn starts it again.
 * 6. Something was done, or has come to be done: go round again. On a budget in
 *    time, yield to Deno's loop; in the midst of a pass, too, if the pass is
 *    long.
 * 7. Nothing of the kind: park until the next deadline. Where a park is dear,
 *    one turn of Deno's loop and one more sweep come before it, since
 *    greenthreads may be several microtasks deep.
 *
 * Between any two things it does, MAINLOOP lets all who were resumed run until
 * they wait again: the order of a program does not depend on how many awaits
 * deep its waits are. Who does not come to a wait for long gets a turn of Deno's
 * loop, in which whatever is ready to run does; if it still does not wait, it is
 * off in an ordinary await, and goes on beside MAINLOOP.
 *
 * @module
 */

import { HubError } from "./errors.ts";
import { runAs } from "./current.ts";
import { Granting } from "./granting.ts";
import { type AnyFunction, GreenThread } from "./greenthread.ts";
import { Idle, type IdleOptions } from "./idle.ts";
import type { FdListener } from "./listeners.ts";
import { LastPass } from "./last_pass.ts";
import { type Poller, READ, WRITE } from "./poller.ts";
import { reportError } from "./report.ts";
import { RunQueue } from "./run_queue.ts";
import type { Entry } from "./scheduler.ts";
import type { ListenerTable, LostWaiter } from "./table.ts";
import { CALLS, PATIENCE, thread } from "./thread.ts";
import { Timer, type TimerExtras } from "./timers.ts";
import { Wave } from "./wave.ts";

/**
 * Microtasks a resumed greenthread is given before it is waited for in a dearer
 * way: most need two or three.
 */
const MAX_HOPS = 16;
/** The same while it is observed, which ends then. */
const MAX_OBSERVED_HOPS = 50;

const NOTHING: readonly Entry[] = [];
const NOBODY: readonly FdListener[] = [];

const TURN: Promise<void> = Promise.resolve();

/** The hub, as messages name it; a subclass's getter may not work at first. */
interface Named {
  readonly name: string;
}

/** See the module. */
export class Mainloop {
  /** Who is current in callbacks. */
  readonly greenlet: GreenThread = GreenThread.forMainloop();
  /** Counters for `statistics()`. */
  passes = 0;
  sweeps = 0;
  events = 0;
  timersFired = 0;

  readonly #hub: Named;
  readonly #table: ListenerTable;
  readonly #runQueue: RunQueue;
  readonly #idle: Idle;

  #running = false;
  /** It was told to leave. */
  #last: LastPass | null = null;
  #closed = false;
  #launchSoon: ReturnType<typeof setImmediate> | null = null;
  #ended: PromiseWithResolvers<void> | null = null;

  /** Listeners that will be told why they wait in vain, oldest first. */
  #obsolete: LostWaiter[] = [];
  /** Waits whose time is over, to be ended after the sweep. */
  #expired: (() => void)[] = [];
  readonly #wave = new Wave();
  /** Who was resumed last in the step under way; only if it is observed. */
  #ran: GreenThread | null = null;

  // The pass under way: what is left to do, as positions in lists.
  #told: LostWaiter[] = [];
  #toldAt = 0;
  #batch: readonly Entry[] = NOTHING;
  #batchAt = 0;
  #ready: readonly FdListener[] = NOBODY;
  #readyAt = 0;
  readonly #granting = new Granting();
  #swept = false;
  #busy = false;
  /** How many the last step has resumed or called, ... */
  #fired = 1;
  /** ... and how many the whole pass so far. */
  #served = 0;

  /**
   * @throws {RangeError} If an option has a wrong value.
   * @throws {HubError} If the way to park that was asked for does not work.
   */
  constructor(
    hub: Named,
    poller: Poller,
    table: ListenerTable,
    clock: () => number,
    options: IdleOptions,
  ) {
    this.#hub = hub;
    this.#table = table;
    this.#runQueue = new RunQueue(clock, () => this.lessToDo());
    this.#idle = new Idle(
      poller,
      table,
      (lost) => this.#obsolete.push(lost),
      options,
    );
  }

  /** It has been started and has not left. */
  get running(): boolean {
    return this.#running && !this.#closed;
  }

  /** It was told to leave. */
  get stopping(): boolean {
    return this.#last !== null;
  }

  /** It was closed for good. */
  get closed(): boolean {
    return this.#closed;
  }

  /** What it does when there is nothing to do. */
  get idle(): Idle {
    return this.#idle;
  }

  /** The clock its timers go by. */
  set clock(clock: () => number) {
    this.#runQueue.setClock(clock);
    this.#idle.wake();
  }

  /** Put an entry at the end of the run queue, behind the timers due now. */
  enqueue(entry: Entry): void {
    this.#last?.begun(entry);
    this.#runQueue.push(entry);
    this.changed();
  }

  /** Descriptors are watched, and no sweep was made since there were `sweeps`. */
  unswept(sweeps: number): boolean {
    return this.sweeps === sweeps && !this.#table.quiet;
  }

  /** Somebody switches to it: start now, unless it runs. */
  launch(): void {
    if (this.#running || this.#closed) {
      this.#last?.switched();
      return;
    }
    if (this.#launchSoon !== null) {
      clearImmediate(this.#launchSoon);
      this.#launchSoon = null;
    }
    this.#running = true;
    runAs(this.greenlet, () => void this.#run());
  }

  /** `who` was resumed: it runs before the next step. */
  resumed(who: GreenThread): void {
    if (thread.observer !== null) this.#ran = who;
    this.#last?.resumed(who);
    // A write of MAINLOOP's own has ended: it does not wait for itself.
    if (who !== this.greenlet) this.#wave.add(who);
  }

  /** `who` waits again, or has ended. */
  waits(who: GreenThread): void {
    if (!this.#wave.has(who)) return;
    // Who was resumed by it runs after this.
    thread.observer?.lap(who);
    this.#wave.drop(who);
  }

  /** Tell a listener in the next pass why it waits in vain. */
  tell(lost: LostWaiter): void {
    this.#obsolete.push(lost);
    this.changed();
  }

  /** End a wait after this pass's sweep. */
  expire(end: () => void): void {
    this.#expired.push(end);
  }

  /**
   * Call `fn(...args)` after `ms`, which is not NaN.
   *
   * @throws {HubError} If the hub was closed.
   */
  schedule(
    ms: number,
    fn: AnyFunction,
    args: readonly unknown[] | null,
    extras: TimerExtras | null,
  ): Timer {
    if (this.#closed) throw closedHub(this.#hub);
    const timer = this.#runQueue.schedule(ms, fn, args, extras);
    this.#last?.begun(timer);
    // In the run queue, or first in the heap: it is due before all others.
    if (timer.index <= 0 || !this.#running) this.changed();
    return timer;
  }

  /** How many timers will still fire. */
  get timersCount(): number {
    return this.#runQueue.timersCount;
  }

  /** Those timers, soonest first. */
  timers(): Timer[] {
    return this.#runQueue.timers(this.#batch.slice(this.#batchAt));
  }

  /** There is something new: parked or ended, it must see it. */
  changed(): void {
    if (this.#idle.parked) this.#idle.wake();
    else if (!this.#running && this.#launchSoon === null) {
      // Only after the caller has yielded to the event loop: a spawn or a
      // timer is no switch.
      this.#launchSoon = setImmediate(() => {
        this.#launchSoon = null;
        this.launch();
      });
    }
  }

  /** There is a new listener. */
  listened(): void {
    this.#last?.listened();
    this.changed();
  }

  /** The last thing to wait for may have gone while it is parked. */
  lessToDo(): void {
    if (this.#idle.parked && this.#mayEnd) this.#idle.wake();
  }

  /** The same: a descriptor is watched no more, and may be closed soon. */
  unwatched(): void {
    if (!this.#idle.parked) return;
    // A call on another thread keeps what it was told to watch from closing.
    if (this.#idle.elsewhere || this.#mayEnd) this.#idle.wake();
  }

  /** Leave after the pass under way; resolves when it has left. */
  stop(): Promise<void> {
    if (!this.#running) return Promise.resolve();
    this.#last ??= new LastPass();
    this.#idle.wake();
    this.#ended ??= Promise.withResolvers<void>();
    return this.#ended.promise;
  }

  /**
   * End for good: timers and what has not started are discarded. What has
   * been granted to somebody is handed to `heir`. Null unless a park is under
   * way to wait for.
   */
  close(heir: (entry: Entry) => void): Promise<void> | null {
    if (this.#launchSoon !== null) clearImmediate(this.#launchSoon);
    this.#launchSoon = null;
    this.#closed = true;
    this.#obsolete = [];
    this.#expired = [];
    this.#granting.close();
    try {
      return this.#idle.close();
    } finally {
      this.#putBack();
      for (const entry of this.#runQueue.clear()) {
        if (!entry.discard()) heir(entry);
      }
    }
  }

  /**
   * The next pass has something to do. While MAINLOOP waits in the midst of a
   * pass that has done nothing, others may bring it: ordinary code, and whoever
   * that resumes.
   */
  get #more(): boolean {
    return this.#runQueue.length > 0 || this.#obsolete.length > 0;
  }

  /** What is left may be nothing to keep the process alive for. */
  get #mayEnd(): boolean {
    return thread.background !== null || !this.#alive();
  }

  #alive(): boolean {
    return !this.#runQueue.empty || this.#obsolete.length > 0 ||
      this.#table.size > 0;
  }

  async #run(): Promise<void> {
    this.#idle.begin();
    await TURN;
    const wave = this.#wave;
    try {
      for (;;) {
        this.#beginPass();
        thread.observer?.restart();
        for (;;) {
          if (wave.left > 0) {
            // What was called has returned; who was resumed by it runs now.
            thread.observer?.lap(null);
            const most = thread.observer === null
              ? MAX_HOPS
              : MAX_OBSERVED_HOPS;
            let hops = 0;
            do await TURN; while (wave.left > 0 && ++hops < most);
            while (wave.left > 0) await this.#waitOn();
          }
          thread.observer?.lap(this.#ran);
          this.#ran = null;
          // With many descriptors, a pass alone takes longer than the budget.
          if (this.#idle.step(this.#fired)) {
            // The turn of Deno's loop is nobody's time.
            thread.observer?.pause();
            await this.#idle.yield();
            thread.observer?.restart();
          }
          if (!this.#step()) break;
          thread.calls = CALLS + this.#fired;
        }
        if (this.#last !== null || this.#closed || !this.#alive()) break;
        if (this.#busy || this.#more) {
          this.#idle.busy();
          await TURN;
        } else {
          thread.observer?.pause();
          const resting = this.#idle.rest(this.#runQueue.untilNext);
          let broken = false;
          try {
            await (resting ?? TURN);
          } catch {
            broken = true;
          }
          // One that was closed meanwhile has given everything back.
          if (!this.#closed) this.#idle.rested(broken);
          // No pass was under way when it was told to leave.
          if (this.#last !== null) break;
        }
      }
    } catch (error) {
      this.#fail(error);
    }
    this.#leave();
  }

  /**
   * They are very many awaits deep, or make calls that need no wait, or are off
   * in an ordinary await, or will never wait again: go on when they all wait, or
   * without them.
   */
  async #waitOn(): Promise<void> {
    thread.observer?.lap(this.#ran);
    thread.observer?.pause();
    this.#ran = null;
    const turned = await this.#wave.end();
    thread.observer?.restart();
    if (turned) this.#idle.turned();
  }

  #beginPass(): void {
    this.passes++;
    this.#busy = false;
    this.#swept = false;
    thread.crowded = this.#served > 1;
    thread.patience = PATIENCE;
    this.#served = 0;
    // Nothing that is over is held on to while parked.
    this.#ready = NOBODY;
    this.#readyAt = 0;
    // Never one list under two names: what comes during a pass would be done
    // in that very pass, and again in the next.
    if (this.#obsolete.length > 0) {
      this.#told = this.#obsolete;
      this.#toldAt = 0;
      this.#obsolete = [];
    }
    this.#batch = this.#runQueue.take();
    this.#batchAt = 0;
  }

  /** Do one thing of the pass; false when there is none left. */
  #step(): boolean {
    this.#fired = 1;
    if (this.#closed) return false;
    if (this.#toldAt < this.#told.length) {
      const { listener, error } = this.#told[this.#toldAt++]!;
      this.#busy = true;
      if (!this.#table.lastCall(listener)) return true;
      this.#guard(() => listener.tb(error), "Error in a listener's tb");
      return true;
    }
    if (this.#batchAt < this.#batch.length) {
      this.#fire(this.#batch[this.#batchAt++]!);
      return true;
    }
    if (!this.#swept) {
      this.#swept = true;
      // What nobody listens to may keep a park from lasting.
      if (!this.#table.quiet || this.#idle.announced) return this.#sweep();
    }
    while (this.#readyAt < this.#ready.length) {
      const at = this.#readyAt;
      if (this.#granting.due(at)) this.#granting.prepare(this.#ready, at);
      if (this.#fireGranted(at)) return true;
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
    this.#served++;
    if (entry instanceof Timer) {
      if (entry.called) return;
      this.#runQueue.called();
      this.timersFired++;
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
    this.#look();
    const nothing = !this.#busy && !this.#more && this.#ready.length === 0 &&
      this.#toldAt === this.#told.length;
    if (nothing && this.#idle.linger(this.#runQueue.untilNext)) this.#look();
    return true;
  }

  #look(): void {
    this.sweeps++;
    const { ready, bad } = this.#table.sweep();
    this.#ready = ready;
    this.#readyAt = 0;
    this.#idle.swept(ready.length);
    if (bad.length > 0) {
      this.#told = bad;
      this.#toldAt = 0;
    }
  }

  #fireGranted(at: number): boolean {
    const fired = this.#granting.fire(at);
    if (fired === 0) return false;
    this.#busy = true;
    this.#readyAt += fired;
    this.events += fired;
    this.#fired = fired;
    this.#served += fired;
    return true;
  }

  #call(listener: FdListener): void {
    this.events++;
    this.#served++;
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
    this.#table.remove(listener);
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

  /** The poller failed: nobody may go on waiting for it. */
  #fail(error: unknown): void {
    reportError(`MAINLOOP of hub ${this.#hub.name} ended by an error`, error);
    const lost = error instanceof Error ? error : new HubError(String(error));
    for (
      const listener of [...this.#table.list(READ), ...this.#table.list(WRITE)]
    ) {
      this.#table.dismiss(listener);
      this.#obsolete.push({ listener, error: lost });
    }
  }

  #leave(): void {
    const last = this.#last;
    thread.observer?.pause();
    this.#putBack();
    this.#idle.leave();
    this.#running = false;
    this.#last = null;
    if (!this.#closed) {
      if (last !== null) this.#discard(last);
      this.#table.settle();
      // A late addition, or one made by what was discarded.
      const more = last === null || last.awaited
        ? this.#alive()
        : !this.#runQueue.empty || this.#obsolete.length > 0;
      if (more) this.changed();
    }
    this.#ended?.resolve();
    this.#ended = null;
  }

  /** What the pass under way has left goes back into the run queue. */
  #putBack(): void {
    const granted = this.#granting.take();
    this.#runQueue.putBack([...granted, ...this.#batch.slice(this.#batchAt)]);
    this.#batch = NOTHING;
    this.#batchAt = 0;
    this.#ready = NOBODY;
    this.#readyAt = 0;
  }

  /** Forget all timers, and what the run queue holds of them and of starts. */
  #discard(last: LastPass): void {
    const spared = (what: unknown): boolean => last.spares(what);
    const left = this.#runQueue.clear(spared);
    this.#runQueue.putBack(
      left.filter((entry) => spared(entry) || !entry.discard()),
    );
  }
}

/** What every use of a closed hub ends with. */
export function closedHub(hub: Named): HubError {
  return new HubError(`Cannot use hub ${hub.name}: it was closed`);
}

/** Report the rejection of a callback's promise, should there be one. */
function reportLater(promise: Promise<unknown>, what: string): void {
  promise.catch((error) => reportError(what, error));
}
