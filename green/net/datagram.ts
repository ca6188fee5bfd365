/**
 * Datagram sockets, of the shape of `Deno.DatagramConn`.
 *
 * The trap it guards: a send that need not wait must not wait for others, but
 * must not overtake those to the same destination either.
 *
 * @module
 */

import { EAGAIN } from "../../ffi/constants.ts";
import { SystemError } from "../../ffi/errors.ts";
import type { Lookup } from "../../ffi/resolve.ts";
import {
  inetOf,
  numericAddress,
  pathOf,
  type RawAddress,
  unixAddress,
} from "../../ffi/sockaddr.ts";
import { peer, peerSize, receiveFrom } from "../../ffi/socket.ts";
import { AF_UNIX } from "../../ffi/socket_constants.ts";
import { closeAtThreadExit } from "../../ffi/thread_exit.ts";
import { IOClosed } from "../../hubs/errors.ts";
import { READ } from "../../hubs/poller.ts";
import { outer, outerSteps } from "../../hubs/thrown.ts";
import { impatient, OwnedWait } from "../../hubs/wait.ts";
import {
  checkBytes,
  checkedTimeout,
  closedError,
  detachedError,
  giveBack,
  keepAlive,
  latestLike,
} from "./descriptor.ts";
import { byTheHub, failedAtOnce, forgetTurns } from "./in_turn.ts";
import {
  joinV4,
  joinV6,
  type MulticastV4Membership,
  type MulticastV6Membership,
} from "./multicast.ts";
import { checkedHost, checkedPath, checkedPort, checkName } from "./options.ts";
import { sendNow, SendQueue } from "./send_queue.ts";

const AGAIN = -EAGAIN;
/** The largest datagram there is. */
const LARGEST = 65_536;
const LOCALHOST = "127.0.0.1";

let scratch: Uint8Array<ArrayBuffer> | null = null;

/** Where a datagram comes from or goes to. */
export type DatagramAddr = Deno.NetAddr | Deno.UnixAddr;
/** A datagram and its sender. */
export type Datagram = [Uint8Array<ArrayBuffer>, DatagramAddr];

/** A receive that waits. */
class ReceiveWait extends OwnedWait {
  readonly #again: () => Datagram | undefined;
  readonly #receiver: DatagramConn;

  constructor(
    fd: number,
    again: () => Datagram | undefined,
    receiver: DatagramConn,
  ) {
    super(READ, fd);
    this.#again = again;
    this.#receiver = receiver;
  }

  attempt(): void {
    try {
      const result = this.#again();
      if (result !== undefined) this.succeed(result);
    } catch (error) {
      this.fail(error);
    }
  }

  release(): void {}

  override outOfLine(): void {
    this.#receiver.receiverLeft(this);
  }
}

/** Sends and receives datagrams; made by `listenDatagram`. */
export class DatagramConn implements AsyncIterable<Datagram>, Disposable {
  #fd: number;
  readonly #family: number;
  readonly #addr: DatagramAddr;
  readonly #keep: Disposable;
  #receiving: ReceiveWait | null = null;
  /** The sends that wait. */
  #sends: SendQueue | null = null;
  #readTimeout: number | null = null;
  #writeTimeout: number | null = null;

  /** Made by `listenDatagram`. */
  constructor(fd: number, family: number, addr: DatagramAddr) {
    this.#fd = fd;
    this.#family = family;
    this.#addr = addr;
    this.#keep = closeAtThreadExit(fd);
  }

  /** The descriptor; -1 once closed. */
  fileno(): number {
    return this.#fd;
  }

  /** Its own address. */
  get addr(): DatagramAddr {
    return this.#addr;
  }

  /** How long a `receive` may take, ms; null: for ever. */
  get readTimeout(): number | null {
    return this.#readTimeout;
  }

  set readTimeout(ms: number | null) {
    this.#readTimeout = checkedTimeout(ms, "set readTimeout");
  }

