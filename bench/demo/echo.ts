/**
 * An echo server and its clients over TCP sockets that C opened.
 *
 * Nothing here is Deno's: socket, bind, listen, accept4, connect, recv and
 * send come from libc, and `trampoline` waits between them.
 *
 * @module
 */

import { type GreenThread, spawn, SystemError, trampoline } from "../../mod.ts";
import { check, Descriptor, errno, libc, wouldBlock } from "./libc.ts";

const AF_INET = 2;
const STREAM_NONBLOCK_CLOEXEC = 0o2004001;
const NONBLOCK_CLOEXEC = 0o2004000;
const IPPROTO_TCP = 6;
const TCP_NODELAY = 1;
const MSG_NOSIGNAL = 0x4000;
const EINPROGRESS = 115;
const BACKLOG = 4096;

/** How long one message is, bytes. */
export const MESSAGE_SIZE = 64;

/** 127.0.0.1 as a `struct sockaddr_in`. */
function loopback(port: number): Uint8Array<ArrayBuffer> {
  const address = new Uint8Array(16);
  const view = new DataView(address.buffer);
  view.setUint16(0, AF_INET, true);
  view.setUint16(2, port);
  address.set([127, 0, 0, 1], 4);
  return address;
}

/** A TCP socket. */
export class Socket extends Descriptor {
  /** A new socket, connected to nothing yet. */
  static open(): Socket {
    const fd = libc().socket(AF_INET, STREAM_NONBLOCK_CLOEXEC, 0);
    return new Socket(check(fd, "socket"));
  }

  /** Listen on a free port of the loopback. */
  listen(): this {
    check(libc().bind(this.fileno(), loopback(0), 16), "bind");
    check(libc().listen(this.fileno(), BACKLOG), "listen");
    return this;
  }

  /** The port it is bound to. */
  get port(): number {
    const address = new Uint8Array(16);
    const size = new Uint8Array(new Uint32Array([16]).buffer);
    check(libc().getsockname(this.fileno(), address, size), "getsockname");
    return new DataView(address.buffer).getUint16(2);
  }

  /** Wait for the next client. */
  async accept(): Promise<Socket> {
    for (;;) {
      const fd = libc().accept4(this.fileno(), null, null, NONBLOCK_CLOEXEC);
      if (fd >= 0) return new Socket(fd).sendAtOnce();
      if (wouldBlock(errno(), "accept4")) {
        await trampoline(this, { read: true });
      }
    }
  }

  /** Connect to a port of the loopback. */
  async connect(port: number): Promise<this> {
    if (libc().connect(this.fileno(), loopback(port), 16) < 0) {
      const code = errno();
      if (code !== EINPROGRESS) throw new SystemError(code, "connect");
      await trampoline(this, { write: true });
    }
    return this.sendAtOnce();
  }

  /** Do not wait for more before sending. */
  sendAtOnce(): this {
    const on = new Uint8Array(new Int32Array([1]).buffer);
    libc().setsockopt(this.fileno(), IPPROTO_TCP, TCP_NODELAY, on, 4);
    return this;
  }

  protected override tryRead(
    fd: number,
    into: Uint8Array<ArrayBuffer>,
  ): number {
    return libc().recv(fd, into, into.length, 0);
  }

  protected override tryWrite(
    fd: number,
    bytes: Uint8Array<ArrayBuffer>,
  ): number {
    return libc().send(fd, bytes, bytes.length, MSG_NOSIGNAL);
  }
}

/** Serve: a greenthread for each client. `own` is told of everything made. */
export async function serve(
  listener: Socket,
  own: (socket: Socket, handler: GreenThread) => void,
): Promise<void> {
  for (;;) {
    const socket = await listener.accept();
    own(socket, spawn(echo, socket));
  }
}

/** Send back whatever comes, until the other side closes. */
async function echo(socket: Socket): Promise<void> {
  const buffer = new Uint8Array(MESSAGE_SIZE);
  for (;;) {
    const n = await socket.read(buffer);
    if (n === 0) return;
    await socket.write(buffer.subarray(0, n));
  }
}

/** Send messages for ever, each when the one before is back. */
export async function talk(
  socket: Socket,
  onMessage: () => void,
): Promise<void> {
  const message = new Uint8Array(MESSAGE_SIZE).fill(0x2e);
  const answer = new Uint8Array(MESSAGE_SIZE);
  for (;;) {
    await socket.write(message);
    for (let back = 0; back < MESSAGE_SIZE;) {
      const n = await socket.read(answer.subarray(back));
      if (n === 0) return;
      back += n;
    }
    onMessage();
  }
}
