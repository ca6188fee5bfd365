/**
 * rtnetlink: ask the kernel for its network interfaces, and hear of every
 * change to them, as `ip monitor` does.
 *
 * `Deno.networkInterfaces` is a snapshot; to notice a change one asks again and
 * again. A netlink socket is told.
 *
 * Trap: a receiver that is too slow loses messages, which the kernel reports
 * once, as ENOBUFS: then ask for everything anew.
 */

import {
  asyncIO,
  notifyClose,
  readiness,
  systemCall,
  SystemError,
  tryIO,
} from "../../mod.ts";

const libc = Deno.dlopen("libc.so.6", {
  socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
  bind: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  recv: { parameters: ["i32", "buffer", "u32", "i32"], result: "i32" },
  send: { parameters: ["i32", "buffer", "u32", "i32"], result: "i32" },
  close: { parameters: ["i32"], result: "i32" },
}).symbols;

const AF_NETLINK = 16;
const SOCK_RAW_NONBLOCK_CLOEXEC = 3 | 0o2004000;
const NETLINK_ROUTE = 0;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const NLM_F_REQUEST = 1;

export const RTM_NEWLINK = 16;
export const RTM_GETLINK = 18;
export const RTM_NEWADDR = 20;
export const RTM_DELADDR = 21;
export const RTMGRP_IPV4_IFADDR = 0x10;
export const IFLA_IFNAME = 3;
export const IFA_LOCAL = 2;
export const NLM_F_ACK = 4;
export const NLM_F_DUMP = 0x300;
export const NLM_F_CREATE_EXCL = 0x600;

/** One message: its type, its fixed part, and its attributes by number. */
export interface RouteMessage {
  readonly type: number;
  readonly header: DataView;
  readonly attributes: ReadonlyMap<number, Uint8Array>;
}

const RECV = { read: true, syscall: "recv" } as const;

/** How long the fixed part is: struct ifinfomsg or struct ifaddrmsg. */
const headerSize = (type: number) => type < RTM_NEWADDR ? 16 : 8;

/** A netlink socket for routing, member of these groups. */
export class RouteSocket implements Disposable {
  readonly #buffer = new Uint8Array(65_536);
  #fd = systemCall(
    () => libc.socket(AF_NETLINK, SOCK_RAW_NONBLOCK_CLOEXEC, NETLINK_ROUTE),
    "socket",
  );

  constructor(groups = 0) {
    // struct sockaddr_nl { sa_family_t family; short pad; u32 pid, groups; }
    const address = new Uint32Array([AF_NETLINK, 0, groups]);
    try {
      systemCall(
        () => libc.bind(this.#fd, address, address.byteLength),
        "bind",
      );
    } catch (error) {
      libc.close(this.#fd);
      throw error;
    }
  }

  /** The descriptor; -1 once closed. */
  fileno(): number {
    return this.#fd;
  }

  /** Ask, and wait for the whole answer. One request at a time. */
  async request(
    type: number,
    flags: number,
    payload: Uint8Array,
  ): Promise<RouteMessage[]> {
    // struct nlmsghdr { u32 len; u16 type, flags; u32 seq, pid; }
    const message = new Uint8Array(16 + payload.length);
    const view = new DataView(message.buffer);
    view.setUint32(0, message.length, true);
    view.setUint16(4, type, true);
    view.setUint16(6, flags | NLM_F_REQUEST, true);
    message.set(payload, 16);
    const size = message.length;
    systemCall(() => libc.send(this.#fd, message, size, 0), "send");
    const answer: RouteMessage[] = [];
    for (;;) {
      const got = await asyncIO(this, RECV, () => this.#receive());
      for (const one of split(this.#buffer.slice(0, got))) {
        if (one.type === NLMSG_DONE) return answer;
        if (one.type !== NLMSG_ERROR) answer.push(one);
        else {
          const error = -one.header.getInt32(0, true);
          if (error !== 0) throw new SystemError(error, "rtnetlink");
          return answer;
        }
      }
    }
  }

  /** What happens in the groups, until the socket is disposed of. */
  async *changes(): AsyncGenerator<RouteMessage, void> {
    for await (const _ of readiness(this, { read: true })) {
      const got = tryIO(() => this.#receive(), "recv");
      if (got !== null) yield* split(this.#buffer.slice(0, got));
    }
  }

  [Symbol.dispose](): void {
    if (this.#fd < 0) return;
    notifyClose(this.#fd);
    libc.close(this.#fd);
    this.#fd = -1;
  }

  #receive(): number {
    return libc.recv(this.#fd, this.#buffer, this.#buffer.length, 0);
  }
}

/** Split a datagram into messages, each aligned to 4 bytes. */
function* split(bytes: Uint8Array<ArrayBuffer>): Generator<RouteMessage, void> {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  for (let at = 0; at + 16 <= bytes.length;) {
    const length = view.getUint32(at, true);
    const type = view.getUint16(at + 4, true);
    const attributes = new Map<number, Uint8Array>();
    const control = type < RTM_NEWLINK;
    // struct rtattr { u16 len, type; }
    let next = at + 16 + headerSize(type);
    while (!control && next + 4 <= at + length) {
      const size = view.getUint16(next, true);
      const data = bytes.subarray(next + 4, next + size);
      attributes.set(view.getUint16(next + 2, true) & 0x3fff, data);
      next += align(size);
    }
    const header = new DataView(bytes.buffer, bytes.byteOffset + at + 16);
    yield { type, header, attributes };
    at += align(length);
  }
}

function align(size: number): number {
  return (size + 3) & ~3;
}
