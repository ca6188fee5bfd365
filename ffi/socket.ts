/**
 * Sockets that never block: checked calls for what happens once a connection,
 * bare ones for what happens at every message.
 *
 * The traps it guards: errno is read in the very next expression; `send` has
 * MSG_NOSIGNAL, so a peer that went away is an error and no SIGPIPE; every
 * descriptor is born non-blocking and close-on-exec, and is closed again when
 * anything fails while it is being set up.
 *
 * @module
 */

import {
  EINTR,
  ERRNO,
  F_SETFD,
  F_SETFL,
  FD_CLOEXEC,
  O_NONBLOCK,
} from "./constants.ts";
import { check, retry } from "./errors.ts";
import { errno, errnoCell, libc } from "./libc.ts";
import {
  cString,
  familyOf,
  type RawAddress,
  SOCKADDR_SIZE,
} from "./sockaddr.ts";
import {
  AF_UNIX,
  MSG_NOSIGNAL,
  SHUT_WR,
  SO_ERROR,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
} from "./socket_constants.ts";

const ENOTCONN = ERRNO.ENOTCONN;
const EALREADY = ERRNO.EALREADY;
const EINPROGRESS = ERRNO.EINPROGRESS;

/** The address a call gave back, and how much of it counts. */
export const peer: Uint8Array<ArrayBuffer> = new Uint8Array(SOCKADDR_SIZE);
const peerLength = new Uint32Array(1);
const four = new Int32Array(1);
const fourLength = new Uint32Array(1);

/** The length of {@linkcode peer} after the call that filled it. */
export function peerSize(): number {
  return peerLength[0]!;
}

function tame(fd: number): number {
  if (SOCK_NONBLOCK === 0) {
    libc().fcntl(fd, F_SETFD, FD_CLOEXEC);
    libc().fcntl(fd, F_SETFL, O_NONBLOCK);
  }
  return fd;
}

/**
 * A new socket, non-blocking and close-on-exec.
 *
 * @throws {SystemError} If the kernel gives none.
 */
export function openSocket(family: number, type: number): number {
  const flags = SOCK_NONBLOCK | SOCK_CLOEXEC;
  const fd = retry(() => libc().socket(family, type | flags, 0));
  return tame(check(fd, "socket"));
}

/**
 * Two stream sockets connected to each other, non-blocking and close-on-exec.
 *
 * @throws {SystemError} If the kernel gives none.
 */
export function openSocketPair(): [fd: number, other: number] {
  const pair = new Int32Array(2);
  const type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
  const rc = retry(() => libc().socketpair(AF_UNIX, type, 0, pair));
  check(rc, "socketpair");
  return [tame(pair[0]!), tame(pair[1]!)];
}

/**
 * Give a socket its address.
 *
 * @throws {SystemError} EADDRINUSE and the like.
 */
export function bindSocket(fd: number, raw: RawAddress, what: string): void {
  const rc = retry(() => libc().bind(fd, raw, raw.length));
  check(rc, "bind", `Cannot listen on ${what}`);
}

/**
 * Make a socket a listening one.
 *
 * @throws {SystemError} EADDRINUSE and the like.
 */
export function listenSocket(fd: number, backlog: number, what: string): void {
  const rc = retry(() => libc().listen(fd, backlog));
  check(rc, "listen", `Cannot listen on ${what}`);
}

/** Start to connect; returns 0 or errno, EINPROGRESS above all. */
export function startConnect(fd: number, raw: RawAddress): number {
  if (retry(() => libc().connect(fd, raw, raw.length)) >= 0) return 0;
  const error = errnoCell !== null ? errnoCell[0]! : errno();
  // Interrupted, it goes on by itself; or it is asked for a second time.
  return error === EALREADY ? EINPROGRESS : error;
}

