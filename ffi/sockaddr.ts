/**
 * `struct sockaddr_*` and what people write instead of them.
 *
 * The traps it guards: ports and addresses are in network byte order while
 * the family is in the machine's; macOS puts a length byte in front; a Unix
 * path may be absent (nobody bound it), abstract (a leading NUL, Linux), or
 * fill its 108 bytes without a NUL at the end.
 *
 * @module
 */

import { libc } from "./libc.ts";
import { AF_INET, AF_INET6, AF_UNIX, AF_UNSPEC } from "./socket_constants.ts";

/** An IP address and a port. */
export interface InetAddress {
  /** The IP address as text. */
  hostname: string;
  /** The port. */
  port: number;
}

/** A `struct sockaddr` as the kernel takes it: exactly its length. */
export type RawAddress = Uint8Array<ArrayBuffer>;

/** Room for any address: `struct sockaddr_storage`. */
export const SOCKADDR_SIZE = 128;

const INET_SIZE = 16;
const INET6_SIZE = 28;
const PATH_AT = 2;
const LONGEST_PATH = Deno.build.os === "darwin" ? 104 : 108;
const LENGTH_FIRST = Deno.build.os === "darwin";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** A NUL-terminated string for C. */
export function cString(text: string): Uint8Array<ArrayBuffer> {
  return encoder.encode(text + "\0");
}

/** The family of an address, AF_INET and so on. */
export function familyOf(raw: Uint8Array): number {
  return LENGTH_FIRST ? raw[1]! : raw[0]! | raw[1]! << 8;
}

function withFamily(size: number, family: number): RawAddress {
  const raw = new Uint8Array(size);
  if (LENGTH_FIRST) {
    raw[0] = size;
    raw[1] = family;
  } else {
    raw[0] = family & 255;
    raw[1] = family >> 8;
  }
  return raw;
}

/** Set the port of an IP address in place. */
export function setPort(raw: RawAddress, port: number): RawAddress {
  raw[2] = port >> 8;
  raw[3] = port & 255;
  return raw;
}

const DOTTED = /^(0|[1-9]\d{0,2})(\.(0|[1-9]\d{0,2})){3}$/;

/**
 * The four bytes of an IPv4 address in dotted decimal; null if it is none. A
 * leading zero makes a number octal to the system, so that is left to it.
 */
export function parseIPv4(text: string): number[] | null {
  if (!DOTTED.test(text)) return null;
  const bytes = text.split(".").map(Number);
  return bytes.some((byte) => byte > 255) ? null : bytes;
}

/** The sixteen bytes of an IPv6 address (without a zone); null if it is none. */
export function parseIPv6(text: string): Uint8Array | null {
  if (!text.includes(":")) return null;
  const bytes = new Uint8Array(16);
  return libc().inet_pton(AF_INET6, cString(text), bytes) === 1 ? bytes : null;
}

/**
 * The address of a numeric host, `"127.0.0.1"` or `"::1"`; null if it is a
 * name, which `ffi/resolve.ts` looks up.
 */
export function numericAddress(host: string, port: number): RawAddress | null {
  const v4 = parseIPv4(host);
  if (v4 !== null) {
    const raw = withFamily(INET_SIZE, AF_INET);
    raw.set(v4, 4);
    return setPort(raw, port);
  }
  const v6 = parseIPv6(host);
  if (v6 === null) return null;
  const raw = withFamily(INET6_SIZE, AF_INET6);
  raw.set(v6, 8);
  return setPort(raw, port);
}

/**
 * The address of a Unix socket.
 *
 * @throws {RangeError} If the path is too long, or has a NUL but in front.
 */
export function unixAddress(path: string): RawAddress {
  const bytes = encoder.encode(path);
  // An abstract name has no NUL at the end; each of its bytes counts.
  const abstract = path.startsWith("\0");
  const size = PATH_AT + bytes.length + (abstract ? 0 : 1);
  if (size > PATH_AT + LONGEST_PATH) {
    throw new RangeError(
      `Cannot use a Unix socket: the path is longer than ${
        LONGEST_PATH - 1
      } bytes: ${path}`,
    );
  }
  if (path === "" || path.includes("\0", 1)) {
    throw new RangeError(
      `Cannot use a Unix socket: the path is empty or has a NUL in it`,
    );
  }
  const raw = withFamily(size, AF_UNIX);
  raw.set(bytes, PATH_AT);
  return raw;
}

/** Host and port of an IP address; of any other, nothing. */
export function inetOf(raw: Uint8Array): InetAddress {
  const port = raw[2]! << 8 | raw[3]!;
  switch (familyOf(raw)) {
    case AF_INET:
      return { hostname: `${raw[4]}.${raw[5]}.${raw[6]}.${raw[7]}`, port };
    case AF_INET6:
      return { hostname: ipv6Text(raw), port };
    default:
      return { hostname: "", port: 0 };
  }
}

/** An IPv4 address and its port in one number; null for any other address. */
export function packInet(raw: Uint8Array): number | null {
  if (familyOf(raw) !== AF_INET) return null;
  const port = raw[2]! << 8 | raw[3]!;
  return (raw[4]! << 16 | raw[5]! << 8 | raw[6]!) * 2 ** 24 +
    raw[7]! * 2 ** 16 + port;
}

/** What {@linkcode packInet} has packed. */
export function unpackInet(packed: number): InetAddress {
  const byte = (from: number): number => Math.floor(packed / 2 ** from) % 256;
  return {
    hostname: [40, 32, 24, 16].map(byte).join("."),
    port: packed % 2 ** 16,
  };
}

/** The path of a Unix address of `length` bytes; null if it has none. */
export function pathOf(raw: Uint8Array, length: number): string | null {
  if (length <= PATH_AT || familyOf(raw) === AF_UNSPEC) return null;
  const bytes = raw.subarray(PATH_AT, Math.min(length, raw.length));
  if (bytes[0] === 0) return decoder.decode(bytes);
  const end = bytes.indexOf(0);
  return decoder.decode(end < 0 ? bytes : bytes.subarray(0, end));
}

const textBytes = new Uint8Array(64);
const hostBytes = new Uint8Array(16);

function ipv6Text(raw: Uint8Array): string {
  hostBytes.set(raw.subarray(8, 24));
  libc().inet_ntop(AF_INET6, hostBytes, textBytes, textBytes.length);
  return decoder.decode(textBytes.subarray(0, textBytes.indexOf(0)));
}
