/**
 * `connect`: look the name up, then try one address after the other.
 *
 * The traps it guards: the time limit is for all of it together; a socket that
 * reports "writable" may as well have failed (SO_ERROR says which); a Unix
 * listener with a full backlog answers EAGAIN, and nothing to wait for; and
 * whatever goes wrong, the descriptor is closed.
 *
 * @module
 */

import { EAGAIN, ERRNO } from "../../ffi/constants.ts";
import { SystemError } from "../../ffi/errors.ts";
import { lookUp } from "../../ffi/resolve.ts";
import {
  familyOf,
  inetOf,
  numericAddress,
  type RawAddress,
  unixAddress,
} from "../../ffi/sockaddr.ts";
import {
  openSocket,
  peerAddress,
  setOption,
  startConnect,
  takeSocketError,
} from "../../ffi/socket.ts";
import {
  AF_UNIX,
  IPPROTO_TCP,
  SOCK_STREAM,
  TCP_NODELAY,
} from "../../ffi/socket_constants.ts";
import { checkedBoolean } from "../../hubs/checks.ts";
import { WRITE } from "../../hubs/poller.ts";
import { outer } from "../../hubs/thrown.ts";
import {
  assertMayWait,
  impatient,
  Limit,
  OwnedWait,
  yielded,
} from "../../hubs/wait.ts";
import { tcpAddr, TcpConn, UnixConn } from "./conn.ts";
import { adopt, checkedTimeout, giveBack } from "./descriptor.ts";
import {
  checkedHost,
  checkedPath,
  checkedPort,
  checkName,
  checkOptions,
  type ConnectOptions,
  type UnixConnectOptions,
  unknownTransport,
} from "./options.ts";

const EINPROGRESS = ERRNO.EINPROGRESS;
const EINTR = ERRNO.EINTR;
const EISCONN = ERRNO.EISCONN;
const UNSPECIFIED: readonly string[] = ["0.0.0.0", "::", "::ffff:0.0.0.0"];
const SHORTEST_PAUSE = 1;
const LONGEST_PAUSE = 50;

/** Waits until a connect has come to an end. */
class ConnectWait extends OwnedWait {
  constructor(fd: number) {
    super(WRITE, fd);
  }

  attempt(): void {
    this.succeed(undefined);
  }

  release(): void {}
}

/** Connect a new socket to `raw`. */
async function connectTo(
  raw: RawAddress,
  what: string,
  limit: Limit,
  noDelay = false,
): Promise<number> {
  const fd = adopt(openSocket(familyOf(raw), SOCK_STREAM));
  try {
    if (noDelay) setOption(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    let error = startConnect(fd, raw);
    const unix = familyOf(raw) === AF_UNIX;
    for (let ms = SHORTEST_PAUSE; unix && error === EAGAIN; ms *= 2) {
      await limit.pause(Math.min(ms, LONGEST_PAUSE));
      error = startConnect(fd, raw);
    }
    if (error === EINPROGRESS || error === EINTR) {
      const wait = new ConnectWait(fd);
      const promise = wait.begin(null);
      await limit.during(promise, wait.suspension!);
      error = takeSocketError(fd);
    }
    if (error !== 0 && error !== EISCONN) {
      throw new SystemError(error, "connect", `Cannot connect to ${what}`);
    }
    return fd;
  } catch (error) {
    giveBack(fd);
    throw error;
  }
}

async function connectTcp(options: ConnectOptions): Promise<TcpConn> {
  const port = checkedPort(options.port, "connect");
  const host = checkedHost(options.hostname, "connect", "127.0.0.1");
  const timeout = checkedTimeout(options.timeout, "connect", "timeout");
  const noDelay = checkedBoolean(options.noDelay, "noDelay", "connect", true);
  checkSignal(options.signal);
  using limit = new Limit(timeout, options.signal);
  limit.check();
  const numeric = numericAddress(host, port);
  if (numeric === null) checkName(host, "connect");
  const addresses = numeric !== null
    ? [numeric]
    : await limit.promise(() => lookUp({ host, port }));
  let failure: unknown = new SystemError(
    ERRNO.EADDRNOTAVAIL,
    "connect",
    `Cannot connect to ${host}:${port}`,
  );
  for (const raw of addresses) {
    limit.check();
    const { hostname } = inetOf(raw);
    const where = hostname.includes(":") ? `[${hostname}]` : hostname;
    let fd;
    try {
      fd = await connectTo(raw, `${where}:${port}`, limit, noDelay);
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      failure = error;
      continue;
    }
    return new TcpConn(fd, remoteOf(fd, raw, hostname));
  }
  throw failure;
}

/** The peer's address: the one asked for, unless that stands for this host. */
function remoteOf(fd: number, raw: RawAddress, hostname: string): Deno.NetAddr {
  if (!UNSPECIFIED.includes(hostname)) return tcpAddr(raw);
  try {
    return tcpAddr(peerAddress(fd));
  } catch {
    // It has reset the connection.
    return tcpAddr(raw);
  }
}

async function connectUnix(options: UnixConnectOptions): Promise<UnixConn> {
  const path = checkedPath(options.path, "connect");
  const timeout = checkedTimeout(options.timeout, "connect", "timeout");
  checkSignal(options.signal);
  const raw = unixAddress(path);
  using limit = new Limit(timeout, options.signal);
  limit.check();
  const fd = await connectTo(raw, path, limit);
  return new UnixConn(fd, { transport: "unix", path });
}

function checkSignal(signal: unknown): void {
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw new TypeError("Cannot connect: signal is no AbortSignal");
  }
}

