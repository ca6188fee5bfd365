/**
 * Many sockets received from in one system call: Linux AIO again (io_submit(2),
 * `IOCB_CMD_PREAD`), which for a socket that does not block is done when the
 * call returns. Where entering the kernel is dear, this saves most of it.
 *
 * The trap it guards: the kernel is given addresses, and a program's buffer can
 * move or be detached. So it writes to memory of ours only, and what is there
 * is copied.
 *
 * @module
 */

import {
  type AioContext,
  IOCB_SIZE,
  leaveContext,
  Memory,
  shareContext,
} from "./aio_context.ts";
import { EAGAIN, EBADF, EINTR, ENOMEM } from "./constants.ts";

/** So many at a time. */
export const MOST = 32;
/** So many bytes of each, at most. */
export const ROOM = 2048;

const WORD = 4;
/** Words of `struct iocb`. */
const IOCB_WORDS = IOCB_SIZE / WORD;
const FILDES = 20 / WORD;
const NBYTES = 32 / WORD;
const NOT_DONE = -EINTR;

/** Linux's numbers, since nobody else has this: sockets' own begin at ENOTSOCK. */
const EPIPE = 32;
const ENOTSOCK = 88;
const EOPNOTSUPP = 95;

/** See the module. */
export class AioReceive {
  readonly #context: AioContext;
  readonly #room = new Memory(MOST * ROOM);
  readonly #requests = new Memory(MOST * IOCB_SIZE);
  readonly #requestWords = new Int32Array(this.#requests.bytes.buffer);
  /** Their addresses. */
  readonly #list = new Uint8Array(MOST * 8);
  readonly #results = new Int32Array(MOST);
  /** Messages are mostly of one size, and a view is dear to make. */
  readonly #views: Uint8Array<ArrayBuffer>[] = [];
  #wanted = 0;
  #broken = false;

  /** @throws {SystemError} If the kernel or a sandbox refuses. */
  constructor() {
    this.#context = shareContext();
    try {
      // What was received must not be lost for want of this.
      this.#context.next(false);
    } catch (error) {
      leaveContext();
      throw error;
    }
    const list = new DataView(this.#list.buffer);
    for (let at = 0; at < MOST; at++) {
      const { view, address } = this.#requests;
      const from = at * IOCB_SIZE;
      // Never 0, which those of others have. IOCB_CMD_PREAD is.
      view.setBigUint64(from, BigInt(at + 1), true);
      view.setBigUint64(
        from + 24,
        this.#room.address + BigInt(at * ROOM),
        true,
      );
      list.setBigUint64(at * 8, address + BigInt(from), true);
      this.#views.push(this.#room.bytes.subarray(at * ROOM, at * ROOM));
    }
  }

  /** It is of no use here: not to be run again. */
  get broken(): boolean {
    return this.#broken;
  }

  /**
   * Ask for up to `length` bytes from a socket.
   *
   * @returns Its place.
   */
  want(fd: number, length: number): number {
    const at = this.#wanted++;
    const words = this.#requestWords;
    words[at * IOCB_WORDS + FILDES] = fd;
    words[at * IOCB_WORDS + NBYTES] = Math.min(length, ROOM);
    this.#results[at] = NOT_DONE;
    return at;
  }

  /** Receive what was asked for. */
  run(): void {
    const wanted = this.#wanted;
    this.#wanted = 0;
    const context = this.#context;
    const taken = context.submit(wanted, this.#list);
    // One that is not open ends the list: it and the rest are received singly.
    if (taken < 0) {
      if (taken === -EAGAIN) { while (context.next(false)); }
      else if (taken !== -EBADF) this.#broken = true;
    }
    for (let left = taken; left > 0;) {
      context.next(true);
      const place = context.data - 1;
      // Somebody else's.
      if (place < 0) continue;
      this.#results[place] = this.#judged(context.result);
      left--;
    }
  }

  /**
   * What a socket has to say counts. What a kernel says that cannot read
   * sockets so, of one that has lost nothing by it, does not.
   */
  #judged(result: number): number {
    if (result >= 0 || result === -EAGAIN || result === -EPIPE) return result;
    if (result < -ENOTSOCK && result !== -EOPNOTSUPP) return result;
    if (result !== -EINTR && result !== -ENOMEM) this.#broken = true;
    return NOT_DONE;
  }

  /** Bytes received, 0 at the end; -errno: EINTR if it was not tried. */
  count(at: number): number {
    return this.#results[at]!;
  }

  /** The bytes received, good until more are asked for. */
  bytes(at: number): Uint8Array<ArrayBuffer> {
    const count = this.#results[at]!;
    const view = this.#views[at]!;
    if (view.length === count) return view;
    const from = at * ROOM;
    return this.#views[at] = this.#room.bytes.subarray(from, from + count);
  }

  /** Give back what the kernel gave. */
  close(): void {
    leaveContext();
  }
}
