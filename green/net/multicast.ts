/**
 * Multicast groups of datagram sockets, as `Deno.DatagramConn` has them.
 *
 * @module
 */

import { parseIPv4, parseIPv6 } from "../../ffi/sockaddr.ts";
import { setOption, setOptionBytes } from "../../ffi/socket.ts";
import {
  IP_ADD_MEMBERSHIP,
  IP_DROP_MEMBERSHIP,
  IP_MULTICAST_LOOP,
  IP_MULTICAST_TTL,
  IPPROTO_IP,
  IPPROTO_IPV6,
  IPV6_ADD_MEMBERSHIP,
  IPV6_DROP_MEMBERSHIP,
  IPV6_MULTICAST_LOOP,
} from "../../ffi/socket_constants.ts";

/** Membership of an IPv4 multicast group. */
export interface MulticastV4Membership {
  /** Leave the group. */
  leave: () => Promise<void>;
  /** Get one's own multicasts too, or not. */
  setLoopback: (loopback: boolean) => Promise<void>;
  /** How many routers multicasts may pass, up to 255; -1: the system's default. */
  setTTL: (ttl: number) => Promise<void>;
}

/** Membership of an IPv6 multicast group. */
export interface MulticastV6Membership {
  /** Leave the group. */
  leave: () => Promise<void>;
  /** Get one's own multicasts too, or not. */
  setLoopback: (loopback: boolean) => Promise<void>;
}

/** The descriptor; throws once it is closed. */
type Open = () => number;

// deno-lint-ignore require-await
async function set(open: Open, level: number, name: number, value: number) {
  setOption(open(), level, name, value);
}

/** An integer as users give it. */
function checkedInteger(
  value: unknown,
  what: string,
  [least, most]: readonly [least: number, most: number],
): number {
  if (typeof value !== "number") {
    throw new TypeError(`Cannot ${what} is no number: ${typeof value}`);
  }
  if (!(Number.isInteger(value) && value >= least && value <= most)) {
    throw new RangeError(`Cannot ${what} is out of range: ${value}`);
  }
  return value;
}

// deno-lint-ignore require-await
async function setTTL(open: Open, ttl: number): Promise<void> {
  const value = checkedInteger(ttl, "set the TTL: it", [-1, 255]);
  setOption(open(), IPPROTO_IP, IP_MULTICAST_TTL, value);
}

/** Join an IPv4 group on the interface with an address. */
// deno-lint-ignore require-await
export async function joinV4(
  open: Open,
  address: string,
  networkInterface: string,
): Promise<MulticastV4Membership> {
  const group = parseIPv4(address);
  const from = parseIPv4(networkInterface);
  if (group === null || from === null) {
    throw new TypeError("Cannot join a group: no IPv4 addresses");
  }
  // struct ip_mreq: group, interface.
  const request = new Uint8Array([...group, ...from]);
  const change = (name: number): void =>
    setOptionBytes(open(), IPPROTO_IP, name, request);
  change(IP_ADD_MEMBERSHIP);
  return {
    // deno-lint-ignore require-await
    leave: async () => change(IP_DROP_MEMBERSHIP),
    setLoopback: (loopback) =>
      set(open, IPPROTO_IP, IP_MULTICAST_LOOP, loopback ? 1 : 0),
    setTTL: (ttl) => setTTL(open, ttl),
  };
}

/** Join an IPv6 group on the interface with an index. */
// deno-lint-ignore require-await
export async function joinV6(
  open: Open,
  address: string,
  networkInterface: number,
): Promise<MulticastV6Membership> {
  const group = typeof address === "string" ? parseIPv6(address) : null;
  if (group === null) {
    throw new TypeError("Cannot join a group: no IPv6 address");
  }
  const what = "join a group: the index of the interface";
  const index = checkedInteger(networkInterface, what, [0, 2 ** 32 - 1]);
  // struct ipv6_mreq: group, index.
  const request = new Uint8Array(20);
  request.set(group);
  new DataView(request.buffer).setUint32(16, index, true);
  const change = (name: number): void =>
    setOptionBytes(open(), IPPROTO_IPV6, name, request);
  change(IPV6_ADD_MEMBERSHIP);
  return {
    // deno-lint-ignore require-await
    leave: async () => change(IPV6_DROP_MEMBERSHIP),
    setLoopback: (loopback) =>
      set(open, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, loopback ? 1 : 0),
  };
}
