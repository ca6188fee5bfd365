/**
 * Who waits for which descriptor: the one truth about it in a hub.
 *
 * Per descriptor and direction there is one primary listener and, with the
 * second-reader protection off, a queue behind it. Listeners are told apart by
 * identity, never by number: a number is handed out anew the moment it is
 * closed, and then names something else.
 *
 * @module
 */

import type { GreenThread } from "./greenthread.ts";
import { type Interest, READ, WRITE } from "./poller.ts";
import type { Suspension } from "./suspension.ts";

/** Called with the descriptor when it is ready. */
export type ReadyCallback = (fd: number) => unknown;
/** Called with the error when waiting has become impossible. */
export type ErrorCallback = (error: Error) => unknown;

/**
 * One party's interest in one direction of one descriptor; what `hub.add`
 * returns.
 */
export class FdListener {
  /** READ or WRITE. */
  readonly evtype: Interest;
  /** The descriptor. */
  readonly fd: number;
  /** Called from MAINLOOP in each pass in which the descriptor is ready. */
  readonly cb: ReadyCallback;
  /** Called once if the descriptor is closed or turns out not to be open. */
  readonly tb: ErrorCallback;
  /** Called once if the number was handed out anew (`notifyOpened`). */
  readonly markAsClosed: (() => void) | null;
  /** The greenthread that added it. */
  readonly greenlet: GreenThread;
  /** Where it was added, if `debug.hubListenerStacks(true)`. */
  readonly stack: string | null;
  /** It is not called: it is in no table, or rests there between two waits. */
  spent = false;
  /** It has kept its place in a table, and the poller watches for it. */
  kept = false;
  /** It was removed when it was spent: not even a last call is wanted. */
  over = false;

  /** Made by `hub.add`. */
  constructor(
    evtype: Interest,
    fd: number,
    cb: ReadyCallback,
    tb: ErrorCallback,
    markAsClosed: (() => void) | null,
    greenlet: GreenThread,
    stack: string | null = null,
  ) {
    this.evtype = evtype;
    this.fd = fd;
    this.cb = cb;
    this.tb = tb;
    this.markAsClosed = markAsClosed;
    this.greenlet = greenlet;
    this.stack = stack;
  }

  /**
   * The descriptor is ready: do what needs no turn of anybody's. What it
   * returns is fired in place of a call. @internal
   */
  prepare(): Suspension | null {
    return null;
  }

  /** For debugging: direction, descriptor, and who waits. */
  toString(): string {
    const kind = this.evtype === READ ? "read" : "write";
    const state = this.spent ? ", spent" : "";
    const where = this.stack === null ? "" : `\n${this.stack}`;
    return `FdListener(${kind}, fd ${this.fd}, ${this.greenlet}${state})${where}`;
  }
}

/** All that is known of one descriptor. */
export class Watched {
  readonly fd: number;
  reader: FdListener | null = null;
  writer: FdListener | null = null;
  /** Later readers and writers, oldest first; null while there are none. */
  queue: FdListener[] | null = null;
  /** What the poller was last told to watch. */
  interest = 0;
  /** The last sweep that reported it, and the bits it has reported. */
  sweep = 0;
  reported = 0;
  /** It is on the hub's list of registrations to look through before a park. */
  stale = false;
  /** Its owner tells us before closing it, so a registration may be trusted. */
  trusted = false;

  constructor(fd: number) {
    this.fd = fd;
  }

  /** What is waited for now. */
  get wanted(): number {
    const { reader, writer } = this;
    return (reader === null || reader.spent ? 0 : READ) |
      (writer === null || writer.spent ? 0 : WRITE);
  }

  /** The primary listener of a direction; one that rests is none. */
  primary(evtype: Interest): FdListener | null {
    const listener = evtype === READ ? this.reader : this.writer;
    return listener === null || listener.spent ? null : listener;
  }

  /** Those that rest lose their places. */
  evict(): void {
    const { reader, writer } = this;
    if (reader !== null && reader.spent) {
      reader.kept = false;
      this.reader = null;
    }
    if (writer !== null && writer.spent) {
      writer.kept = false;
      this.writer = null;
    }
  }

  /** Set the primary listener of a direction. */
  setPrimary(evtype: Interest, listener: FdListener | null): void {
    if (evtype === READ) this.reader = listener;
    else this.writer = listener;
  }

  /** Put a listener behind the primary, which cannot rest any more then. */
  enqueue(listener: FdListener): void {
    this.primary(listener.evtype)!.kept = false;
    (this.queue ??= []).push(listener);
  }

  /** Take a listener out; the oldest one queued takes a primary's place. */
  drop(listener: FdListener): void {
    const { evtype } = listener;
    if (this.reader === listener || this.writer === listener) {
      this.setPrimary(evtype, this.#promote(evtype));
      return;
    }
    const at = this.queue?.indexOf(listener) ?? -1;
    if (at >= 0) this.queue!.splice(at, 1);
  }

  /** Those waiting, readers first, each direction oldest first. */
  list(evtype?: Interest): FdListener[] {
    const all = [this.reader, this.writer, ...(this.queue ?? [])];
    const some: FdListener[] = [];
    for (const want of [READ, WRITE] as const) {
      if (evtype !== undefined && evtype !== want) continue;
      for (const one of all) {
        if (one?.evtype === want && !one.spent) some.push(one);
      }
    }
    return some;
  }

  /** Take everybody out. */
  clear(): FdListener[] {
    const all = this.list();
    this.evict();
    for (const listener of all) listener.kept = false;
    this.reader = null;
    this.writer = null;
    this.queue = null;
    return all;
  }

  #promote(evtype: Interest): FdListener | null {
    const at = this.queue?.findIndex((one) => one.evtype === evtype) ?? -1;
    return at < 0 ? null : this.queue!.splice(at, 1)[0]!;
  }
}
