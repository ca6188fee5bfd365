/**
 * The selects hub: select(2), the lowest common denominator.
 *
 * # Some facts about select, and the lines they shape
 *
 * - The limit of 1,024 descriptors is a C macro's, not the kernel's: the sets
 *   here are as large as the largest number watched.
 * - One number that is not open fails the whole call with EBADF: then each is
 *   probed, the bad ones are reported, and the call is made again.
 * - A hang-up shows as readable only. Where a writer waits as well, poll(2)
 *   is asked once more about that one descriptor.
 * - As with poll, the kernel sees a copy: a parked call must be woken.
 *
 * @module
 */

import { monotonic } from "../ffi/clock.ts";
import {
  EBADF,
  F_GETFD,
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLOUT,
} from "../ffi/constants.ts";
import { check } from "../ffi/errors.ts";
import { FD_BITS, POLLFD_SIZE, Timespec } from "../ffi/layout.ts";
import { errno, libc, whyNoLibc } from "../ffi/libc.ts";
import { Wakeup } from "../ffi/wakeup.ts";
import { BaseHub, type HubOptions } from "./hub.ts";
import { BAD, type Poller, READ, type Report, WRITE } from "./poller.ts";

const FEWEST_WORDS = 32;

type Set = Uint32Array<ArrayBuffer>;

function put(set: Set, fd: number, on: boolean): void {
  const bit = 1 << (fd % FD_BITS);
  const word = Math.floor(fd / FD_BITS);
  if (on) set[word]! |= bit;
  else set[word]! &= ~bit;
}

function has(set: Set, fd: number): boolean {
  return (set[Math.floor(fd / FD_BITS)]! & (1 << (fd % FD_BITS))) !== 0;
}

/** Three sets of bits, and scratch copies for the kernel to write into. */
class SelectPoller implements Poller {
  readonly name = "selects";
  readonly parking = "thread";
  readonly #c = libc();
  readonly #interest = new Map<number, number>();
  #readers: Set = new Uint32Array(FEWEST_WORDS);
  #writers: Set = new Uint32Array(FEWEST_WORDS);
  #read: Set = new Uint32Array(FEWEST_WORDS);
  #write: Set = new Uint32Array(FEWEST_WORDS);
  #except: Set = new Uint32Array(FEWEST_WORDS);
  #top = -1;
  #wakeup: Wakeup | null = null;
  readonly #zero = new Timespec().set(0);
  readonly #timespec = new Timespec();
  readonly #one = new Uint8Array(POLLFD_SIZE);
  readonly #oneView = new DataView(this.#one.buffer);

  watch(fd: number, interest: number): void {
    if (interest === 0) {
      this.#forget(fd);
      return;
    }
    check(this.#c.fcntl(fd, F_GETFD, 0), "fcntl", `Cannot watch fd ${fd}`);
    if (fd >= this.#readers.length * FD_BITS) this.#grow(fd);
    this.#interest.set(fd, interest);
    put(this.#readers, fd, (interest & READ) !== 0);
    put(this.#writers, fd, (interest & WRITE) !== 0);
    if (fd > this.#top) this.#top = fd;
  }

  sweep(report: Report): number {
    if (this.#top < 0) return 0;
    let found = 0;
    let left = this.#select();
    if (left < 0 && errno() === EBADF) {
      const bad = [...this.#interest.keys()].filter((fd) =>
        this.#c.fcntl(fd, F_GETFD, 0) < 0
      );
      for (const fd of bad) {
        this.#forget(fd);
        report(fd, BAD);
      }
      found = bad.length;
      left = this.#select();
    }
    if (left <= 0) return found;
    const words = Math.floor(this.#top / FD_BITS) + 1;
    for (let word = 0; word < words; word++) {
      const read = this.#read[word]! | this.#except[word]!;
      const write = this.#write[word]!;
      for (let any = read | write; any !== 0; any &= any - 1) {
        const shift = 31 - Math.clz32(any & -any);
        const bits = ((read >>> shift) & 1) * READ |
          ((write >>> shift) & 1) * WRITE;
        const fd = word * FD_BITS + shift;
        report(fd, this.#withHangUp(fd, bits));
        found++;
      }
    }
    return found;
  }

  close(): void {
    this.#wakeup?.close();
    this.#interest.clear();
    this.#top = -1;
  }

  async park(timeout: number | null): Promise<void> {
    this.#wakeup ??= new Wakeup();
    this.#wakeup.clear();
    const { fd } = this.#wakeup;
    if (fd >= this.#readers.length * FD_BITS) this.#grow(fd);
    const read = this.#readers.slice();
    put(read, fd, true);
    await this.#c.pselect_park(
      Math.max(this.#top, fd) + 1,
      read,
      this.#writers.slice(),
      this.#readers.slice(),
      timeout === null ? null : this.#timespec.set(timeout),
      null,
    );
  }

  wake(): void {
    this.#wakeup?.wake();
  }

  linger(timeout: number): boolean {
    return this.#select(this.#timespec.set(timeout)) > 0;
  }

  #select(timeout: Uint8Array<ArrayBuffer> = this.#zero): number {
    this.#read.set(this.#readers);
    this.#write.set(this.#writers);
    this.#except.set(this.#readers);
    return this.#c.pselect(
      this.#top + 1,
      this.#read,
      this.#write,
      this.#except,
      timeout,
      null,
    );
  }

  /** A descriptor that hung up is ready for a writer too. */
  #withHangUp(fd: number, bits: number): number {
    if (bits !== READ || this.#interest.get(fd) !== (READ | WRITE)) return bits;
    this.#oneView.setInt32(0, fd, true);
    this.#oneView.setInt16(4, POLLIN | POLLOUT, true);
    this.#oneView.setInt16(6, 0, true);
    this.#c.poll(this.#one, 1, 0);
    const revents = this.#oneView.getInt16(6, true);
    return (revents & (POLLERR | POLLHUP)) !== 0 ? READ | WRITE : bits;
  }

  #forget(fd: number): void {
    if (!this.#interest.delete(fd)) return;
    put(this.#readers, fd, false);
    put(this.#writers, fd, false);
    if (fd !== this.#top) return;
    let top = fd;
    while (top >= 0 && !has(this.#readers, top) && !has(this.#writers, top)) {
      top--;
    }
    this.#top = top;
  }

  #grow(fd: number): void {
    let words = this.#readers.length;
    while (fd >= words * FD_BITS) words *= 2;
    const larger = (old: Set): Set => {
      const set = new Uint32Array(words);
      set.set(old);
      return set;
    };
    this.#readers = larger(this.#readers);
    this.#writers = larger(this.#writers);
    this.#read = new Uint32Array(words);
    this.#write = new Uint32Array(words);
    this.#except = new Uint32Array(words);
  }
}

/** Whether select can be used: with FFI granted for libc. */
export function isAvailable(): boolean {
  return whyUnavailable() === "";
}

/** Why it is not available; "" if it is. */
export function whyUnavailable(): string {
  return whyNoLibc();
}

/**
 * The hub that calls `select`.
 *
 * @example
 * ```ts
 * import { useHub } from "../mod.ts";
 * import * as selects from "./selects.ts";
 *
 * if (selects.isAvailable()) useHub(selects);
 * ```
 */
export class Hub extends BaseHub {
  /** Make the hub; it needs no descriptor until it parks. */
  constructor(options: HubOptions = {}) {
    super(new SelectPoller(), { clock: monotonic, ...options });
  }
}
