/**
 * Host names, as the system resolves them: `getaddrinfo`, so `/etc/hosts` and
 * `nsswitch.conf` count.
 *
 * The traps it guards: a look-up may take seconds, so it runs on another
 * thread; and under a scoped grant Deno refuses to follow pointers, so the
 * answer is copied out with `memcpy`, address by address.
 *
 * @module
 */

import { SystemError } from "./errors.ts";
import { libc } from "./libc.ts";
import { cString, type RawAddress, setPort } from "./sockaddr.ts";
import {
  AF_INET,
  AF_INET6,
  AF_UNSPEC,
  AI_PASSIVE,
  SOCK_DGRAM,
  SOCK_STREAM,
} from "./socket_constants.ts";

/** What to look up. */
export interface Lookup {
  /** The name. */
  readonly host: string;
  /** The port to put into each address. */
  readonly port: number;
  /** For datagrams rather than a stream. */
  readonly datagram?: boolean;
  /** For listening: only what can be bound. */
  readonly passive?: boolean;
}

const darwin = Deno.build.os === "darwin";
// struct addrinfo: four ints, a socklen_t, padding, three pointers.
const ADDRINFO_SIZE = 48;
const FAMILY_AT = 4;
const LENGTH_AT = 16;
const ADDRESS_AT = darwin ? 32 : 24;
const NEXT_AT = 40;

function hintsFor({ datagram, passive }: Lookup): Uint8Array<ArrayBuffer> {
  const hints = new Uint8Array(ADDRINFO_SIZE);
  const ints = new Int32Array(hints.buffer);
  ints[0] = passive ? AI_PASSIVE : 0;
  ints[1] = AF_UNSPEC;
  ints[2] = datagram ? SOCK_DGRAM : SOCK_STREAM;
  return hints;
}

/**
 * Look a name up on another thread: its addresses in the system's order.
 *
 * @throws {SystemError} EAI_NONAME and the like, from getaddrinfo(3).
 */
export async function lookUp(what: Lookup): Promise<RawAddress[]> {
  const c = libc();
  const out = new BigUint64Array(1);
  const name = cString(what.host);
  const rc = await c.getaddrinfo_elsewhere(name, null, hintsFor(what), out);
  return collect(what, rc, out[0]!);
}

/** The same on this thread, which stands still meanwhile: for `listen`. */
export function lookUpSync(what: Lookup): RawAddress[] {
  const c = libc();
  const out = new BigUint64Array(1);
  const rc = c.getaddrinfo(cString(what.host), null, hintsFor(what), out);
  return collect(what, rc, out[0]!);
}

function collect(what: Lookup, rc: number, list: bigint): RawAddress[] {
  if (rc !== 0) {
    // Linux has negative codes; elsewhere they would pass for errnos.
    const code = darwin ? -rc : rc;
    throw new SystemError(
      code,
      "getaddrinfo",
      `Cannot resolve the host name "${what.host}"`,
    );
  }
  const c = libc();
  const info = new Uint8Array(ADDRINFO_SIZE);
  const view = new DataView(info.buffer);
  const found: RawAddress[] = [];
  try {
    for (let at = list; at !== 0n; at = view.getBigUint64(NEXT_AT, true)) {
      c.memcpy_from(info, at, ADDRINFO_SIZE);
      const family = view.getInt32(FAMILY_AT, true);
      if (family !== AF_INET && family !== AF_INET6) continue;
      const raw = new Uint8Array(view.getUint32(LENGTH_AT, true));
      c.memcpy_from(raw, view.getBigUint64(ADDRESS_AT, true), raw.length);
      found.push(setPort(raw, what.port));
    }
  } finally {
    c.freeaddrinfo(list);
  }
  return found;
}
