/**
 * A hub as somebody else would write it: the three methods a poller must have,
 * and nothing else. Every sweep asks poll(2) about each descriptor in turn.
 */

import { BaseHub, type Poller, type Report } from "../../hubs/mod.ts";
import { BAD, READ, SystemError, WRITE } from "../../hubs/mod.ts";
import { libc } from "../../ffi/libc.ts";

const POLLIN = 1;
const POLLOUT = 4;
const POLLERR = 8;
const POLLHUP = 16;
const POLLNVAL = 32;
const EBADF = 9;

/** The three methods over poll(2). */
export class TinyPoller implements Poller {
  readonly #watched = new Map<number, number>();

  watch(fd: number, interest: number): void {
    if (interest === 0) {
      this.#watched.delete(fd);
      return;
    }
    if (look(fd, 0) === BAD) throw new SystemError(EBADF, "poll");
    this.#watched.set(fd, interest);
  }

  sweep(report: Report): number {
    let found = 0;
    for (const [fd, interest] of this.#watched) {
      const ready = look(fd, interest);
      if (ready === 0) continue;
      report(fd, ready);
      found++;
    }
    return found;
  }

  close(): void {
    this.#watched.clear();
  }
}

/** What poll(2) says of one descriptor, without waiting. */
export function look(fd: number, interest: number): number {
  return bits(poll(fd, interest)) & (interest | BAD);
}

function poll(fd: number, interest: number): number {
  const events = (interest & READ ? POLLIN : 0) |
    (interest & WRITE ? POLLOUT : 0);
  const pollfd = new DataView(new ArrayBuffer(8));
  pollfd.setInt32(0, fd, true);
  pollfd.setInt16(4, events, true);
  libc().poll(new Uint8Array(pollfd.buffer), 1, 0);
  return pollfd.getInt16(6, true);
}

function bits(revents: number): number {
  if (revents & POLLNVAL) return BAD;
  if (revents & (POLLERR | POLLHUP)) return READ | WRITE;
  return (revents & POLLIN ? READ : 0) | (revents & POLLOUT ? WRITE : 0);
}

export function isAvailable(): boolean {
  return true;
}

export class Hub extends BaseHub {
  constructor() {
    super(new TinyPoller());
  }
}
