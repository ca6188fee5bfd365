/**
 * The epolls hub: epoll(7), the best there is on Linux.
 *
 * # Some facts about epoll, and the lines they shape
 *
 * - A registration belongs to the pair (number, open file). Closing the number
 *   drops it only when no duplicate of the file is left; until then the kernel
 *   goes on reporting a number that is closed or names something else by now,
 *   and refuses to delete it (EBADF, ENOENT). So each registration carries a
 *   generation in its `data`; an event of another generation is a ghost, and
 *   a ghost can only be laid by building the set anew.
 * - Closing the last duplicate drops the registration in silence. So MOD may
 *   say ENOENT (then ADD), and ADD may say EEXIST (then MOD).
 * - A regular file is refused with EPERM. By POSIX it is always ready, and so
 *   poll and select report it; here it is put on a list of its own.
 * - The set may be changed while another thread waits in it.
 *
 * @module
 */

import {
  EBADF,
  EEXIST,
  EINTR,
  EINVAL,
  ENOENT,
  EPERM,
  EPOLL_CLOEXEC,
  EPOLL_CTL_ADD,
  EPOLL_CTL_DEL,
  EPOLL_CTL_MOD,
  EPOLLERR,
  EPOLLHUP,
  EPOLLIN,
  EPOLLOUT,
  EPOLLPRI,
  F_DUPFD_CLOEXEC,
} from "../ffi/constants.ts";
import { monotonic } from "../ffi/clock.ts";
import { check, retry, SystemError } from "../ffi/errors.ts";
import { epollEventLayout, Timespec } from "../ffi/layout.ts";
import { errno, errnoCell, libc, whyNoLibc } from "../ffi/libc.ts";
import { epollError, openError } from "../ffi/open_error.ts";
import { closeAtThreadExit } from "../ffi/thread_exit.ts";
import { Wakeup } from "../ffi/wakeup.ts";
import { FdMap } from "./fd_map.ts";
import { checkedOptions } from "./checks.ts";
import { BaseHub, type HubOptions } from "./hub.ts";
import { BAD, type Poller, READ, type Report, WRITE } from "./poller.ts";

const { size: SIZE, data: DATA } = epollEventLayout();
const FEWEST_EVENTS = 64;
const MOST_EVENTS = 4096;