  /** How long a `send` may take, ms; null: for ever. */
  get writeTimeout(): number | null {
    return this.#writeTimeout;
  }

  set writeTimeout(ms: number | null) {
    this.#writeTimeout = checkedTimeout(ms, "set writeTimeout");
  }

  /**
   * Wait for a datagram.
   *
   * @param p Where to put it; what does not fit is cut off. Default: a buffer
   * of its own.
   * @returns The datagram and its sender.
   * @throws {IOClosed} If the socket is closed, before or meanwhile.
   * @throws {Timeout} After `readTimeout`.
   * @throws {TypeError} If `p` is detached meanwhile; no datagram is lost.
   * @throws {HubError} If another greenthread is receiving, or from MAINLOOP.
   */
  receive(p?: Uint8Array): Promise<Datagram> {
    try {
      if (this.#fd < 0) throw closedError("receive");
      if (p !== undefined) checkBytes(p, "receive");
      if (!(this.#receiving?.busy) && !impatient()) {
        const got = this.#take(p);
        if (got !== undefined) return Promise.resolve(got);
      }
      const length = p?.length ?? 0;
      const again = (): Datagram | undefined => {
        if (p !== undefined && p.length < length) {
          throw detachedError("receive");
        }
        return this.#take(p);
      };
      const wait = new ReceiveWait(this.#fd, again, this);
      const promise = wait.begin(this.#readTimeout);
      this.#receiving = wait;
      return promise as Promise<Datagram>;
    } catch (error) {
      return failedAtOnce(this, error);
    }
  }

  /** A receive was broken off that need not have been alone. @internal */
  receiverLeft(wait: unknown): void {
    const latest = this.#receiving;
    if (latest === null || latest !== wait) return;
    this.#receiving = latestLike(latest) ?? latest;
  }

  #take(p: Uint8Array | undefined): Datagram | undefined {
    const into = p ?? (scratch ??= new Uint8Array(LARGEST));
    const n = receiveFrom(this.#fd, into);
    if (n === AGAIN) return undefined;
    if (n < 0) throw new SystemError(-n, "recvfrom", "Cannot receive");
    const data = p === undefined ? scratch!.slice(0, n) : p.subarray(0, n);
    return [data as Uint8Array<ArrayBuffer>, this.#addrOf(peer, peerSize())];
  }

  #addrOf(raw: Uint8Array, size: number): DatagramAddr {
    return addressOf(raw, size, this.#family);
  }

  /**
   * Send a datagram. Sends to one destination are sent in the order of the
   * calls; one to another destination waits for none of them. A name is looked
   * up as the system does, off this thread; until that is done it is a
   * destination of its own.
   *
   * @param p What to send.
   * @param addr To whom.
   * @returns How many bytes were sent.
   * @throws {SystemError} If it is too large, or nobody is there (Unix);
   * EAI_NONAME and the like if the name could not be looked up.
   * @throws {IOClosed} If the socket is closed, before or meanwhile.
   * @throws {Timeout} After `writeTimeout`; see `connect` for what becomes of a
   * look-up.
   * @throws {TypeError} If `addr` is no address, or `p` is detached meanwhile;
   * nothing is sent.
   * @throws {RangeError} If the port or the path cannot be one, or the host
   * name has a NUL in it.
   * @throws {URIError} If the host name cannot be one.
   * @throws {HubError} From MAINLOOP, if it has to wait.
   */
  send(p: Uint8Array, addr: Deno.Addr): Promise<number> {
    try {
      if (this.#fd < 0) throw closedError("send");
      checkBytes(p, "send");
      const to = this.#target(addr);
      if (to instanceof Uint8Array && !(this.#sends?.holds(to))) {
        const n = sendNow(this.#fd, p, to);
        if (n !== undefined) return byTheHub(this, n) ?? Promise.resolve(n);
      }
      const sends = this.#sends ??= new SendQueue(this, this.#fd, this.#family);
      return outer(sends.push(p, to, this.#writeTimeout));
    } catch (error) {
      return failedAtOnce(this, error);
    }
  }

  /** The address to send to, or the name to be looked up. */
  #target(addr: Deno.Addr): RawAddress | Lookup {
    if (typeof addr !== "object" || addr === null) {
      throw new TypeError("Cannot send: the address is no object");
    }
    if (this.#family === AF_UNIX) {
      const { path } = addr as Deno.UnixAddr;
      return unixAddress(checkedPath(path, "send"));
    }
    const { hostname, port: number } = addr as Deno.NetAddr;
    const host = checkedHost(hostname, "send", LOCALHOST);
    const port = checkedPort(number, "send");
    const raw = numericAddress(host, port);
    if (raw !== null) return raw;
    checkName(host, "send");
    return { host, port, datagram: true };
  }

  /**
   * Close the socket. Whoever waits gets `IOClosed`, and iteration ends.
   * Closing twice is harmless.
   */
  close(): void {
    const fd = this.#fd;
    if (fd < 0) return;
    this.#fd = -1;
    forgetTurns(this);
    this.#keep[Symbol.dispose]();
    giveBack(fd);
    this.#sends?.close(closedError("send"));
  }

  /** As {@linkcode DatagramConn.close}. */
  [Symbol.dispose](): void {
    this.close();
  }

  /** Waits keep the process alive: so they do unless told otherwise. */
  ref(): void {
    keepAlive(this.#fd, true);
  }

  /**
   * Waits do not keep the process alive, as long as the hub parks without a
   * thread (`hub.statistics().parking` is `"aio"` or `"uring"`).
   */
  unref(): void {
    keepAlive(this.#fd, false);
  }

  /** The datagrams, one after the other, until it is closed. */
  [Symbol.asyncIterator](): AsyncGenerator<Datagram, undefined, void> {
    return outerSteps(this.#each());
  }

  async *#each(): AsyncGenerator<Datagram, undefined, void> {
    while (this.#fd >= 0) {
      let datagram;
      try {
        datagram = await this.receive();
      } catch (error) {
        if (error instanceof IOClosed && this.#fd < 0) return;
        throw error;
      }
      yield datagram;
    }
  }

  /**
   * Join an IPv4 multicast group.
   *
   * @param address The group.
   * @param networkInterface The IPv4 address of the interface.
   * @throws {TypeError} If one of them is no IPv4 address.
   * @throws {SystemError} EINVAL if it is no group, ENODEV if there is no such
   * interface, and the like.
   * @throws {IOClosed} If the socket is closed.
   */
  joinMulticastV4(
    address: string,
    networkInterface: string,
  ): Promise<MulticastV4Membership> {
    return joinV4(this.#open, address, networkInterface);
  }

  /**
   * Join an IPv6 multicast group.
   *
   * @param address The group.
   * @param networkInterface The index of the interface; 0 is any.
   * @throws {TypeError} If `address` is no IPv6 address.
   * @throws {SystemError} EINVAL if it is no group, ENODEV if there is no such
   * interface, and the like.
   * @throws {IOClosed} If the socket is closed.
   */
  joinMulticastV6(
    address: string,
    networkInterface: number,
  ): Promise<MulticastV6Membership> {
    return joinV6(this.#open, address, networkInterface);
  }

  readonly #open = (action: string): number => {
    if (this.#fd < 0) throw closedError(action);
    return this.#fd;
  };
}

/** An address as datagrams have it. @internal */
export function addressOf(
  raw: Uint8Array,
  size: number,
  family: number,
): DatagramAddr {
  if (family === AF_UNIX) {
    // As Deno's: null where the sender has none.
    return { transport: "unixpacket", path: pathOf(raw, size) as string };
  }
  const { hostname, port } = inetOf(raw);
  return { hostname, port, transport: "udp" };
}
