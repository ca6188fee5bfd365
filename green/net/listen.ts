/**
 * `listen`: a socket for TCP or on a Unix path, ready to accept.
 *
 * The trap it guards: whatever fails on the way, the descriptor is closed
 * again; and what the system does not know (SO_REUSEPORT) is no failure.
 *
 * @module
 */

import { EINVAL, ERRNO } from "../../ffi/constants.ts";
import { SystemError } from "../../ffi/errors.ts";
import { lookUpSync } from "../../ffi/resolve.ts";
import {
  numericAddress,
  packInet,
  pathOf,
  type RawAddress,
  unixAddress,
} from "../../ffi/sockaddr.ts";
import {
  bindSocket,
  listenSocket,
  openFor,
  ownAddress,
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
import { checkedBoolean } from "../../hubs/checks.ts";
import { tcpAddr, TcpConn, unixAddr, UnixConn } from "./conn.ts";
import { adopt } from "./descriptor.ts";
import { Listener, type TcpListener, type UnixListener } from "./listener.ts";
import {
  checkedCount,
  checkedHost,
  checkedPath,
  checkedPort,
  checkName,
  checkOptions,
  type TcpListenOptions,
  type UnixListenOptions,
  unknownTransport,
} from "./options.ts";

const ENOPROTOOPT = ERRNO.ENOPROTOOPT;
const BACKLOG = 1024;
/** What fits into an int. */
const MAX_BACKLOG = 2 ** 31 - 1;

/** Set an option that the system may not have. @internal */
export function setIfKnown(fd: number, level: number, name: number): void {
  try {
    setOption(fd, level, name, 1);
  } catch (error) {
    const { errno } = error as SystemError;
    if (errno !== EINVAL && errno !== ENOPROTOOPT) throw error;
  }
}

/**
 * The addresses to bind for a host; a name stops the thread for its look-up.
 *
 * @throws {URIError} If it cannot be a name.
 * @internal
 */
export function bindable(
  host: string,
  port: number,
  datagram: boolean,
): RawAddress[] {
  const raw = numericAddress(host, port);
  if (raw !== null) return [raw];
  checkName(host, "listen");
  return lookUpSync({ host, port, datagram, passive: true });
}

/** Bind the first address that can be bound. @internal */
export function firstOf(
  addresses: readonly RawAddress[],
  open: (raw: RawAddress) => number,
): number {
  let failure: unknown = new SystemError(ERRNO.EADDRNOTAVAIL, "bind");
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
  const backlog = backlogOf(options.backlog, options.tcpBacklog);
  const reusePort = checkedBoolean(options.reusePort, "reusePort", "listen");
  const noDelay = checkedBoolean(options.noDelay, "noDelay", "listen", true);
  const what = `${host}:${port}`;
  const fd = firstOf(
    bindable(host, port, false),
    (raw) =>
      openFor(raw, SOCK_STREAM, (fd) => {
        setOption(fd, SOL_SOCKET, SO_REUSEADDR, 1);
        if (reusePort) setIfKnown(fd, SOL_SOCKET, SO_REUSEPORT);
        // Accepted sockets inherit it: no call per connection.
        if (noDelay) setOption(fd, IPPROTO_TCP, TCP_NODELAY, 1);
        bindSocket(fd, raw, what);
        listenSocket(fd, backlog, what);
      }),
  );
  return new Listener(
    adopt(fd),
    tcpAddr(ownAddress(fd)),
    (fd, raw) => new TcpConn(fd, packInet(raw) ?? tcpAddr(raw)),
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
    (fd, raw, length) => new UnixConn(fd, unixAddr(raw.subarray(0, length))),
    pathOf(raw, raw.length)!.startsWith("\0") ? null : path,
  );
}

/** `denos` is of the same meaning, and may be 0. */
function backlogOf(backlog: number | undefined, denos?: number): number {
  const count = backlog !== undefined
    ? checkedCount(backlog, "backlog", "listen")
    : denos !== undefined
    ? checkedCount(denos, "tcpBacklog", "listen", 0)
    : BACKLOG;
  return Math.min(count, MAX_BACKLOG);
}

/**
 * Listen for TCP connections. Synchronous, as `Deno.listen`: a host *name*
 * stops the thread for its look-up, an address does not.
 *
 * @throws {SystemError} EADDRINUSE and the like; EAI_NONAME and the like if the
 * name could not be looked up.
 * @throws {TypeError} If an option has the wrong type.
 * @throws {RangeError} If `port` or `backlog` is out of range, or `hostname` has
 * a NUL in it.
 * @throws {URIError} If `hostname` can be neither a name nor an address.
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
/**
 * Listen on a Unix socket; its file is removed when the listener is closed.
 *
 * @throws {SystemError} EADDRINUSE if the file is there already, and the like.
 * @throws {TypeError} If an option has the wrong type.
 * @throws {RangeError} If `path` is empty, too long, or has a NUL but in front,
 * or `backlog` is out of range.
 */
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