/** A new epoll descriptor; of another number than `old`, if that can be had. */
function openEpoll(old = -1): number {
  const c = libc();
  const fd = check(
    retry(() => c.epoll_create1(EPOLL_CLOEXEC)),
    "epoll_create1",
  );
  if (fd !== old) return fd;
  const other = retry(() => c.fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (other < 0) return fd;
  c.close(fd);
  return other;
}

function epollFlags(interest: number): number {
  return ((interest & READ) !== 0 ? EPOLLIN | EPOLLPRI : 0) |
    ((interest & WRITE) !== 0 ? EPOLLOUT : 0);
}

function readyBits(events: number): number {
  if ((events & (EPOLLERR | EPOLLHUP)) !== 0) return READ | WRITE;
  return ((events & (EPOLLIN | EPOLLPRI)) !== 0 ? READ : 0) |
    ((events & EPOLLOUT) !== 0 ? WRITE : 0);
}

/** One epoll set. */
class EpollPoller implements Poller {
  readonly name = "epolls";
  readonly parking = "thread";
  readonly #c = libc();
  #epfd: number;
  /** By descriptor: generation * 4 + interest. */
  readonly #watched = new FdMap<number>();
  readonly #always = new Set<number>();
  #generation = 0;
  #wakeup: Wakeup | null = null;
  /** Events that a brief wait has found, for the sweep that follows. */
  #found = 0;
  readonly #event = new Uint8Array(SIZE);
  readonly #eventView = new DataView(this.#event.buffer);
  #events = new Uint8Array(SIZE * FEWEST_EVENTS);
  #eventsView = new DataView(this.#events.buffer);
  readonly #parkEvent = new Uint8Array(SIZE);
  readonly #timespec = new Timespec();
  readonly #precise: boolean;
  #keep: Disposable;

  constructor() {
    this.#epfd = openEpoll();
    this.#keep = closeAtThreadExit(this.#epfd);
    this.#precise = this.#hasPwait2();
  }

  get fd(): number {
    return this.#epfd;
  }

  watch(fd: number, interest: number): void {
    // The kernel tells of them again, if they still are.
    this.#found = 0;
    const known = this.#watched.get(fd);
    if (interest === 0) {
      if (known === undefined) return;
      this.#watched.delete(fd);
      // It may have gone with its file; if its ghost stays, a sweep sees it.
      if (!this.#always.delete(fd)) this.#ctl(EPOLL_CTL_DEL, fd, 0, 0);
      return;
    }
    let generation = known === undefined
      ? ++this.#generation
      : Math.floor(known / 4);
    let error = known === undefined || this.#always.has(fd)
      ? this.#ctl(EPOLL_CTL_ADD, fd, interest, generation)
      : this.#ctl(EPOLL_CTL_MOD, fd, interest, generation);
    if (error === ENOENT) {
      generation = ++this.#generation;
      error = this.#ctl(EPOLL_CTL_ADD, fd, interest, generation);
    } else if (error === EEXIST) {
      error = this.#ctl(EPOLL_CTL_MOD, fd, interest, generation);
    }
    if (error === EPERM) this.#always.add(fd);
    else if (error === 0) this.#always.delete(fd);
    else {
      this.#watched.delete(fd);
      this.#always.delete(fd);
      if (epollError(this.#epfd) === 0) {
        throw new SystemError(error, "epoll_ctl", `Cannot watch fd ${fd}`);
      }
      // It is our descriptor that is no good, as a sweep would have found.
      this.#rebuild(false);
      this.watch(fd, interest);
      return;
    }
    this.#watched.set(fd, generation * 4 + interest);
  }

  sweep(report: Report): number {
    const max = this.#events.length / SIZE;
    const n = this.#found > 0
      ? this.#found
      : this.#c.epoll_wait(this.#epfd, this.#events, max, 0);
    this.#found = 0;
    if (n < 0) {
      const error = errnoCell !== null ? errnoCell[0]! : errno();
      if (error === EINTR) return this.sweep(report);
      // Somebody closed our descriptor, or it names another file by now.
      if (error === EBADF || error === EINVAL) this.#rebuild(false);
      return this.#reportAlways(report);
    }
    const view = this.#eventsView;
    let found = 0;
    let ghost = false;
    for (let i = 0; i < n; i++) {
      const at = i * SIZE;
      const fd = view.getInt32(at + DATA, true);
      const known = this.#watched.get(fd);
      if (
        known !== undefined &&
        view.getUint32(at + DATA + 4, true) === Math.floor(known / 4)
      ) {
        report(fd, readyBits(view.getUint32(at, true)));
        found++;
      } else if (fd === this.#wakeup?.fd) this.#wakeup.clear();
      else ghost = true;
    }
    if (ghost) this.#rebuild(true);
    if (n === max && max < MOST_EVENTS) {
      this.#events = new Uint8Array(2 * this.#events.length);
      this.#eventsView = new DataView(this.#events.buffer);
    }
    return this.#always.size === 0 ? found : found + this.#reportAlways(report);
  }

  close(): void {
    this.#keep[Symbol.dispose]();
    this.#c.close(this.#epfd);
    this.#epfd = -1;
    this.#wakeup?.close();
  }

  async park(timeout: number | null): Promise<void> {
    if (this.#wakeup === null) {
      this.#wakeup = new Wakeup();
      this.#watchWakeup();
    }
    this.#wakeup.clear();
    // What it returns decides nothing, and its errno is another thread's.
    if (this.#precise) {
      const limit = timeout === null ? null : this.#timespec.set(timeout);
      await this.#c.epoll_pwait2_park!(
        this.#epfd,
        this.#parkEvent,
        1,
        limit,
        null,
      );
    } else {
      const limit = timeout === null ? -1 : Math.ceil(timeout);
      await this.#c.epoll_wait_park(this.#epfd, this.#parkEvent, 1, limit);
    }
  }

  wake(): void {
    this.#wakeup?.wake();
  }

  linger(timeout: number): boolean {
    const c = this.#c;
    const events = this.#events;
    const max = events.length / SIZE;
    if (timeout === 0) {
      this.#found = c.epoll_wait(this.#epfd, events, max, 0);
    } else if (this.#precise) {
      const limit = this.#timespec.set(timeout);
      this.#found = c.epoll_pwait2!(this.#epfd, events, max, limit, null);
    }
    return this.#found > 0;
  }

  /** epoll_ctl; returns errno, 0 for success. */
  #ctl(op: number, fd: number, interest: number, generation: number): number {
    this.#eventView.setUint32(0, epollFlags(interest), true);
    this.#eventView.setInt32(DATA, fd, true);
    this.#eventView.setUint32(DATA + 4, generation, true);
    for (;;) {
      const rc = this.#c.epoll_ctl(this.#epfd, op, fd, this.#event);
      if (rc >= 0) return 0;
      const error = errnoCell !== null ? errnoCell[0]! : errno();
      if (error !== EINTR) return error;
    }
  }

  /** epoll_pwait2 is younger than some kernels, and than some libcs. */
  #hasPwait2(): boolean {
    const { epoll_pwait2 } = this.#c;
    if (epoll_pwait2 === null) return false;
    const now = this.#timespec.set(0);
    const event = this.#parkEvent;
    return retry(() => epoll_pwait2(this.#epfd, event, 1, now, null)) >= 0;
  }

  #watchWakeup(): void {
    if (this.#wakeup === null) return;
    this.#ctl(EPOLL_CTL_ADD, this.#wakeup.fd, READ, 0);
  }

  #reportAlways(report: Report): number {
    for (const fd of this.#always) {
      const open = openError(fd) === 0;
      report(fd, open ? this.#watched.get(fd)! & 3 : BAD);
    }
    return this.#always.size;
  }

  /** Lay ghosts: a new set with all that is watched. */
  #rebuild(closeOld: boolean): void {
    // The new one first: whoever watches our descriptor sees another number.
    const old = this.#epfd;
    this.#epfd = openEpoll(old);
    this.#keep[Symbol.dispose]();
    this.#keep = closeAtThreadExit(this.#epfd);
    if (closeOld) this.#c.close(old);
    this.#watchWakeup();
    for (const [fd, known] of this.#watched.entries()) {
      this.#watched.delete(fd);
      try {
        this.watch(fd, known & 3);
      } catch {
        // Closed: to be reported as BAD by way of the always-ready list.
        this.#watched.set(fd, known);
        this.#always.add(fd);
      }
    }
  }
}

/** Whether epoll can be used: on Linux, with FFI granted for libc. */
export function isAvailable(): boolean {
  return whyUnavailable() === "";
}

/** Why it is not available; "" if it is. */
export function whyUnavailable(): string {
  if (Deno.build.os !== "linux" && Deno.build.os !== "android") {
    return "epoll exists on Linux only";
  }
  return whyNoLibc();
}

/**
 * The hub that calls `epoll_wait`.
 *
 * @example
 * ```ts
 * import { useHub } from "../mod.ts";
 * import * as epolls from "./epolls.ts";
 *
 * if (epolls.isAvailable()) useHub(epolls);
 * ```
 */
export class Hub extends BaseHub {
  /** Make the hub: one epoll descriptor. */
  constructor(options: HubOptions = {}) {
    const given = checkedOptions(options);
    super(new EpollPoller(), { ...given, clock: given.clock ?? monotonic });
  }
}
