/**
 * A stream connection, of the shape of `Deno.Conn`, over whatever transport.
 *
 * The traps it guards: a reset must not pass for an end of file, not even when
 * a write met it first and the kernel then reports a plain end to the reader;
 * and an idle connection must hold no buffer.
 *
 * @module
 */

import { ROOM } from "../../ffi/aio_receive.ts";
import { EAGAIN, ERRNO } from "../../ffi/constants.ts";
import { SystemError } from "../../ffi/errors.ts";
import {
  ownAddress,
  receive,
  shutdownWrite,
  transmit,
} from "../../ffi/socket.ts";
import { getCurrent } from "../../hubs/current.ts";
import type { Received } from "../../hubs/listeners.ts";
import { READ } from "../../hubs/poller.ts";
import { thread } from "../../hubs/thread.ts";
import { disown } from "../../hubs/thrown.ts";
import { impatient, OwnedWait } from "../../hubs/wait.ts";
import {
  allLike,
  checkBytes,
  checkedTimeout,
  closedError,
  detachedError,
  giveBack,
  keepAlive,
  latestLike,
} from "./descriptor.ts";
import { byTheHub, failedAtOnce, forgetTurns } from "./in_turn.ts";
import { makeReadable, makeWritable } from "./streams.ts";
import { MORE, PAYS, tried, waited, waitsFirst } from "./try_first.ts";
import { WriteQueue } from "./write_queue.ts";

const AGAIN = -EAGAIN;
const EPIPE = ERRNO.EPIPE;
const ECONNRESET = ERRNO.ECONNRESET;
const ETIMEDOUT = ERRNO.ETIMEDOUT;

/** Where chunks of unknown size are received; copied out at once. */
const SCRATCH_SIZE = 65_536;
let scratch: Uint8Array<ArrayBuffer> | null = null;

let lastSent = Promise.resolve(0);
let lastLength = 0;

/** Messages are mostly of one size, and so are the promises for them. */
function resolvedTo(length: number): Promise<number> {
  if (length !== lastLength) {
    lastLength = length;
    lastSent = Promise.resolve(length);
  }
  return lastSent;
}

/** A read that waits. */
class ReadWait extends OwnedWait {
  readonly #conn: StreamConn;
  /** null: make a chunk. */
  buffer: Uint8Array | null = null;

  constructor(conn: StreamConn, fd: number) {
    super(READ, fd);
    this.#conn = conn;
  }

  override get wants(): number {
    if (this.spent) return 0;
    return this.buffer === null ? SCRATCH_SIZE : this.buffer.length;
  }

  attempt(received: Received | null): void {
    const { buffer } = this;
    try {
      const got = buffer === null
        ? this.#conn.receiveChunk(this.fd, received)
        : this.#conn.receiveInto(this.fd, buffer, received);
      if (got !== undefined) this.succeed(got);
    } catch (error) {
      this.fail(error);
    }
  }

  release(): void {
    this.buffer = null;
  }

  override outOfLine(): void {
    this.#conn.readerLeft(this);
  }
}

/** An address as a connection's `localAddr` and `remoteAddr` have it. */
export type StreamAddr = Deno.NetAddr | Deno.UnixAddr;

/** What most connections never have. */
class Rare {
  readTimeout: number | null = null;
  writeTimeout: number | null = null;
  readable: ReadableStream<Uint8Array<ArrayBuffer>> | null = null;
  writable: WritableStream<Uint8Array<ArrayBufferLike>> | null = null;
  /** The errno that has broken the connection; 0 for none. */
  reset = 0;
  /** What the next read shall be told of, -errno; 0 for nothing. */
  untold = 0;
  /** A write has met an error. */
  writerTold = false;
}

/**
 * A connection over any stream transport: what TCP and Unix have in common.
 *
 * Calls take no lock but these: one greenthread reads at a time (a second one
 * gets `HubError`), writes queue up.
 */
