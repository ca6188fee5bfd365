/**
 * The listeners table and what the poller was told about it.
 *
 * The truth about who waits is the table; the poller's registrations only
 * follow it, and lazily: telling the kernel at every wait and again after it
 * makes a hub three times slower. So a registration outlives its listener
 * until (a) an event arrives that nobody claims, or (b) the hub is about to
 * park or end. The traps that opens, and what guards them:
 *
 * - a number closed and reused behind our back: every `add` tells the poller
 *   anew, even if nothing seems to have changed (epoll: MOD, then ADD);
 * - a number closed *while* somebody waits for it, which epoll forgets
 *   without a word: {@linkcode ListenerTable.audit} tells the poller again
 *   now and then, which turns up EBADF;
 * - a failed registration leaves nothing behind.
 *
 * Where the owner tells of every close, the listener itself stays, too: it
 * rests between two waits, and to wake it costs next to nothing. Whoever else
 * comes to the descriptor takes its place.
 *
 * @module
 */

import { EBADF } from "../ffi/constants.ts";
import { SystemError } from "../ffi/errors.ts";
import { HubError } from "./errors.ts";
import { FdMap } from "./fd_map.ts";
import { type FdListener, MOST_SWEEPS, Watched } from "./listeners.ts";
import { BAD, type Interest, type Poller, READ, WRITE } from "./poller.ts";
import { reportError } from "./report.ts";
import { thread } from "./thread.ts";

/** So many forgotten descriptors may be remembered until the hub is idle. */
const MOST_STALE = 64;

/** A waiter with nothing to wait for any more, and why. */
export interface LostWaiter {
  readonly listener: FdListener;
  readonly error: Error;
}

/** One who is about to use a descriptor, and lets others run before that. */
export interface Visitor {
  /** The descriptor. */
  readonly fd: number;
  /** Called if the number was handed out anew. */
  readonly markAsClosed: (() => void) | null;
  /** The descriptor is not the one it was. */
  lost: boolean;
}

/** See the module. */
export class ListenerTable {
  readonly #poller: Poller;
  readonly #table = new FdMap<Watched>();
  #count = 0;
  #sweeps = 0;
  #stale: Watched[] = [];
  #unclaimed: number[] = [];
  #closed: number[] = [];
  #ready: FdListener[] = [];
  #bad: LostWaiter[] = [];
  /** Taken off their descriptors, and to be called a last time. */
  readonly #owed = new Set<FdListener>();
  readonly #visitors = new Set<Visitor>();

  constructor(poller: Poller) {
    this.#poller = poller;
  }

  /** How many listeners there are, queued ones included. */
  get size(): number {
    return this.#count;
  }

  /** Nothing is registered with the poller, so nothing can be reported. */
  get quiet(): boolean {
    return this.#table.size === 0;
  }

  /**
   * Put a listener in and tell the poller.
   *
   * @param trusted The owner of the descriptor tells us before closing it.
   * @throws {HubError} If another listener has the place and queueing is off.
   * @throws {SystemError} If the poller refuses; nothing has changed then.
   */
  add(listener: FdListener, trusted = false): void {
    const { fd, evtype } = listener;
    let watched = this.#table.get(fd);
    if (watched === undefined) {
      watched = new Watched(fd);
      this.#table.set(fd, watched);
    } else if (watched.primary(evtype) !== null) {
      if (thread.settings.preventMultipleReaders) {
        throw secondListener(watched.primary(evtype)!, listener);
      }
      // Whoever is in front may wait for what had the number before.
      if (!watched.trusted) this.#poller.watch(fd, watched.interest);
      watched.enqueue(listener);
      this.#count++;
      return;
    }
    watched.evict();
    watched.setPrimary(evtype, listener);
    const { wanted } = watched;
    if (!(trusted && watched.trusted && watched.interest === wanted)) {
      try {
        this.#poller.watch(fd, wanted);
      } catch (error) {
        watched.setPrimary(evtype, null);
        if (watched.wanted === 0) this.#table.delete(fd);
        throw error;
      }
      watched.interest = wanted;
    }
    watched.trusted = trusted;
    listener.kept = trusted;
    this.#count++;
  }