/**
 * Connect over TCP. A name is looked up as the system does, off this thread,
 * and its addresses are tried in the system's order. A look-up that was
 * given up on (by `timeout`, `signal`, kill) goes on in the background: it may
 * keep the process alive until the resolver gives up, and occupies one of
 * Deno's few threads meanwhile.
 *
 * @throws {SystemError} ECONNREFUSED and the like, of the last address tried;
 * EAI_NONAME and the like if the name could not be looked up.
 * @throws {Timeout} After `timeout` ms in all.
 * @throws `signal.reason`, if it is aborted.
 * @throws {TypeError} If an option has the wrong type.
 * @throws {RangeError} If `port` is out of range, `timeout` is NaN, or `hostname`
 * has a NUL in it.
 * @throws {URIError} If `hostname` can be neither a name nor an address.
 * @throws {HubError} From MAINLOOP.
 *
 * @example
 * ```ts
 * import { connect, listen, serve } from "../net.ts";
 * import { spawn } from "../../mod.ts";
 *
 * using listener = listen({ hostname: "127.0.0.1", port: 0 });
 * const server = spawn(() =>
 *   serve(listener, (conn) => conn.readable.pipeTo(conn.writable))
 * );
 * using conn = await connect({ port: listener.addr.port, timeout: 1000 });
 * await conn.write(new Uint8Array([1, 2, 3]));
 * if (await conn.read(new Uint8Array(8)) !== 3) throw new Error("no echo");
 * listener.close();
 * await server.wait();
 * ```
 */
export function connect(options: ConnectOptions): Promise<TcpConn>;
/**
 * Connect over a Unix socket.
 *
 * @throws {SystemError} ENOENT, ECONNREFUSED and the like.
 * @throws {Timeout} After `timeout` ms.
 * @throws `signal.reason`, if it is aborted.
 * @throws {TypeError} If an option has the wrong type.
 * @throws {RangeError} If `path` is empty, too long, or has a NUL but in front,
 * or `timeout` is NaN.
 * @throws {HubError} From MAINLOOP.
 */
export function connect(options: UnixConnectOptions): Promise<UnixConn>;
export function connect(
  options: ConnectOptions | UnixConnectOptions,
): Promise<TcpConn | UnixConn> {
  return outer(connectBy(options));
}

async function connectBy(
  options: ConnectOptions | UnixConnectOptions,
): Promise<TcpConn | UnixConn> {
  assertMayWait("connect");
  checkOptions(options, "connect");
  try {
    switch (options.transport) {
      case undefined:
      case "tcp":
        return await connectTcp(options as ConnectOptions);
      case "unix":
        return await connectUnix(options);
      default:
        return unknownTransport(
          (options as { transport: unknown }).transport,
          "connect",
        );
    }
  } catch (error) {
    // Who tries again and again, and always fails at once, lets others run.
    const tried = error instanceof SystemError || options.signal?.aborted;
    if (tried && impatient()) await yielded(undefined);
    throw error;
  }
}
