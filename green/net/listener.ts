/**
 * A listener, of the shape of `Deno.Listener`, and `listen`.
 *
 * The trap it guards: a connection may be gone by the time it is accepted
 * (ECONNABORTED); that is no reason to stop listening.
 *
 * @module
 */

import { EAGAIN, EINVAL, ERRNO } from "../../ffi/constants.ts";
import { SystemError } from "../../ffi/errors.ts";
import { lookUpSync } from "../../ffi/resolve.ts";
import {
  numericAddress,
  pathOf,
  type RawAddress,
  unixAddress,
} from "../../ffi/sockaddr.ts";
import {
  acceptSocket,
  bindSocket,
  listenSocket,
  openFor,
  ownAddress,
  peer,
  peerSize,
  removePath,
  setOption,
} from "../../ffi/socket.ts";
import {
  IPPROTO_TCP,
  SO_REUSEADDR,
  SO_REUSEPORT,
  SOCK_STREAM,
  SOL_SOCKET,
  TCP_NODELAY,
} from "../../ffi/socket_constants.ts";
import { IOClosed } from "../../hubs/errors.ts";
import { READ } from "../../hubs/poller.ts";
import { impatient, OwnedWait } from "../../hubs/wait.ts";
import {
  type StreamAddr,
  type StreamConn,
  tcpAddr,
  TcpConn,
  unixAddr,
  UnixConn,
} from "./conn.ts";
import { adopt, closedError, giveBack } from "./descriptor.ts";
import {
  checkedCount,
  checkedHost,
  checkedPath,
  checkedPort,
  checkOptions,
  type TcpListenOptions,
  type UnixListenOptions,
  unknownTransport,
} from "./options.ts";

const AGAIN = -EAGAIN;
const ECONNABORTED = ERRNO.ECONNABORTED!;
const ENOPROTOOPT = ERRNO.ENOPROTOOPT!;
const BACKLOG = 1024;

/** Makes a connection of what `accept` gave. */
type MakeConn<T> = (fd: number, remote: Uint8Array<ArrayBuffer>) => T;

/** What accepts wait with. */
class AcceptWait extends OwnedWait {
  readonly #take: () => unknown;

  constructor(fd: number, take: () => unknown) {
    super(READ, fd);
    this.#take = take;
  }

  attempt(): void {
    try {
      const conn = this.#take();
      if (conn !== null) this.succeed(conn);
    } catch (error) {
      this.fail(error);
    }
  }

  release(): void {}
}

/** Accepts connections; made by {@linkcode listen}. */
export class Listener<
  T extends StreamConn = StreamConn,
  A extends StreamAddr = StreamAddr,