  /** Let a listener that has kept its place be called again. */
  wake(listener: FdListener): void {
    listener.spent = false;
    this.#count++;
  }

  /** Let a listener rest; it keeps its place as long as nobody minds. */
  rest(listener: FdListener): void {
    listener.spent = true;
    this.#count--;
  }

  /** Take a listener out; harmless if it is out already, or in another table. */
  remove(listener: FdListener): void {
    if (listener.spent) {
      // One that rests keeps its place; a last call is not wanted any more.
      this.#owed.delete(listener);
      return;
    }
    const watched = this.#table.get(listener.fd);
    if (watched === undefined || !watched.drop(listener)) return;
    listener.spent = true;
    this.#count--;
    if (!watched.stale && watched.interest !== watched.wanted) {
      watched.stale = true;
      this.#stale.push(watched);
      // A hub that is never idle never settles.
      if (this.#stale.length > 2 * this.#table.size + MOST_STALE) this.#prune();
    }
  }

  /** The poller was told to watch it, for whomever. */
  watches(fd: number): boolean {
    return this.#table.get(fd) !== undefined;
  }

  /** Take everybody off a descriptor and forget it, at once. */
  take(fd: number): FdListener[] {
    const watched = this.#table.get(fd);
    if (watched === undefined) return [];
    const all = watched.clear();
    for (const listener of all) {
      listener.spent = true;
      this.#owed.add(listener);
    }
    this.#count -= all.length;
    this.#table.delete(fd);
    this.#forget(watched.fd);
    return all;
  }

  /** Somebody is about to use a descriptor. */
  visit(visitor: Visitor): void {
    this.#visitors.add(visitor);
  }

  /** He uses it now, if he still can. */
  leave(visitor: Visitor): void {
    this.#visitors.delete(visitor);
  }

  /** Those about to use a descriptor have lost it. */
  turnAway(fd: number): Visitor[] {
    const all = [...this.#visitors].filter((visitor) => visitor.fd === fd);
    for (const visitor of all) {
      visitor.lost = true;
      this.#visitors.delete(visitor);
    }
    return all;
  }

  /** Take a listener out that is to be called a last time. */
  dismiss(listener: FdListener): void {
    this.remove(listener);
    this.#owed.add(listener);
  }

  /** Whether it is still to be called a last time. */
  owes(listener: FdListener): boolean {
    return this.#owed.has(listener);
  }

  /** Whether it is to be called a last time: once, unless removed since. */
  lastCall(listener: FdListener): boolean {
    return this.#owed.delete(listener);
  }

  /**
   * Ask the poller what is ready; the answer is a list of listeners in the
   * kernel's order, to be called while not spent, and a list of the hopeless.
   */
  sweep(): { ready: FdListener[]; bad: LostWaiter[] } {
    const ready = this.#ready = [];
    const bad = this.#bad = [];
    this.#sweeps = this.#sweeps % MOST_SWEEPS + 1;
    this.#poller.sweep(this.#report);
    // The poller must not be changed while it reports.
    if (this.#closed.length > 0) this.#dropClosed();
    if (this.#unclaimed.length > 0) this.#forgetUnclaimed();
    return { ready, bad };
  }

  /** Let go of those among the stale that were forgotten meanwhile. */
  #prune(): void {
    this.#stale = this.#stale.filter((watched) =>
      this.#table.get(watched.fd) === watched
    );
  }

  /** Take back registrations that nobody needs any more. */
  settle(): void {
    const stale = this.#stale;
    if (stale.length === 0) return;
    this.#stale = [];
    for (const watched of stale) {
      watched.stale = false;
      if (this.#table.get(watched.fd) !== watched) continue;
      // A trusted descriptor is likely to be waited for again.
      if (!watched.trusted) this.#narrow(watched);
    }
  }

  /**
   * Tell the poller again of every descriptor that might have been closed or
   * reused in silence; returns those that are not open any more.
   */
  audit(): LostWaiter[] {
    const bad: LostWaiter[] = this.#bad = [];
    // There may be thousands, and nobody else does anything: no list of them.
    this.#table.forEach((watched) => {
      const { fd, wanted } = watched;
      if (watched.trusted || wanted === 0) return;
      try {
        this.#poller.watch(fd, wanted);
        watched.interest = wanted;
      } catch (error) {
        for (const listener of this.take(fd)) {
          bad.push({ listener, error: error as Error });
        }
      }
    });
    return bad;
  }

  /** Forget everybody, without a word to them. */
  clear(): void {
    for (const watched of this.#table.values()) {
      for (const listener of watched.clear()) listener.spent = true;
    }
    this.#table.clear();
    this.#owed.clear();
    this.#stale = [];
    this.#count = 0;
  }

  /** Nobody waits for anything but these descriptors. */
  holdsOnly(fds: ReadonlySet<number>): boolean {
    let only = true;
    this.#table.forEach(({ fd, wanted }) => {
      if (wanted !== 0 && !fds.has(fd)) only = false;
    });
    return only;
  }

  /** All listeners of one kind, queued ones included, by descriptor. */
  list(evtype: Interest): FdListener[] {
    return this.#table.values().flatMap((watched) => watched.list(evtype));
  }

  readonly #report = (fd: number, ready: number): void => {
    const watched = this.#table.get(fd);
    if (watched === undefined) {
      this.#unclaimed.push(fd);
      return;
    }
    if ((ready & BAD) !== 0) {
      this.#closed.push(fd);
      return;
    }
    // Once in a pass, even if a poller reports it several times.
    const bits = watched.report(this.#sweeps, ready);
    const { reader, writer } = watched;
    if ((bits & READ) !== 0 && reader !== null && !reader.spent) {
      this.#ready.push(reader);
    }
    if ((bits & WRITE) !== 0 && writer !== null && !writer.spent) {
      this.#ready.push(writer);
    }
    if ((watched.interest & ~watched.wanted) !== 0) this.#unclaimed.push(fd);
  };

  #dropClosed(): void {
    const closed = this.#closed;
    this.#closed = [];
    for (const fd of closed) {
      const error = new SystemError(
        EBADF,
        "poll",
        `Cannot wait for fd ${fd}: it is not an open descriptor`,
      );
      for (const listener of this.take(fd)) this.#bad.push({ listener, error });
    }
  }

  #forgetUnclaimed(): void {
    const unclaimed = this.#unclaimed;
    this.#unclaimed = [];
    for (const fd of unclaimed) {
      const watched = this.#table.get(fd);
      if (watched === undefined) this.#forget(fd);
      else this.#narrow(watched);
    }
  }

  /** A poller that throws then must not keep waiters from being told. */
  #forget(fd: number): void {
    try {
      this.#poller.watch(fd, 0);
    } catch (error) {
      reportError(`Error of a poller that was to forget fd ${fd}`, error);
    }
  }

  #narrow(watched: Watched): void {
    const { fd, wanted } = watched;
    if (wanted === watched.interest) return;
    watched.evict();
    if (wanted === 0) this.#table.delete(fd);
    try {
      this.#poller.watch(fd, wanted);
      watched.interest = wanted;
    } catch {
      // Not open any more: the next audit or sweep tells its waiters.
    }
  }
}

function secondListener(first: FdListener, second: FdListener): HubError {
  const verb = first.evtype === READ ? "read" : "write";
  const where = first.stack === null ? "" : `; it waits here:\n${first.stack}`;
  return new HubError(
    `Second simultaneous ${verb} on fileno ${first.fd} detected: ` +
      `${second.greenlet} cannot wait, ${first.greenlet} already does. ` +
      `Only one greenthread at a time may ${verb} a descriptor: give each its ` +
      `own, use a pool, or lift the check with ` +
      `debug.hubPreventMultipleReaders(false)${where}`,
  );
}
