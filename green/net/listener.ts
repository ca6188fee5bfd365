/**
 * A listener, of the shape of `Deno.Listener`; `listen` makes it.
 *
 * The trap it guards: a connection may be gone by the time it is accepted
 * (ECONNABORTED); that is no reason to stop listening.
 *
 * @module
 */

import { EAGAIN, ERRNO } from "../../ffi/constants.ts";
import { SystemError } from "../../ffi/errors.ts";
import { acceptSocket, peer, peerSize, removePath } from "../../ffi/socket.ts";
import { closeAtThreadExit } from "../../ffi/thread_exit.ts";
import { IOClosed } from "../../hubs/errors.ts";
import { READ } from "../../hubs/poller.ts";
import { outer } from "../../hubs/thrown.ts";
import type { Suspension } from "../../hubs/suspension.ts";
import { impatient, OwnedWait } from "../../hubs/wait.ts";
import type { TcpConn, UnixConn } from "./conn.ts";
import {
  adopt,
  closedError,
  giveBack,
  keepAlive,
  latestLike,
} from "./descriptor.ts";
import { failedAtOnce } from "./in_turn.ts";
import type { StreamAddr, StreamConn } from "./stream_conn.ts";

const AGAIN = -EAGAIN;
const ECONNABORTED = ERRNO.ECONNABORTED;

/** Makes a connection of what `accept` gave: so many bytes are the address. */
type MakeConn<T> = (
  fd: number,
  remote: Uint8Array<ArrayBuffer>,
  length: number,
) => T;

/** What accepts wait with. */
class AcceptWait extends OwnedWait {
  readonly #listener: Listener;

  constructor(fd: number, listener: Listener) {
    super(READ, fd);
    this.#listener = listener;
  }

  attempt(): void {
    try {
      const conn = this.#listener.take();
      if (conn !== null) this.succeed(conn);
    } catch (error) {
      this.fail(error);
    }
  }

  release(): void {}

  override outOfLine(): void {
    this.#listener.waiterLeft(this);
  }
}

/** No generator: its `return()` would wait for the `next()` under way. */
class Connections<T extends StreamConn>
  implements AsyncIterableIterator<T, undefined, void> {
  readonly #listener: Listener<T>;

  constructor(listener: Listener<T>) {
    this.#listener = listener;
  }

  next(): Promise<IteratorResult<T, undefined>> {
    return outer(this.#next());
  }

  async #next(): Promise<IteratorResult<T, undefined>> {
    try {
      if (this.#listener.fileno() < 0) return { value: undefined, done: true };
      return { value: await this.#listener.accept(), done: false };
    } catch (error) {
      if (!(error instanceof IOClosed && this.#listener.fileno() < 0)) {
        throw error;
      }
      return { value: undefined, done: true };
    }
  }

  return(value?: unknown): Promise<IteratorResult<T, undefined>> {
    this.#listener.close();
    return Promise.resolve({ value: value as undefined, done: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

/** Accepts connections; made by `listen`. */
export class Listener<
  T extends StreamConn = StreamConn,
  A extends StreamAddr = StreamAddr,
> implements Deno.Listener<T & Deno.Conn, A> {
  #fd: number;
  readonly #addr: A;
  readonly #make: MakeConn<T>;
  readonly #path: string | null;
  readonly #keep: Disposable;
  #waiter: AcceptWait | null = null;
  #whenClosed = new Set<() => void>();

  /** Made by `listen`. */
  constructor(fd: number, addr: A, make: MakeConn<T>, path: string | null) {
    this.#fd = fd;
    this.#addr = addr;
    this.#make = make;
    this.#path = path;
    this.#keep = closeAtThreadExit(fd);
  }

  /** The descriptor; -1 once closed. */
  fileno(): number {
    return this.#fd;
  }

  /** What it listens on. */
  get addr(): A {
    return this.#addr;
  }

  /**
   * Wait for the next connection.
   *
   * @throws {SystemError} EMFILE and the like.
   * @throws {IOClosed} If the listener is closed, before or meanwhile.
   * @throws {HubError} If another greenthread is accepting, or from MAINLOOP.
   */
  accept(): Promise<T> {
    try {
      if (this.#fd < 0) throw closedError("accept");
      let waiter = this.#waiter;
      if (!(waiter?.busy) && !impatient()) {
        const conn = this.take();
        if (conn !== null) return Promise.resolve(conn);
      }
      if (waiter === null || waiter.suspension !== null) {
        waiter = new AcceptWait(this.#fd, this as unknown as Listener);
      }
      const promise = waiter.begin(null);
      this.#waiter = waiter;
      return promise as Promise<T>;
    } catch (error) {
      return failedAtOnce(this, error);
    }
  }

  /** A connection that waits to be accepted; null if there is none. @internal */
  take(): T | null {
    for (;;) {
      const fd = acceptSocket(this.#fd);
      if (fd >= 0) {
        const conn = this.#make(fd, peer, Math.max(2, peerSize()));
        adopt(fd);
        return conn;
      }
      if (fd === AGAIN) return null;
      if (fd === -ECONNABORTED) continue;
      throw new SystemError(-fd, "accept", "Cannot accept");
    }
  }

  /** What the accept called last waits in, if it waits. @internal */
  get waiting(): Suspension | null {
    return this.#waiter?.suspension ?? null;
  }

  /** An accept was broken off that need not have been alone. @internal */
  waiterLeft(waiter: unknown): void {
    const latest = this.#waiter;
    if (latest === null || latest !== waiter) return;
    this.#waiter = latestLike(latest) ?? latest;
  }

  /** Have `fn` called at the close; returns how to take that back. @internal */
  whenClosed(fn: () => void): () => void {
    this.#whenClosed.add(fn);
    return () => this.#whenClosed.delete(fn);
  }

  /**
   * Stop listening; a Unix socket's file is removed. Whoever waits gets
   * `IOClosed`, and iteration ends. Closing twice is harmless.
   */
  close(): void {
    const fd = this.#fd;
    if (fd < 0) return;
    this.#fd = -1;
    this.#keep[Symbol.dispose]();
    giveBack(fd);
    if (this.#path !== null) removePath(this.#path);
    for (const fn of this.#whenClosed) fn();
  }

  /** As {@linkcode Listener.close}. */
  [Symbol.dispose](): void {
    this.close();
  }

  /**
   * The connections, one after the other, until it is closed. As with Deno's,
   * whoever leaves a loop over them early closes the listener.
   */
  [Symbol.asyncIterator](): AsyncIterableIterator<T, undefined, void> {
    return new Connections(this);
  }

  /** Waits keep the process alive: so they do unless told otherwise. */
  ref(): void {
    keepAlive(this.#fd, true);
  }

  /**
   * Waits do not keep the process alive, as long as the hub parks without a
   * thread (`hub.statistics().parking` is `"aio"` or `"uring"`).
   */
  unref(): void {
    keepAlive(this.#fd, false);
  }
}

/** Accepts TCP connections. */
export type TcpListener = Listener<TcpConn, Deno.NetAddr>;
/** Accepts connections over a Unix socket. */
export type UnixListener = Listener<UnixConn, Deno.UnixAddr>;
