/**
 * Connections by their transport: TCP and Unix.
 *
 * @module
 */

import { inetOf, pathOf, unpackInet } from "../../ffi/sockaddr.ts";
import { setOption } from "../../ffi/socket.ts";
import {
  IPPROTO_TCP,
  SO_KEEPALIVE,
  SOL_SOCKET,
  TCP_NODELAY,
} from "../../ffi/socket_constants.ts";
import { checkBoolean } from "../../hubs/checks.ts";
import { closedError } from "./descriptor.ts";
import { StreamConn } from "./stream_conn.ts";

/** A TCP connection. */
export class TcpConn extends StreamConn<Deno.NetAddr> implements Deno.TcpConn {
  /** @internal */
  protected override addressOf(
    raw: Uint8Array<ArrayBuffer> | number,
  ): Deno.NetAddr {
    if (typeof raw !== "number") return tcpAddr(raw);
    return { ...unpackInet(raw), transport: "tcp" };
  }

  /**
   * Send small writes at once (true, which is where connections start), or
   * let the kernel collect them.
   *
   * @throws {IOClosed} If the connection is closed.
   * @throws {TypeError} If `noDelay` is no boolean.
   */
  setNoDelay(noDelay = true): void {
    setFlag(this, IPPROTO_TCP, TCP_NODELAY, noDelay, "noDelay");
  }

  /**
   * Have the kernel probe whether the peer is still there.
   *
   * @throws {IOClosed} If the connection is closed.
   * @throws {TypeError} If `keepAlive` is no boolean.
   */
  setKeepAlive(keepAlive = true): void {
    setFlag(this, SOL_SOCKET, SO_KEEPALIVE, keepAlive, "keepAlive");
  }
}

function setFlag(
  conn: TcpConn,
  level: number,
  name: number,
  on: boolean,
  what: string,
): void {
  const fd = conn.fileno();
  if (fd < 0) throw closedError("set an option");
  checkBoolean(on, what, "set an option");
  setOption(fd, level, name, on ? 1 : 0);
}

/** A connection over a Unix stream socket. */
export class UnixConn extends StreamConn<Deno.UnixAddr>
  implements Deno.UnixConn {
  /** @internal */
  protected override addressOf(
    raw: Uint8Array<ArrayBuffer> | number,
  ): Deno.UnixAddr {
    // Never packed.
    return unixAddr(raw as Uint8Array<ArrayBuffer>);
  }
}

/** The address of a TCP socket. @internal */
export function tcpAddr(raw: Uint8Array): Deno.NetAddr {
  const { hostname, port } = inetOf(raw);
  return { hostname, port, transport: "tcp" };
}

/** The address of a Unix stream socket; as Deno's, null where there is none. @internal */
export function unixAddr(raw: Uint8Array): Deno.UnixAddr {
  return { transport: "unix", path: pathOf(raw, raw.length) as string };
}
