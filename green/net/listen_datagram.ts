/**
 * `listenDatagram`: a socket for UDP or Unix datagrams.
 *
 * The trap it guards: whatever fails on the way, the descriptor is closed
 * again.
 *
 * @module
 */

import { familyOf, unixAddress } from "../../ffi/sockaddr.ts";
import {
  bindSocket,
  openFor,
  openSocket,
  ownAddress,
  setOption,
} from "../../ffi/socket.ts";
import {
  AF_INET6,
  AF_UNIX,
  IP_MULTICAST_LOOP,
  IPPROTO_IP,
  IPPROTO_IPV6,
  IPV6_MULTICAST_LOOP,
  SO_BROADCAST,
  SO_REUSEADDR,
  SO_REUSEPORT,
  SOCK_DGRAM,
  SOL_SOCKET,
} from "../../ffi/socket_constants.ts";
import { checkedBoolean } from "../../hubs/checks.ts";
import { addressOf, DatagramConn } from "./datagram.ts";
import { adopt } from "./descriptor.ts";
import { bindable, firstOf, setIfKnown } from "./listen.ts";
import {
  checkedHost,
  checkedPath,
  checkedPort,
  checkOptions,
  type UdpListenOptions,
  type UnixDatagramOptions,
  unknownTransport,
} from "./options.ts";

function listenUdp(options: UdpListenOptions): DatagramConn {
  const port = checkedPort(options.port ?? 0, "listen");
  const host = checkedHost(options.hostname, "listen", "0.0.0.0");
  const check = (value: unknown, what: string): boolean =>
    checkedBoolean(value, what, "listen");
  const reuseAddress = check(options.reuseAddress, "reuseAddress");
  const reusePort = check(options.reusePort, "reusePort");
  const loopback = check(options.loopback, "loopback");
  const fd = firstOf(
    bindable(host, port, true),
    (raw) =>
      openFor(raw, SOCK_DGRAM, (fd) => {
        setOption(fd, SOL_SOCKET, SO_BROADCAST, 1);
        if (reuseAddress) setOption(fd, SOL_SOCKET, SO_REUSEADDR, 1);
        if (reusePort) setIfKnown(fd, SOL_SOCKET, SO_REUSEPORT);
        // The kernel's own default is on.
        const v6 = familyOf(raw) === AF_INET6;
        setOption(
          fd,
          v6 ? IPPROTO_IPV6 : IPPROTO_IP,
          v6 ? IPV6_MULTICAST_LOOP : IP_MULTICAST_LOOP,
          loopback ? 1 : 0,
        );
        bindSocket(fd, raw, `${host}:${port}`);
      }),
  );
  const own = ownAddress(fd);
  const family = familyOf(own);
  return new DatagramConn(
    adopt(fd),
    family,
    addressOf(own, own.length, family),
  );
}

function listenUnixDatagram(options: UnixDatagramOptions): DatagramConn {
  if (options.path === undefined) {
    const fd = adopt(openSocket(AF_UNIX, SOCK_DGRAM));
    return new DatagramConn(fd, AF_UNIX, {
      transport: "unixpacket",
      path: null as unknown as string,
    });
  }
  const path = checkedPath(options.path, "listen");
  const raw = unixAddress(path);
  const fd = openFor(raw, SOCK_DGRAM, (fd) => bindSocket(fd, raw, path));
  return new DatagramConn(adopt(fd), AF_UNIX, {
    transport: "unixpacket",
    path,
  });
}

/**
 * Open a socket for datagrams: UDP.
 *
 * @throws {SystemError} EADDRINUSE and the like; EAI_NONAME and the like if the
 * name could not be looked up.
 * @throws {TypeError} If an option has the wrong type.
 * @throws {RangeError} If `port` is out of range, or `hostname` has a NUL in it.
 * @throws {URIError} If `hostname` can be neither a name nor an address.
 *
 * @example
 * ```ts
 * import { listenDatagram } from "../net.ts";
 *
 * using a = listenDatagram({ transport: "udp", hostname: "127.0.0.1", port: 0 });
 * using b = listenDatagram({ transport: "udp", hostname: "127.0.0.1", port: 0 });
 * await a.send(new TextEncoder().encode("hello"), b.addr);
 * const [data, from] = await b.receive();
 * if (data.length !== 5 || !("port" in from)) throw new Error("not hello");
 * ```
 */
export function listenDatagram(options: UdpListenOptions): DatagramConn;
/**
 * Open a socket for datagrams: Unix.
 *
 * @throws {SystemError} EADDRINUSE if the file is there already, and the like.
 * @throws {TypeError} If `path` is no string.
 * @throws {RangeError} If it is empty, too long, or has a NUL but in front.
 */
export function listenDatagram(options: UnixDatagramOptions): DatagramConn;
export function listenDatagram(
  options: UdpListenOptions | UnixDatagramOptions,
): DatagramConn {
  checkOptions(options, "listen");
  switch (options.transport) {
    case "udp":
      return listenUdp(options);
    case "unixpacket":
      return listenUnixDatagram(options);
    default:
      return unknownTransport(
        (options as { transport: unknown }).transport,
        "listen",
      );
  }
}
