/**
 * The selects hub: select(2), the lowest common denominator.
 *
 * # Some facts about select, and the lines they shape
 *
 * - The limit of 1,024 descriptors is a C macro's, not the kernel's: the sets
 *   here are as large as the largest number watched.
 * - One number that is not open fails the whole call with EBADF: then each is
 *   probed, the bad ones are reported, and the call is made again.
 * - A hang-up shows as readable only. So a descriptor that is watched for
 *   writing is asked for reading, too; if it is readable and nothing else,
 *   poll(2) is asked once more about that one descriptor. Input that nobody
 *   wants to read would end every wait at once: where a sweep finds some, the
 *   waits that follow leave that descriptor's reading out, and its hang-up is
 *   found by the next sweep, within seconds.
 * - A descriptor opened with O_PATH fails the whole call as well.
 * - As with poll, the kernel sees a copy: a parked call must be woken.
 *
 * @module
 */

import { monotonic } from "../ffi/clock.ts";
import { EBADF, EINTR, POLLERR, POLLHUP } from "../ffi/constants.ts";
import { SystemError } from "../ffi/errors.ts";
import { FD_BITS, POLLFD_SIZE, Timespec } from "../ffi/layout.ts";
import { errno, errnoCell, libc, whyNoLibc } from "../ffi/libc.ts";
import { openError } from "../ffi/open_error.ts";
import { Wakeup } from "../ffi/wakeup.ts";
import { checkedOptions } from "./checks.ts";
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

/** Take the bits of one set out of another. */
function mute(set: Set, out: Set): void {
  for (let word = 0; word < set.length; word++) set[word]! &= ~out[word]!;
}

/** Sets of bits, and scratch copies for the kernel to write into. */
class SelectPoller implements Poller {
  readonly name = "selects";
  readonly parking = "thread";
  readonly #c = libc();
  readonly #interest = new Map<number, number>();
  #readers: Set = new Uint32Array(FEWEST_WORDS);
  #writers: Set = new Uint32Array(FEWEST_WORDS);
  /** Both: what is asked for reading. */
  #watched: Set = new Uint32Array(FEWEST_WORDS);
  /** For writing alone, with input that nobody wants to read. */
  #unread: Set = new Uint32Array(FEWEST_WORDS);
  #anyUnread = false;
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
    const closed = openError(fd);
    if (closed !== 0) {
      throw new SystemError(closed, "fcntl", `Cannot watch fd ${fd}`);
    }
    if (fd >= this.#readers.length * FD_BITS) this.#grow(fd);
    this.#interest.set(fd, interest);
    put(this.#readers, fd, (interest & READ) !== 0);
    put(this.#writers, fd, (interest & WRITE) !== 0);
    put(this.#watched, fd, true);
    if ((interest & READ) !== 0) put(this.#unread, fd, false);
    if (fd > this.#top) this.#top = fd;
  }

  sweep(report: Report): number {
    if (this.#top < 0) return 0;
    if (this.#anyUnread) this.#unread.fill(0);
    this.#anyUnread = false;
    let found = 0;
    let left = this.#select();
    const error = left >= 0 ? 0 : errnoCell !== null ? errnoCell[0]! : errno();
    if (error === EINTR) return this.sweep(report);
    if (error === EBADF) {
      const bad = [...this.#interest.keys()].filter((fd) =>
        openError(fd) !== 0
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
      const some = this.#read[word]!;
      const read = (some & this.#readers[word]!) | this.#except[word]!;
      const write = this.#write[word]!;
      for (let any = some | read | write; any !== 0; any &= any - 1) {
        const shift = 31 - Math.clz32(any & -any);
        const bits = ((read >>> shift) & 1) * READ |
          ((write >>> shift) & 1) * WRITE;
        const fd = word * FD_BITS + shift;
        if (bits === 0 && !this.#hungUp(fd)) {
          put(this.#unread, fd, true);
          this.#anyUnread = true;
          continue;
        }
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
    const read = this.#watched.slice();
    if (this.#anyUnread) mute(read, this.#unread);
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
    this.#read.set(this.#watched);
    if (this.#anyUnread) mute(this.#read, this.#unread);
    return this.#call(this.#timespec.set(timeout)) > 0;
  }

  #select(): number {
    this.#read.set(this.#watched);
    return this.#call(this.#zero);
  }

  #call(timeout: Uint8Array<ArrayBuffer>): number {
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
    if (bits === 0) return READ | WRITE;
    if (bits !== READ || this.#interest.get(fd) !== (READ | WRITE)) return bits;
    return this.#hungUp(fd) ? READ | WRITE : bits;
  }

  #hungUp(fd: number): boolean {
    this.#oneView.setInt32(0, fd, true);
    this.#oneView.setInt16(4, 0, true);
    this.#oneView.setInt16(6, 0, true);
    this.#c.poll(this.#one, 1, 0);
    return (this.#oneView.getInt16(6, true) & (POLLERR | POLLHUP)) !== 0;
  }

  #forget(fd: number): void {
    if (!this.#interest.delete(fd)) return;
    put(this.#readers, fd, false);
    put(this.#writers, fd, false);
    put(this.#watched, fd, false);
    if (fd !== this.#top) return;
    let top = fd;
    while (top >= 0 && !has(this.#watched, top)) top--;
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
    this.#watched = larger(this.#watched);
    this.#unread = larger(this.#unread);
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
    const given = checkedOptions(options);
    super(new SelectPoller(), { ...given, clock: given.clock ?? monotonic });
  }
}
