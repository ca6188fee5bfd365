/**
 * The poll hub: poll(2), on every Unix.
 *
 * # Some facts about poll, and the lines they shape
 *
 * - The kernel sees a copy: a descriptor added while another thread waits in
 *   `ppoll` is not waited for, so the hub wakes that thread; a park polls a
 *   copy of its own with the wake-up descriptor in front.
 * - A number that is not open is no error but POLLNVAL in its entry, at once
 *   and for ever: reported as BAD.
 * - Every sweep costs time in the number of entries, so they are kept dense:
 *   the last one takes the place of one that goes.
 *
 * @module
 */

import { monotonic } from "../ffi/clock.ts";
import {
  EINTR,
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLNVAL,
  POLLOUT,
  POLLPRI,
} from "../ffi/constants.ts";
import { retry, SystemError } from "../ffi/errors.ts";
import { POLLFD_SIZE, Timespec } from "../ffi/layout.ts";
import { errno, errnoCell, libc, whyNoLibc } from "../ffi/libc.ts";
import { openError } from "../ffi/open_error.ts";
import { Wakeup } from "../ffi/wakeup.ts";
import { checkedOptions } from "./checks.ts";
import { BaseHub, type HubOptions } from "./hub.ts";
import { BAD, type Poller, READ, type Report, WRITE } from "./poller.ts";

const FEWEST = 64;

function pollFlags(interest: number): number {
  return ((interest & READ) !== 0 ? POLLIN | POLLPRI : 0) |
    ((interest & WRITE) !== 0 ? POLLOUT : 0);
}

function readyBits(revents: number): number {
  if ((revents & POLLNVAL) !== 0) return BAD;
  if ((revents & (POLLERR | POLLHUP)) !== 0) return READ | WRITE;
  return ((revents & (POLLIN | POLLPRI)) !== 0 ? READ : 0) |
    ((revents & POLLOUT) !== 0 ? WRITE : 0);
}

/** An array of `struct pollfd`; the first entry is the wake-up's. */
class PollPoller implements Poller {
  readonly name = "poll";
  readonly parking = "thread";
  readonly #c = libc();
  readonly #slots = new Map<number, number>();
  #bytes = new Uint8Array(POLLFD_SIZE * FEWEST);
  /** The same memory: fd at 2 * slot, events and revents at 4 * slot + 2, 3. */
  #fds = new Int32Array(this.#bytes.buffer);
  #flags = new Int16Array(this.#bytes.buffer);
  /** All but the wake-up. */
  #swept = this.#bytes.subarray(POLLFD_SIZE);
  #end = 1;
  #wakeup: Wakeup | null = null;
  readonly #timespec = new Timespec();
  readonly #precise = this.#hasPpoll();

  watch(fd: number, interest: number): void {
    if (interest === 0) {
      this.#forget(fd);
      return;
    }
    const closed = openError(fd);
    if (closed !== 0) {
      throw new SystemError(closed, "fcntl", `Cannot watch fd ${fd}`);
    }
    let slot = this.#slots.get(fd);
    if (slot === undefined) {
      slot = this.#end++;
      this.#slots.set(fd, slot);
      if (slot * POLLFD_SIZE >= this.#bytes.length) this.#grow();
      this.#fds[2 * slot] = fd;
    }
    this.#flags[4 * slot + 2] = pollFlags(interest);
  }

  sweep(report: Report): number {
    const end = this.#end;
    let left = this.#c.poll(this.#swept, end - 1, 0);
    if (left < 0) {
      const error = errnoCell !== null ? errnoCell[0]! : errno();
      return error === EINTR ? this.sweep(report) : 0;
    }
    if (left === 0) return 0;
    const found = left;
    const flags = this.#flags;
    for (let slot = 1; left > 0 && slot < end; slot++) {
      const revents = flags[4 * slot + 3]!;
      if (revents === 0) continue;
      left--;
      report(this.#fds[2 * slot]!, readyBits(revents));
    }
    return found;
  }

  close(): void {
    this.#wakeup?.close();
    this.#slots.clear();
    this.#end = 1;
  }

  async park(timeout: number | null): Promise<void> {
    this.#wakeup ??= new Wakeup();
    this.#wakeup.clear();
    this.#fds[0] = this.#wakeup.fd;
    this.#flags[2] = POLLIN;
    const copy = this.#bytes.slice(0, this.#end * POLLFD_SIZE);
    if (this.#precise) {
      const limit = timeout === null ? null : this.#timespec.set(timeout);
      await this.#c.ppoll_park!(copy, this.#end, limit, null);
    } else {
      const limit = timeout === null ? -1 : Math.ceil(timeout);
      await this.#c.poll_park(copy, this.#end, limit);
    }
  }

  wake(): void {
    this.#wakeup?.wake();
  }

  linger(timeout: number): boolean {
    if (!this.#precise) return false;
    const limit = this.#timespec.set(timeout);
    return this.#c.ppoll!(this.#swept, this.#end - 1, limit, null) > 0;
  }

  /** Not every system has ppoll, and a sandbox may not know it. */
  #hasPpoll(): boolean {
    const { ppoll } = this.#c;
    if (ppoll === null) return false;
    const now = this.#timespec.set(0);
    return retry(() => ppoll(this.#swept, 0, now, null)) >= 0;
  }

  #forget(fd: number): void {
    const slot = this.#slots.get(fd);
    if (slot === undefined) return;
    this.#slots.delete(fd);
    const last = --this.#end;
    if (slot === last) return;
    const moved = this.#fds[2 * last]!;
    this.#fds[2 * slot] = moved;
    this.#fds[2 * slot + 1] = this.#fds[2 * last + 1]!;
    this.#slots.set(moved, slot);
  }

  #grow(): void {
    const bytes = new Uint8Array(2 * this.#bytes.length);
    bytes.set(this.#bytes);
    this.#bytes = bytes;
    this.#fds = new Int32Array(bytes.buffer);
    this.#flags = new Int16Array(bytes.buffer);
    this.#swept = bytes.subarray(POLLFD_SIZE);
  }
}

/** Whether poll can be used: with FFI granted for libc. */
export function isAvailable(): boolean {
  return whyUnavailable() === "";
}

/** Why it is not available; "" if it is. */
export function whyUnavailable(): string {
  return whyNoLibc();
}

/**
 * The hub that calls `poll`.
 *
 * @example
 * ```ts
 * import { useHub } from "../mod.ts";
 * import * as poll from "./poll.ts";
 *
 * if (poll.isAvailable()) useHub(poll);
 * ```
 */
export class Hub extends BaseHub {
  /** Make the hub; it needs no descriptor until it parks. */
  constructor(options: HubOptions = {}) {
    const given = checkedOptions(options);
    super(new PollPoller(), { ...given, clock: given.clock ?? monotonic });
  }
}
