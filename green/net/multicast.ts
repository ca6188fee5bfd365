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

/** The descriptor; throws once it is closed, and says what was attempted. */
type Open = (action: string) => number;

// deno-lint-ignore require-await
async function set(
  open: Open,
  [level, name]: readonly [level: number, name: number],
  value: number,
  action: string,
): Promise<void> {
  setOption(open(action), level, name, value, `Cannot ${action}`);
}

// deno-lint-ignore require-await
async function setBytes(
  open: Open,
  [level, name]: readonly [level: number, name: number],
  value: Uint8Array<ArrayBuffer>,
  action: string,
): Promise<void> {
  setOptionBytes(open(action), level, name, value, `Cannot ${action}`);
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

async function setTTL(open: Open, group: string, ttl: number): Promise<void> {
  const action = `set the TTL for ${group}`;
  const value = checkedInteger(ttl, `${action}: it`, [-1, 255]);
  await set(open, [IPPROTO_IP, IP_MULTICAST_TTL], value, action);
}

/** Join an IPv4 group on the interface with an address. */
export async function joinV4(
  open: Open,
  address: string,
  networkInterface: string,
): Promise<MulticastV4Membership> {
  const where = `${address} on ${networkInterface}`;
  const group = parseIPv4(address);
  const from = parseIPv4(networkInterface);
  if (group === null || from === null) {
    const culprit = group === null ? "the group" : "the interface";
    throw new TypeError(`Cannot join ${where}: ${culprit} is no IPv4 address`);
  }
  // struct ip_mreq: group, interface.
  const request = new Uint8Array([...group, ...from]);
  const join = [IPPROTO_IP, IP_ADD_MEMBERSHIP] as const;
  const drop = [IPPROTO_IP, IP_DROP_MEMBERSHIP] as const;
  const loop = [IPPROTO_IP, IP_MULTICAST_LOOP] as const;
  await setBytes(open, join, request, `join ${where}`);
  return {
    leave: () => setBytes(open, drop, request, `leave ${where}`),
    setLoopback: (loopback) =>
      set(open, loop, loopback ? 1 : 0, `set loopback for ${address}`),
    setTTL: (ttl) => setTTL(open, address, ttl),
  };
}

/** Join an IPv6 group on the interface with an index. */
export async function joinV6(
  open: Open,
  address: string,
  networkInterface: number,
): Promise<MulticastV6Membership> {
  const where = `${address} on interface ${networkInterface}`;
  const group = typeof address === "string" ? parseIPv6(address) : null;
  if (group === null) {
    throw new TypeError(`Cannot join ${where}: the group is no IPv6 address`);
  }
  const what = `join ${address}: the index of the interface`;
  const index = checkedInteger(networkInterface, what, [0, 2 ** 32 - 1]);
  // struct ipv6_mreq: group, index.
  const request = new Uint8Array(20);
  request.set(group);
  new DataView(request.buffer).setUint32(16, index, true);
  const join = [IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP] as const;
  const drop = [IPPROTO_IPV6, IPV6_DROP_MEMBERSHIP] as const;
  const loop = [IPPROTO_IPV6, IPV6_MULTICAST_LOOP] as const;
  await setBytes(open, join, request, `join ${where}`);
  return {
    leave: () => setBytes(open, drop, request, `leave ${where}`),
    setLoopback: (loopback) =>
      set(open, loop, loopback ? 1 : 0, `set loopback for ${address}`),
  };
}