/** Take a connection; -errno if there is none. Its peer is {@linkcode peer}. */
export function acceptSocket(fd: number): number {
  const c = libc();
  for (;;) {
    peerLength[0] = SOCKADDR_SIZE;
    const rc = c.accept4 === null
      ? c.accept(fd, peer, peerLength)
      : c.accept4(fd, peer, peerLength, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (rc >= 0) return tame(rc);
    const error = errnoCell !== null ? errnoCell[0]! : errno();
    if (error !== EINTR) return -error;
  }
}

/** So many bytes the kernel transfers at most: MAX_RW_COUNT, see read(2). */
const MOST_BYTES = 0x7fff_f000;

/** The size of `p` to pass on: what is larger need not fit into 32 bits. */
function sizeOf(p: Uint8Array): number {
  return Math.min(p.byteLength, MOST_BYTES);
}

/** Bytes received into `p`, 0 at the end; -errno. */
export function receive(fd: number, p: Uint8Array): number {
  const c = libc();
  for (;;) {
    const n = c.recv(fd, p as Uint8Array<ArrayBuffer>, sizeOf(p), 0);
    if (n >= 0) return n;
    const error = errnoCell !== null ? errnoCell[0]! : errno();
    if (error !== EINTR) return -error;
  }
}

/** Bytes of `p` sent, maybe not all; -errno. */
export function transmit(fd: number, p: Uint8Array): number {
  const c = libc();
  const bytes = p as Uint8Array<ArrayBuffer>;
  for (;;) {
    const n = c.send(fd, bytes, sizeOf(p), MSG_NOSIGNAL);
    if (n >= 0) return n;
    const error = errnoCell !== null ? errnoCell[0]! : errno();
    if (error !== EINTR) return -error;
  }
}

/** As {@linkcode receive}, for a datagram; its sender is {@linkcode peer}. */
export function receiveFrom(fd: number, p: Uint8Array): number {
  const c = libc();
  const bytes = p as Uint8Array<ArrayBuffer>;
  for (;;) {
    peerLength[0] = SOCKADDR_SIZE;
    const n = c.recvfrom(fd, bytes, sizeOf(p), 0, peer, peerLength);
    if (n >= 0) return n;
    const error = errnoCell !== null ? errnoCell[0]! : errno();
    if (error !== EINTR) return -error;
  }
}

/** As {@linkcode transmit}, for a datagram to `raw`. */
export function transmitTo(fd: number, p: Uint8Array, raw: RawAddress): number {
  const c = libc();
  const bytes = p as Uint8Array<ArrayBuffer>;
  for (;;) {
    const n = c.sendto(
      fd,
      bytes,
      sizeOf(p),
      MSG_NOSIGNAL,
      raw,
      raw.length,
    );
    if (n >= 0) return n;
    const error = errnoCell !== null ? errnoCell[0]! : errno();
    if (error !== EINTR) return -error;
  }
}

/**
 * Send no more: the peer reads an end of file. Returns 0 or errno. A connection
 * that is gone (ENOTCONN) sends no more already.
 */
export function shutdownWrite(fd: number): number {
  if (retry(() => libc().shutdown(fd, SHUT_WR)) >= 0) return 0;
  const error = errno();
  return error === ENOTCONN ? 0 : error;
}

/** Close a descriptor. */
export function closeSocket(fd: number): void {
  libc().close(fd);
}

/** What went wrong meanwhile, errno or 0, and forget it. */
export function takeSocketError(fd: number): number {
  fourLength[0] = 4;
  const rc = retry(() =>
    libc().getsockopt(fd, SOL_SOCKET, SO_ERROR, four, fourLength)
  );
  return rc < 0 ? errno() : four[0]!;
}

/**
 * Set an option that is an int.
 *
 * @param action What is attempted by it, for the error.
 * @throws {SystemError} If the kernel refuses.
 */
export function setOption(
  fd: number,
  level: number,
  name: number,
  value: number,
  action?: string,
): void {
  four[0] = value;
  const rc = retry(() => libc().setsockopt(fd, level, name, four, 4));
  check(rc, "setsockopt", action);
}

/**
 * Set an option that is a structure.
 *
 * @param action What is attempted by it, for the error.
 * @throws {SystemError} If the kernel refuses.
 */
export function setOptionBytes(
  fd: number,
  level: number,
  name: number,
  value: Uint8Array<ArrayBuffer>,
  action?: string,
): void {
  const rc = retry(() =>
    libc().setsockopt(fd, level, name, value, value.length)
  );
  check(rc, "setsockopt", action);
}

function addressBy(
  call: "getsockname" | "getpeername",
  fd: number,
): RawAddress {
  const raw = new Uint8Array(SOCKADDR_SIZE);
  peerLength[0] = SOCKADDR_SIZE;
  const rc = retry(() => libc()[call](fd, raw, peerLength));
  check(rc, call);
  return raw.slice(0, Math.max(2, peerLength[0]!));
}

/**
 * A socket's own address, as a copy.
 *
 * @throws {SystemError} If the kernel refuses.
 */
export function ownAddress(fd: number): RawAddress {
  return addressBy("getsockname", fd);
}

/**
 * The address of a socket's peer, as a copy.
 *
 * @throws {SystemError} ENOTCONN if it is gone.
 */
export function peerAddress(fd: number): RawAddress {
  return addressBy("getpeername", fd);
}

/** Open a socket for an address and set it up; closed again if that fails. */
export function openFor(
  raw: RawAddress,
  type: number,
  setUp: (fd: number) => void,
): number {
  const fd = openSocket(familyOf(raw), type);
  try {
    setUp(fd);
    return fd;
  } catch (error) {
    libc().close(fd);
    throw error;
  }
}

/** Remove a Unix socket's file; harmless if it is gone. */
export function removePath(path: string): void {
  libc().unlink(cString(path));
}
