/**
 * Socket constants under their C names (socket(7), tcp(7), ip(7), ipv6(7)).
 *
 * Pure data, by platform: beside the classics hardly a number is shared.
 *
 * @module
 */

const darwin = Deno.build.os === "darwin";

// socket(2)
export const AF_UNSPEC = 0;
export const AF_UNIX = 1;
export const AF_INET = 2;
export const AF_INET6: number = darwin ? 30 : 10;
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
/** 0 where socket(2) takes no flags. */
export const SOCK_NONBLOCK: number = darwin ? 0 : 0o4000;
/** 0 where socket(2) takes no flags. */
export const SOCK_CLOEXEC: number = darwin ? 0 : 0o2000000;

// send(2), shutdown(2)
export const MSG_NOSIGNAL: number = darwin ? 0x80000 : 0x4000;
export const SHUT_WR = 1;

// setsockopt(2)
export const SOL_SOCKET: number = darwin ? 0xffff : 1;
export const SO_REUSEADDR: number = darwin ? 0x4 : 2;
export const SO_ERROR: number = darwin ? 0x1007 : 4;
export const SO_BROADCAST: number = darwin ? 0x20 : 6;
export const SO_KEEPALIVE: number = darwin ? 0x8 : 9;
export const SO_LINGER: number = darwin ? 0x80 : 13;
export const SO_REUSEPORT: number = darwin ? 0x200 : 15;
export const IPPROTO_IP = 0;
export const IPPROTO_TCP = 6;
export const IPPROTO_IPV6 = 41;
export const TCP_NODELAY = 1;
export const IP_MULTICAST_TTL: number = darwin ? 10 : 33;
export const IP_MULTICAST_LOOP: number = darwin ? 11 : 34;
export const IP_ADD_MEMBERSHIP: number = darwin ? 12 : 35;
export const IP_DROP_MEMBERSHIP: number = darwin ? 13 : 36;
export const IPV6_MULTICAST_LOOP: number = darwin ? 11 : 19;
export const IPV6_ADD_MEMBERSHIP: number = darwin ? 12 : 20;
export const IPV6_DROP_MEMBERSHIP: number = darwin ? 13 : 21;

// getaddrinfo(3)
export const AI_PASSIVE = 1;