export abstract class StreamConn<A extends StreamAddr = StreamAddr>
  implements Deno.Conn<A> {
  // An idle connection is hardly more than this: few words, no private method.
  #fd: number;
  /** How the next read begins: see `try_first.ts`. */
  #tries = MORE;
  #reader: ReadWait | null = null;
  #writer: WriteQueue | null = null;
  #remote: A | number;
  #local: A | null = null;
  #rare: Rare | null = null;

  /**
   * Made by `connect` and `accept`.
   *
   * @param remote The peer's address, packed where that can be.
   */
  constructor(fd: number, remote: A | number) {
    this.#fd = fd;
    this.#remote = remote;
  }

  /** Read an address of the connection's own, or a packed one. @internal */
  protected abstract addressOf(raw: Uint8Array<ArrayBuffer> | number): A;

  /** The descriptor; -1 once closed. */
  fileno(): number {
    return this.#fd;
  }

  /** The local address. */
  get localAddr(): A {
    return this.#local ??= this.addressOf(ownAddress(this.#fd));
  }

  /** The remote address. */
  get remoteAddr(): A {
    const remote = this.#remote;
    if (typeof remote !== "number") return remote;
    const address = this.addressOf(remote);
    this.#remote = address;
    return address;
  }

  /** How long a read may take, ms; null: for ever. */
  get readTimeout(): number | null {
    return this.#rare?.readTimeout ?? null;
  }

  set readTimeout(ms: number | null) {
    const checked = checkedTimeout(ms, "set readTimeout");
    (this.#rare ??= new Rare()).readTimeout = checked;
  }

  /** How long a whole write may take, ms; null: for ever. */
  get writeTimeout(): number | null {
    return this.#rare?.writeTimeout ?? null;
  }

  set writeTimeout(ms: number | null) {
    const checked = checkedTimeout(ms, "set writeTimeout");
    (this.#rare ??= new Rare()).writeTimeout = checked;
  }

  /**
   * Receive into `p`: at least one byte, unless the peer has sent all it will,
   * then null. An empty `p` is filled at once.
   *
   * @returns How many bytes were received; null at the end.
   * @throws {SystemError} ECONNRESET if the peer reset the connection.
   * @throws {IOClosed} If the connection is closed, before or meanwhile.
   * @throws {Timeout} After `readTimeout`.
   * @throws {TypeError} If `p` is detached meanwhile; no data is lost.
   * @throws {HubError} If another greenthread is reading, or from MAINLOOP.
   */
  read(p: Uint8Array): Promise<number | null> {
    try {
      const fd = this.#fd;
      if (fd < 0) throw closedError("read");
      checkBytes(p, "read");
      if (p.length === 0) return Promise.resolve(0);
      if (StreamConn.#mayTry(this)) {
        const got = this.receiveInto(fd, p);
        this.#tries = tried(this.#tries, got !== undefined);
        if (got !== undefined) return Promise.resolve(got);
      }
      return StreamConn.#wait(this, p) as Promise<number | null>;
    } catch (error) {
      return failedAtOnce(this, error);
    }
  }

  /** As `read`, into a chunk of its own. @internal */
  readChunk(): Promise<Uint8Array<ArrayBuffer> | null> {
    try {
      const fd = this.#fd;
      if (fd < 0) throw closedError("read");
      if (StreamConn.#mayTry(this)) {
        const got = this.receiveChunk(fd);
        this.#tries = tried(this.#tries, got !== undefined);
        if (got !== undefined) return Promise.resolve(got);
      }
      return StreamConn.#wait(this, null) as Promise<
        Uint8Array<ArrayBuffer> | null
      >;
    } catch (error) {
      return failedAtOnce(this, error);
    }
  }

  /**
   * Whether a read shall try before it waits. With others to be served only if
   * there is more for sure: many at a time are served for less.
   */
  static #mayTry(conn: StreamConn): boolean {
    if (waitsFirst(conn.#tries)) {
      conn.#tries = waited(conn.#tries);
      return false;
    }
    if (conn.#tries !== MORE && thread.crowded) return false;
    return !(conn.#reader?.busy) && !impatient();
  }

  static #wait(conn: StreamConn, buffer: Uint8Array | null): Promise<unknown> {
    let reader = conn.#reader;
    if (reader === null || reader.suspension !== null) {
      reader = new ReadWait(conn, conn.#fd);
    }
    // A second reader has a listener of its own, for the hub to judge.
    const rare = conn.#rare;
    let promise;
    try {
      promise = reader.begin(rare === null ? null : rare.readTimeout);
    } catch (error) {
      return StreamConn.#refused(conn, buffer, error);
    }
    reader.buffer = buffer;
    conn.#reader = reader;
    return promise;
  }

  /** MAINLOOP cannot wait, but may have what is there. */
  static #refused(
    conn: StreamConn,
    buffer: Uint8Array | null,
    error: unknown,
  ): Promise<unknown> {
    if (!getCurrent().isMainloop || conn.#reader?.busy) throw error;
    const got = buffer === null
      ? conn.receiveChunk(conn.#fd)
      : conn.receiveInto(conn.#fd, buffer);
    if (got === undefined) throw error;
    return Promise.resolve(got);
  }

  /** A read was broken off that need not have been alone. @internal */
  readerLeft(reader: unknown): void {
    const latest = this.#reader;
    if (latest === null || latest !== reader) return;
    this.#reader = latestLike(latest) ?? latest;
  }

  /**
   * Try to receive; undefined: nothing is there yet.
   *
   * @param received Has been received already.
   * @internal
   */
  receiveInto(
    fd: number,
    p: Uint8Array,
    received: Received | null = null,
  ): number | null | undefined {
    const n = StreamConn.#receive(this, fd, p, received);
    if (n > 0) {
      if (n === p.length) this.#tries = MORE;
      else if (this.#tries === MORE) this.#tries = PAYS;
      return n;
    }
    if (n === AGAIN) return undefined;
    this.#tries = MORE;
    // Nothing received into nothing is no end.
    if (n === 0 && p.length === 0) throw detachedError("read");
    const reset = this.#rare?.reset ?? 0;
    if (n === 0 && reset === 0) return null;
    throw StreamConn.#readError(this, n === 0 ? reset : -n);
  }

  /**
   * Try to receive a chunk; undefined: nothing is there yet.
   *
   * @param received Has been received already.
   * @internal
   */
  receiveChunk(
    fd: number,
    received: Received | null = null,
  ): Uint8Array<ArrayBuffer> | null | undefined {
    scratch ??= new Uint8Array(SCRATCH_SIZE);
    const n = this.receiveInto(fd, scratch, received);
    return typeof n === "number" ? scratch.slice(0, n) : n;
  }

  /**
   * Send all of `p`. Concurrent writes are sent one after the other, in the
   * order of the calls. MAINLOOP may write, too: what does not fit at once is
   * sent while it goes on.
   *
   * @returns The length of `p`.
   * @throws {SystemError} ECONNRESET or EPIPE if the peer is gone.
   * @throws {IOClosed} If the connection is closed, before or meanwhile.
   * @throws {Timeout} After `writeTimeout`; a part may have been sent.
   * @throws {TypeError} If `p` is detached meanwhile; likewise.
   */
  write(p: Uint8Array): Promise<number> {
    try {
      const fd = this.#fd;
      if (fd < 0) throw closedError("write");
      checkBytes(p, "write");
      let sent = 0;
      if (!(this.#writer?.busy)) {
        const { length } = p;
        sent = transmit(fd, p);
        if (sent === length) {
          return byTheHub(this, sent) ?? resolvedTo(sent);
        }
        if (sent < 0) {
          if (sent !== AGAIN) throw StreamConn.#writeError(this, -sent);
          sent = 0;
        }
      }
      return StreamConn.#queue(this)
        .push(p, sent, this.writeTimeout) as Promise<number>;
    } catch (error) {
      return failedAtOnce(this, error);
    }
  }

  /**
   * Send no more, once the writes under way are done: the peer reads an end of
   * file, and can go on sending. A connection that was reset is done with.
   *
   * @throws {IOClosed} If the connection is closed, before or meanwhile.
   * @throws {Timeout} After `writeTimeout`.
   */
  closeWrite(): Promise<void> {
    try {
      const fd = this.#fd;
      if (fd < 0) throw closedError("close for writing");
      if (this.#writer?.busy) {
        return this.#writer.push(null, 0, this.writeTimeout) as Promise<void>;
      }
      const error = shutdownWrite(fd);
      if (error !== 0) throw new SystemError(error, "shutdown");
      return Promise.resolve();
    } catch (error) {
      return failedAtOnce(this, error);
    }
  }

  /**
   * Close the connection. Whoever waits for it gets `IOClosed`; data not yet
   * read is lost. Closing twice is harmless.
   */
  close(): void {
    const fd = this.#fd;
    if (fd < 0) return;
    try {
      this.#local ??= this.addressOf(ownAddress(fd));
    } catch {
      // Somebody closed the descriptor behind our back.
    }
    this.#fd = -1;
    forgetTurns(this);
    giveBack(fd);
  }

  /**
   * Close it for somebody who is done with what is under way: whoever awaits
   * that gets `IOClosed`, and if nobody does, it is no unhandled rejection.
   * @internal
   */
  abandon(): void {
    if (this.#fd < 0) return;
    const reader = this.#reader;
    if (reader?.busy) {
      // One that keeps its place has it to itself.
      const readers = reader.kept ? [reader] : allLike(reader);
      for (const { suspension } of readers) {
        if (suspension !== null) disown(suspension.promise);
      }
    }
    this.#writer?.disown();
    this.close();
  }

  /** Close once the writes under way are done. @internal */
  closeWhenWritten(): void {
    if (this.#writer === null) this.close();
    else this.#writer.whenIdle(() => this.close());
  }

  /** As {@linkcode StreamConn.close}. */
  [Symbol.dispose](): void {
    this.close();
  }

  /** The data received, as a stream; its end closes the connection. */
  get readable(): ReadableStream<Uint8Array<ArrayBuffer>> {
    return (this.#rare ??= new Rare()).readable ??= makeReadable(this);
  }

  /** A stream whose chunks are sent; its end closes the connection. */
  get writable(): WritableStream<Uint8Array<ArrayBufferLike>> {
    return (this.#rare ??= new Rare()).writable ??= makeWritable(this);
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

  static #receive(
    conn: StreamConn,
    fd: number,
    p: Uint8Array,
    received: Received | null,
  ): number {
    if (received !== null && received.count > 0) {
      return StreamConn.#add(conn, fd, p, received);
    }
    const rare = conn.#rare;
    if (rare !== null && rare.untold !== 0) {
      const { untold } = rare;
      rare.untold = 0;
      return untold;
    }
    return received === null ? receive(fd, p) : received.count;
  }

  /** Receive what there is behind that which was received ahead. */
  static #add(
    conn: StreamConn,
    fd: number,
    p: Uint8Array,
    { count, bytes }: Received,
  ): number {
    p.set(bytes);
    if (count < ROOM || count === p.length) return count;
    const more = receive(fd, p.subarray(count));
    if (more > 0) return count + more;
    // The kernel tells of an error once.
    if (more < 0 && more !== AGAIN) {
      (conn.#rare ??= new Rare()).untold = more;
      StreamConn.#remember(conn, -more);
    }
    return count;
  }

  static #queue(conn: StreamConn): WriteQueue {
    return conn.#writer ??= new WriteQueue(
      conn.#fd,
      (errno) => StreamConn.#writeError(conn, errno),
    );
  }

  static #readError(conn: StreamConn, errno: number): SystemError {
    // The peer had sent an end of file, and then reset what we wrote.
    const code = errno === EPIPE ? ECONNRESET : errno;
    StreamConn.#remember(conn, code);
    return new SystemError(code, "recv", "Cannot read");
  }

  static #writeError(conn: StreamConn, errno: number): SystemError {
    const rare = conn.#rare ??= new Rare();
    // What a reader was told of, the kernel does not tell the writer.
    const untold = errno === EPIPE && !rare.writerTold && rare.reset !== 0;
    const code = untold ? rare.reset : errno;
    rare.writerTold = true;
    StreamConn.#remember(conn, code);
    return new SystemError(code, "send", "Cannot write");
  }

  /** The kernel tells of a broken connection once; we tell each time. */
  static #remember(conn: StreamConn, errno: number): void {
    if (errno !== ECONNRESET && errno !== ETIMEDOUT) return;
    (conn.#rare ??= new Rare()).reset = errno;
  }
}
