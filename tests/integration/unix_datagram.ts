/**
 * Datagrams over Unix sockets: how services tell their supervisor that they are
 * ready (sd_notify(3)) and how programs log (syslog(3)).
 *
 * Neither end exists in Deno without an unstable flag; with a descriptor that
 * can be waited for, each is three system calls.
 *
 * Trap: a receiver that is slow makes *senders* wait (EAGAIN), so sending is a
 * wait as well.
 */

import { asyncIO, notifyClose, systemCall } from "../../mod.ts";

const libc = Deno.dlopen("libc.so.6", {
  socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
  bind: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  recv: { parameters: ["i32", "buffer", "u32", "i32"], result: "i32" },
  sendto: {
    parameters: ["i32", "buffer", "u32", "i32", "buffer", "u32"],
    result: "i32",
  },
  close: { parameters: ["i32"], result: "i32" },
}).symbols;

const AF_UNIX = 1;
const SOCK_DGRAM_NONBLOCK_CLOEXEC = 2 | 0o2004000;

/** A datagram socket; one with a path can be sent to. */
export class UnixDatagram implements Disposable {
  #fd = systemCall(
    () => libc.socket(AF_UNIX, SOCK_DGRAM_NONBLOCK_CLOEXEC, 0),
    "socket",
  );

  constructor(path?: string) {
    if (path === undefined) return;
    const address = addressOf(path);
    try {
      systemCall(() => libc.bind(this.#fd, address, address.length), "bind");
    } catch (error) {
      libc.close(this.#fd);
      throw error;
    }
  }

  /** Wait for the next message. */
  async receive(): Promise<string> {
    const buffer = new Uint8Array(65_536);
    const size = buffer.length;
    const call = () => libc.recv(this.#fd, buffer, size, 0);
    const got = await asyncIO(
      this.#fd,
      { read: true, syscall: "recv" },
      call,
    );
    return new TextDecoder().decode(buffer.subarray(0, got));
  }

  /** Send a message to whoever has bound `path`. */
  async send(path: string, text: string): Promise<void> {
    const message = new TextEncoder().encode(text);
    const size = message.length;
    const to = addressOf(path);
    const call = () => libc.sendto(this.#fd, message, size, 0, to, to.length);
    await asyncIO(this.#fd, { write: true, syscall: "sendto" }, call);
  }

  [Symbol.dispose](): void {
    if (this.#fd < 0) return;
    notifyClose(this.#fd);
    libc.close(this.#fd);
    this.#fd = -1;
  }
}

/** Tell the supervisor, as sd_notify(3): `READY=1`, `STATUS=…`. */
export async function sdNotify(
  socket: string,
  state: Record<string, string>,
): Promise<void> {
  using sender = new UnixDatagram();
  const lines = Object.entries(state).map(([key, value]) => `${key}=${value}`);
  await sender.send(socket, lines.join("\n"));
}

/** struct sockaddr_un; a path that begins with "@" is an abstract name. */
function addressOf(path: string): Uint8Array<ArrayBuffer> {
  const name = new TextEncoder().encode(path.replace(/^@/, "\0"));
  const address = new Uint8Array(2 + name.length + (name[0] === 0 ? 0 : 1));
  new Uint16Array(address.buffer, 0, 1)[0] = AF_UNIX;
  address.set(name, 2);
  return address;
}
