/**
 * The options of `connect`, `listen` and `listenDatagram`: Deno's, and a few
 * more; and the checks of what people pass.
 *
 * @module
 */

import { numericAddress, parseIPv6 } from "../../ffi/sockaddr.ts";

/** How to {@linkcode connect} over TCP. */
export interface ConnectOptions {
  /** The port. */
  port: number;
  /** An IP address or a host name; default `"127.0.0.1"`. */
  hostname?: string | undefined;
  /** Over TCP; the default. */
  transport?: "tcp" | undefined;
  /**
   * How long it may take in all, name look-up included, ms; null: no limit. A
   * look-up that was given up on goes on in the background: it may keep the
   * process alive until the resolver gives up, and occupies one of Deno's few
   * threads meanwhile.
   */
  timeout?: number | null | undefined;
  /** Gives up with `signal.reason`. */
  signal?: AbortSignal | undefined;
  /** Send small writes at once; default true. */
  noDelay?: boolean | undefined;
}

/** How to {@linkcode connect} over a Unix socket. */
export interface UnixConnectOptions extends Deno.UnixConnectOptions {
  /** How long it may take in all, ms; null: no limit. */
  timeout?: number | null | undefined;
  /** Gives up with `signal.reason`. */
  signal?: AbortSignal | undefined;
}

/** How to {@linkcode listen} for TCP connections. */
export interface TcpListenOptions {
  /** The port; 0, the default, is any free one. */
  port?: number | undefined;
  /** An IP address or a host name; default `"0.0.0.0"`, which is all. */
  hostname?: string | undefined;
  /** Over TCP; the default. */
  transport?: "tcp" | undefined;
  /** How many connections may wait to be accepted; default 1024. */
  backlog?: number | undefined;
  /** What Deno calls `backlog`; as there, it may be 0. */
  tcpBacklog?: number | undefined;
  /** Let several listeners share the port (SO_REUSEPORT); default false. */
  reusePort?: boolean | undefined;
  /** Whether accepted connections send small writes at once; default true. */
  noDelay?: boolean | undefined;
}

/** How to {@linkcode listen} on a Unix socket. */
export interface UnixListenOptions extends Deno.UnixListenOptions {
  /** Over a Unix socket. */
  transport: "unix";
  /** How many connections may wait to be accepted; default 1024. */
  backlog?: number | undefined;
}

/** How to {@linkcode listenDatagram} over UDP. */
export interface UdpListenOptions {
  /** The port; 0 is any free one. */
  port?: number | undefined;
  /** An IP address or a host name; default `"0.0.0.0"`, which is all. */
  hostname?: string | undefined;
  /** Over UDP. */
  transport: "udp";
  /** Share the address with others that do so (SO_REUSEADDR); default false. */
  reuseAddress?: boolean | undefined;
  /** Let several sockets share the port (SO_REUSEPORT); default false. */
  reusePort?: boolean | undefined;
  /** Get one's own multicasts too; default false. */
  loopback?: boolean | undefined;
}

/** How to {@linkcode listenDatagram} on a Unix socket. */
export interface UnixDatagramOptions {
  /** The path; without one it can send, and not receive. */
  path?: string | undefined;
  /** Over a Unix datagram socket. */
  transport: "unixpacket";
}

/** Throw unless `options` is an object. */
export function checkOptions(options: unknown, action: string): void {
  if (typeof options !== "object" || options === null) {
    throw new TypeError(`Cannot ${action}: the options are no object`);
  }
}

/**
 * A port as users give it.
 *
 * @throws {TypeError} If it is no number.
 * @throws {RangeError} If it is no integer from 0 to 65535.
 */
export function checkedPort(port: unknown, action: string): number {
  if (typeof port !== "number") {
    throw new TypeError(`Cannot ${action}: port is no number: ${typeof port}`);
  }
  if (!(Number.isInteger(port) && port >= 0 && port <= 65535)) {
    throw new RangeError(`Cannot ${action}: port is out of range: ${port}`);
  }
  return port;
}

/**
 * A host as users give it; of an IPv6 address in brackets, what is in them.
 *
 * @throws {TypeError} If it is no string.
 * @throws {URIError} If it is empty, or anything else in brackets, as Deno's.
 * @throws {RangeError} If it has a NUL in it.
 */
export function checkedHost(
  host: unknown,
  action: string,
  otherwise: string,
): string {
  if (host === undefined) return otherwise;
  if (typeof host !== "string") {
    throw new TypeError(
      `Cannot ${action}: hostname is no string: ${typeof host}`,
    );
  }
  if (host === "") throw new URIError(`Cannot ${action}: hostname is empty`);
  if (host.includes("\0")) {
    throw new RangeError(`Cannot ${action}: hostname has a NUL in it`);
  }
  if (!host.startsWith("[") || !host.endsWith("]")) return host;
  const address = host.slice(1, -1);
  if (parseIPv6(address.replace(ZONE, "")) === null) {
    throw new URIError(
      `Cannot ${action}: hostname is no IPv6 address: ${host}`,
    );
  }
  return address;
}

const DOTTED_NAME = /^[\w#-]{1,255}(\.[\w#-]{1,255})*\.?$/;
/** The system knows it, "%eth0". */
const ZONE = /%.*/s;

/**
 * Throw unless the resolver may be asked for `host`: letters, digits, `-`, `_`
 * and `#`, with dots between; or an address with a zone.
 *
 * @throws {URIError} If it is something else, as Deno's.
 */
export function checkName(host: string, action: string): void {
  if (DOTTED_NAME.test(host)) return;
  const address = host.replace(ZONE, "");
  if (address !== host && numericAddress(address, 0) !== null) return;
  throw new URIError(`Cannot ${action}: hostname is no host name: ${host}`);
}

/** A path as users give it. */
export function checkedPath(path: unknown, action: string): string {
  if (typeof path !== "string") {
    throw new TypeError(`Cannot ${action}: path is no string: ${typeof path}`);
  }
  return path;
}

/**
 * A whole number as users give it, of at least `least`; it may be Infinity.
 *
 * @throws {TypeError} If it is no number.
 * @throws {RangeError} If it is no such number.
 */
export function checkedCount(
  count: unknown,
  what: string,
  action: string,
  least = 1,
): number {
  if (typeof count !== "number") {
    throw new TypeError(
      `Cannot ${action}: ${what} is no number: ${typeof count}`,
    );
  }
  if (!(count >= least)) {
    throw new RangeError(
      `Cannot ${action}: ${what} is below ${least}: ${count}`,
    );
  }
  if (!Number.isInteger(count) && count !== Infinity) {
    throw new RangeError(`Cannot ${action}: ${what} is no integer: ${count}`);
  }
  return count;
}

/** Complain about an unknown transport. */
export function unknownTransport(transport: unknown, action: string): never {
  throw new TypeError(
    `Cannot ${action}: unknown transport: ${JSON.stringify(transport)}`,
  );
}
