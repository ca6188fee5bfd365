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

/** What was received for a listener ahead of its turn. */
export interface Received {
  /** How many bytes; 0 at the end; -errno. */
  readonly count: number;
  /** Those bytes, to be copied; there may be more. */
  readonly bytes: Uint8Array<ArrayBuffer>;
}

const SPENT = 1;
const KEPT = 2;

/**
 * One party's interest in one direction of one descriptor; what `hub.add`
 * returns.
 */
export abstract class FdListener {
  /** READ or WRITE. */
  readonly evtype: Interest;
  /** The descriptor. */
  readonly fd: number;
  /** Called from MAINLOOP in each pass in which the descriptor is ready. */
  abstract readonly cb: ReadyCallback;
  /** Called once if the descriptor is closed or turns out not to be open. */
  abstract readonly tb: ErrorCallback;
  /** Called once if the number was handed out anew (`notifyOpened`). */
  abstract readonly markAsClosed: (() => void) | null;
  /** The greenthread that added it. */
  abstract readonly greenlet: GreenThread;
  /** Where it was added, if `debug.hubListenerStacks(true)`. */
  abstract readonly stack: string | null;

  // There is one for each connection: no more words than it needs.
  #state = 0;

  /** `hub.add` makes them; green sockets have their own. */
  constructor(evtype: Interest, fd: number) {
    this.evtype = evtype;
    this.fd = fd;
  }

  /** It is not called: it is in no table, or rests there between two waits. */
  get spent(): boolean {
    return (this.#state & SPENT) !== 0;
  }

  set spent(yes: boolean) {
    this.#state = yes ? this.#state | SPENT : this.#state & ~SPENT;
  }

  /** It has kept its place in a table, and the poller watches for it. */
  get kept(): boolean {
    return (this.#state & KEPT) !== 0;
  }

  set kept(yes: boolean) {
    this.#state = yes ? this.#state | KEPT : this.#state & ~KEPT;
  }

  /**
   * How many bytes it would receive if it was its turn: it may be given some
   * of them. 0: it does not receive. @internal
   */
  get wants(): number {
    return 0;
  }

  /**
   * The descriptor is ready: do what needs no turn of anybody's. What it
   * returns is fired in place of a call.
   *
   * @param _received Only what it {@linkcode FdListener.wants}.
   * @internal
   */
  prepare(_received: Received | null): Suspension | null {
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

/** A listener by callbacks, as `hub.add` makes it. */
export class CallbackListener extends FdListener {
  readonly cb: ReadyCallback;
  readonly tb: ErrorCallback;
  readonly markAsClosed: (() => void) | null;
  readonly greenlet: GreenThread;
  readonly stack: string | null;

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
    super(evtype, fd);
    this.cb = cb;
    this.tb = tb;
    this.markAsClosed = markAsClosed;
    this.greenlet = greenlet;
    this.stack = stack;
  }
}

const STALE = 4;
const TRUSTED = 8;
const INTEREST = READ | WRITE;

/** Sweeps are counted from 1 to this, and then again: in a small integer. */
export const MOST_SWEEPS = 0x0fff_ffff;

/** All that is known of one descriptor. */
export class Watched {
  readonly fd: number;
  reader: FdListener | null = null;
  writer: FdListener | null = null;
  /** Later readers and writers, oldest first; null while there are none. */
  queue: FdListener[] | null = null;
  /** The last sweep that reported it, and in the lowest bits what it has. */
  #sweep = 0;
  #state = 0;

  constructor(fd: number) {
    this.fd = fd;
  }

  /** What the poller was last told to watch. */
  get interest(): number {
    return this.#state & INTEREST;
  }

  set interest(interest: number) {
    this.#state = this.#state & ~INTEREST | interest;
  }

  /** It is on the hub's list of registrations to look through before a park. */
  get stale(): boolean {
    return (this.#state & STALE) !== 0;
  }

  set stale(yes: boolean) {
    this.#state = yes ? this.#state | STALE : this.#state & ~STALE;
  }

  /** Its owner tells us before closing it, so a registration may be trusted. */
  get trusted(): boolean {
    return (this.#state & TRUSTED) !== 0;
  }

  set trusted(yes: boolean) {
    this.#state = yes ? this.#state | TRUSTED : this.#state & ~TRUSTED;
  }

  /**
   * Note what a sweep has reported, and return what of it is new in that sweep.
   *
   * @param sweep Its number, from 1 to {@linkcode MOST_SWEEPS}.
   */
  report(sweep: number, bits: number): number {
    const before = this.#sweep;
    if (before >> 2 !== sweep) {
      this.#sweep = sweep << 2 | bits;
      return bits;
    }
    this.#sweep = before | bits;
    return bits & ~before;
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

  /**
   * Take a listener out, if it is in; the oldest one queued takes a primary's
   * place.
   */
  drop(listener: FdListener): boolean {
    const { evtype } = listener;
    if (this.reader === listener || this.writer === listener) {
      this.setPrimary(evtype, Watched.#promote(this.queue, evtype));
      return true;
    }
    const at = this.queue?.indexOf(listener) ?? -1;
    if (at >= 0) this.queue!.splice(at, 1);
    return at >= 0;
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

  static #promote(
    queue: FdListener[] | null,
    evtype: Interest,
  ): FdListener | null {
    const at = queue?.findIndex((one) => one.evtype === evtype) ?? -1;
    return at < 0 ? null : queue!.splice(at, 1)[0]!;
  }
}