> implements Deno.Listener<T & Deno.Conn, A> {
  #fd: number;
  readonly #addr: A;
  readonly #make: MakeConn<T>;
  readonly #path: string | null;
  #waiter: AcceptWait | null = null;
  #whenClosed = new Set<() => void>();

  /** Made by {@linkcode listen}. */
  constructor(fd: number, addr: A, make: MakeConn<T>, path: string | null) {
    this.#fd = fd;
    this.#addr = addr;
    this.#make = make;
    this.#path = path;
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
        waiter = new AcceptWait(this.#fd, () => this.take());
      }
      const promise = waiter.begin(null);
      this.#waiter = waiter;
      return promise as Promise<T>;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** A connection that waits to be accepted; null if there is none. @internal */
  take(): T | null {
    for (;;) {
      const fd = acceptSocket(this.#fd);
      if (fd >= 0) {
        return this.#make(adopt(fd), peer.slice(0, Math.max(2, peerSize())));
      }
      if (fd === AGAIN) return null;
      if (fd === -ECONNABORTED) continue;
      throw new SystemError(-fd, "accept", "Cannot accept");
    }
  }

  /** Break off the accept that waits. @internal */
  interrupt(error: unknown): void {
    this.#waiter?.fail(error);
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
    giveBack(fd);
    if (this.#path !== null) removePath(this.#path);
    for (const fn of this.#whenClosed) fn();
  }

  /** As {@linkcode Listener.close}. */
  [Symbol.dispose](): void {
    this.close();
  }

  /** The connections, one after the other, until it is closed. */
  async *[Symbol.asyncIterator](): AsyncGenerator<T, undefined, void> {
    while (this.#fd >= 0) {
      let conn;
      try {
        conn = await this.accept();
      } catch (error) {
        if (error instanceof IOClosed && this.#fd < 0) return;
        throw error;
      }
      yield conn;
    }
  }

  /** Here for code written for Deno's: a wait always keeps the process alive. */
  ref(): void {}

  /** Here for code written for Deno's: a wait always keeps the process alive. */
  unref(): void {}
}

/** Accepts TCP connections. */
export type TcpListener = Listener<TcpConn, Deno.NetAddr>;
/** Accepts connections over a Unix socket. */
export type UnixListener = Listener<UnixConn, Deno.UnixAddr>;

/** Set an option that the system may not have. @internal */
export function setIfKnown(fd: number, level: number, name: number): void {
  try {
    setOption(fd, level, name, 1);
  } catch (error) {
    const { errno } = error as SystemError;
    if (errno !== EINVAL && errno !== ENOPROTOOPT) throw error;
  }
}

/** The addresses to bind for a host; a name stops the thread for its look-up. @internal */
export function bindable(
  host: string,
  port: number,
  datagram: boolean,
): RawAddress[] {
  const raw = numericAddress(host, port);
  if (raw !== null) return [raw];
  return lookUpSync({ host, port, datagram, passive: true });
}

/** Bind the first address that can be bound. @internal */
export function firstOf(
  addresses: readonly RawAddress[],
  open: (raw: RawAddress) => number,
): number {
  let failure: unknown = new SystemError(ERRNO.EADDRNOTAVAIL!, "bind");
  for (const raw of addresses) {
    try {
      return open(raw);
    } catch (error) {
      failure = error;
    }
  }
  throw failure;
}

function listenTcp(options: TcpListenOptions): TcpListener {
  const port = checkedPort(options.port ?? 0, "listen");
  const host = checkedHost(options.hostname, "listen", "0.0.0.0");
  const backlog = backlogOf(options.backlog ?? options.tcpBacklog);
  const what = `${host}:${port}`;
  const fd = firstOf(
    bindable(host, port, false),
    (raw) =>
      openFor(raw, SOCK_STREAM, (fd) => {
        setOption(fd, SOL_SOCKET, SO_REUSEADDR, 1);
        if (options.reusePort === true) {
          setIfKnown(fd, SOL_SOCKET, SO_REUSEPORT);
        }
        // Accepted sockets inherit it: no call per connection.
        if (options.noDelay !== false) {
          setOption(fd, IPPROTO_TCP, TCP_NODELAY, 1);
        }
        bindSocket(fd, raw, what);
        listenSocket(fd, backlog, what);
      }),
  );
  return new Listener(
    adopt(fd),
    tcpAddr(ownAddress(fd)),
    (fd, raw) => new TcpConn(fd, tcpAddr(raw)),
    null,
  );
}

function listenUnix(options: UnixListenOptions): UnixListener {
  const path = checkedPath(options.path, "listen");
  const backlog = backlogOf(options.backlog);
  const raw = unixAddress(path);
  const fd = openFor(raw, SOCK_STREAM, (fd) => {
    bindSocket(fd, raw, path);
    listenSocket(fd, backlog, path);
  });
  return new Listener(
    adopt(fd),
    { transport: "unix", path },
    (fd, raw) => new UnixConn(fd, unixAddr(raw)),
    pathOf(raw, raw.length)!.startsWith("\0") ? null : path,
  );
}

function backlogOf(backlog: number | undefined): number {
  if (backlog === undefined) return BACKLOG;
  return Math.min(checkedCount(backlog, "backlog", "listen"), 2 ** 31 - 1);
}

/**
 * Listen for TCP connections. Synchronous, as `Deno.listen`: a host *name*
 * stops the thread for its look-up, an address does not.
 *
 * @throws {SystemError} EADDRINUSE and the like.
 *
 * @example
 * ```ts
 * import { connect, listen } from "../net.ts";
 *
 * using listener = listen({ hostname: "127.0.0.1", port: 0 });
 * using client = await connect({ port: listener.addr.port });
 * using server = await listener.accept();
 * await client.write(new TextEncoder().encode("hello"));
 * const p = new Uint8Array(16);
 * if (await server.read(p) !== 5) throw new Error("not five bytes");
 * ```
 */
export function listen(options: TcpListenOptions): TcpListener;
/** Listen on a Unix socket; its file is removed when the listener is closed. */
export function listen(options: UnixListenOptions): UnixListener;
export function listen(
  options: TcpListenOptions | UnixListenOptions,
): TcpListener | UnixListener {
  checkOptions(options, "listen");
  switch (options.transport) {
    case undefined:
    case "tcp":
      return listenTcp(options as TcpListenOptions);
    case "unix":
      return listenUnix(options);
    default:
      return unknownTransport(
        (options as { transport: unknown }).transport,
        "listen",
      );
  }
}
