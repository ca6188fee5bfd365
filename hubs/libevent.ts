/**
 * The libevent hub: libevent 2.1's `event_base_loop`, with whatever method
 * libevent picks. Never chosen automatically.
 *
 * # Some facts about libevent, and the lines they shape
 *
 * - A base is its thread's alone, and so are its callbacks. A park waits
 *   elsewhere for what the base waits for: for its epoll descriptor, or for a
 *   copy of the descriptors, as the poll hub does.
 * - Its epoll events carry a number and no generation, so the ghost of a closed
 *   number passes for its successor. Before a registration is relied on or
 *   taken back, epoll is asked whether it still is that of the open file; if
 *   not, reports of the number are checked with poll(2) from then on, and a
 *   ghost that shows is laid by building the base anew.
 * - Its poll method takes a number that is not open for a ready one, its select
 *   method fails in such a case and does not tell a hang-up: there every report
 *   is checked. And both begin at a random place, so reports are put in order.
 * - So with its select method a lone writer is not woken by a hang-up that
 *   makes the descriptor neither writable nor an error.
 * - Its epoll method refuses a regular file, which is always ready; its select
 *   method, as Debian builds it, ends the process at descriptor 1024.
 *
 * @module
 */

import { monotonic } from "../ffi/clock.ts";
import {
  EINTR,
  ENOMEM,
  EPERM,
  EPOLL_CLOEXEC,
  EPOLL_CTL_ADD,
  EPOLL_CTL_DEL,
  EPOLL_CTL_MOD,
  EPOLLIN,
  EPOLLOUT,
  F_DUPFD_CLOEXEC,
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLNVAL,
  POLLOUT,
} from "../ffi/constants.ts";
import { check, retry, SystemError } from "../ffi/errors.ts";
import { epollEventLayout, POLLFD_SIZE, Timespec } from "../ffi/layout.ts";
import { errno, errnoCell, libc } from "../ffi/libc.ts";
import {
  EV_READ,
  EV_WRITE,
  EventBase,
  libeventMethods,
  whyNoLibevent,
} from "../ffi/libevent.ts";
import { epollError, openError } from "../ffi/open_error.ts";
import { Wakeup } from "../ffi/wakeup.ts";
import { checkedOptions } from "./checks.ts";
import { HubError } from "./errors.ts";
import { BaseHub, type HubOptions, type Statistics } from "./hub.ts";
import { BAD, type Poller, READ, type Report, WRITE } from "./poller.ts";

const { size: SIZE, data: DATA } = epollEventLayout();
const FD_SETSIZE = 1024;

function eventFlags(interest: number): number {
  return ((interest & READ) !== 0 ? EV_READ : 0) |
    ((interest & WRITE) !== 0 ? EV_WRITE : 0);
}

function readyBits(what: number): number {
  return ((what & EV_READ) !== 0 ? READ : 0) |
    ((what & EV_WRITE) !== 0 ? WRITE : 0);
}

/** A watched descriptor; without an event it is one that is always ready. */
interface Watched {
  readonly interest: number;
  readonly event: Deno.PointerObject | null;
}

/** One event base. */
class LibeventPoller implements Poller {
  readonly name = "libevent";
  readonly parking = "thread";
  readonly #c = libc();
  readonly #wanted: string | undefined;
  #base: EventBase;
  readonly #watched = new Map<number, Watched>();
  readonly #always = new Set<number>();
  /** Numbers that may have a ghost in the epoll set. */
  readonly #doubted = new Set<number>();
  #wakeup: Wakeup | null = null;
  readonly #event = new Uint8Array(SIZE);
  readonly #eventView = new DataView(this.#event.buffer);
  readonly #pollfd = new Uint8Array(POLLFD_SIZE);
  readonly #pollfdView = new DataView(this.#pollfd.buffer);
  readonly #timespec = new Timespec();
  readonly #precise = this.#hasPpoll();

  constructor(method?: string) {
    this.#wanted = method;
    this.#base = new EventBase(method);
  }

  get method(): string {
    return this.#base.method;
  }

  get fd(): number | undefined {
    return this.#base.epfd < 0 ? undefined : this.#base.epfd;
  }

  watch(fd: number, interest: number): void {
    const known = this.#watched.get(fd);
    if (interest === 0) {
      if (known !== undefined) this.#forget(fd, known);
      return;
    }
    const held = known !== undefined && this.#holds(fd, known);
    if (held && known.interest === interest) return;
    if (known !== undefined && !held) this.#forget(fd, known);
    const closed = openError(fd);
    if (closed !== 0) {
      throw new SystemError(closed, "fcntl", `Cannot watch fd ${fd}`);
    }
    if (this.method === "select" && fd >= FD_SETSIZE) {
      throw new RangeError(
        `Cannot watch fd ${fd}: libevent's method select takes less than 1024`,
      );
    }
    // The new one comes before the old one goes: one epoll_ctl, not two.
    let event = this.#base.add(fd, eventFlags(interest));
    let error = event === null ? this.#whyRefused(fd, interest) : 0;
    if (error === ENOMEM) {
      // Nothing that lasts: a signal, say, which libevent does not tell.
      event = this.#base.add(fd, eventFlags(interest));
      if (event !== null) error = 0;
    }
    if (held && known.event !== null) this.#base.remove(known.event);
    this.#watched.delete(fd);
    if (error !== 0 && error !== EPERM) {
      const { epfd } = this.#base;
      if (epfd < 0 || epollError(epfd) === 0) {
        throw new SystemError(error, "event_add", `Cannot watch fd ${fd}`);
      }
      // It is our descriptor that is no good, as a sweep would have found.
      this.#revive();
      this.watch(fd, interest);
      return;
    }
    if (event === null) this.#always.add(fd);
    this.#watched.set(fd, { interest, event });
  }

  sweep(report: Report): number {
    const ready = this.#base.loop();
    if (ready === null) return this.#recover(report);
    let found = 0;
    if (this.#base.epfd < 0) found = this.#reportInOrder(ready, report);
    else {
      for (let i = 0; i < ready.length; i += 2) {
        const fd = ready[i]!;
        const bits = this.#doubted.has(fd)
          ? this.#ask(fd)
          : readyBits(ready[i + 1]!);
        if (bits === 0) continue;
        report(fd, bits);
        found++;
      }
    }
    for (const fd of this.#always) {
      const bits = this.#ask(fd);
      if (bits === 0) continue;
      report(fd, bits);
      found++;
    }
    if (found === 0 && this.#doubted.size > 0) this.#layGhosts();
    return found;
  }

  close(): void {
    for (const { event } of this.#watched.values()) {
      if (event !== null) this.#base.remove(event);
    }
    this.#watched.clear();
    this.#always.clear();
    this.#base.free();
    this.#wakeup?.close();
  }

  async park(timeout: number | null): Promise<void> {
    this.#wakeup ??= new Wakeup();
    this.#wakeup.clear();
    const fds = this.#pollfds(this.#wakeup.fd);
    const size = fds.length / POLLFD_SIZE;
    if (this.#precise) {
      const limit = timeout === null ? null : this.#timespec.set(timeout);
      await this.#c.ppoll_park!(fds, size, limit, null);
    } else {
      const limit = timeout === null ? -1 : Math.ceil(timeout);
      await this.#c.poll_park(fds, size, limit);
    }
  }

  wake(): void {
    this.#wakeup?.wake();
  }

  linger(timeout: number): boolean {
    if (!this.#precise) return false;
    const fds = this.#pollfds(-1);
    const limit = this.#timespec.set(timeout);
    return this.#c.ppoll!(fds, fds.length / POLLFD_SIZE, limit, null) > 0;
  }

  /** Not every system has ppoll, and a sandbox may not know it. */
  #hasPpoll(): boolean {
    const { ppoll } = this.#c;
    if (ppoll === null) return false;
    const now = this.#timespec.set(0);
    return retry(() => ppoll(this.#pollfd, 0, now, null)) >= 0;
  }

  #forget(fd: number, { interest, event }: Watched): void {
    this.#watched.delete(fd);
    this.#always.delete(fd);
    if (event === null) return;
    if (this.#base.epfd >= 0 && !this.#holds(fd, { interest, event })) {
      this.#doubted.add(fd);
    }
    this.#base.remove(event);
  }

  /** Whether the registration is that of the file which is open as `fd`. */
  #holds(fd: number, { interest, event }: Watched): boolean {
    if (event === null) return false;
    if (this.#base.epfd >= 0) {
      return this.#ctl(EPOLL_CTL_MOD, fd, interest) === 0;
    }
    // These look every number up at every call.
    return (this.method === "poll" || this.method === "select") &&
      openError(fd) === 0;
  }

  /** Why an event could not be added: epoll tells, libevent does not. */
  #whyRefused(fd: number, interest: number): number {
    if (this.#base.epfd < 0) return EPERM;
    const error = this.#ctl(EPOLL_CTL_ADD, fd, interest);
    if (error !== 0) return error;
    this.#ctl(EPOLL_CTL_DEL, fd, 0);
    return ENOMEM;
  }

  /** epoll_ctl, just as libevent calls it; returns errno, 0 for success. */
  #ctl(op: number, fd: number, interest: number): number {
    const flags = ((interest & READ) !== 0 ? EPOLLIN : 0) |
      ((interest & WRITE) !== 0 ? EPOLLOUT : 0);
    this.#eventView.setUint32(0, flags, true);
    this.#eventView.setInt32(DATA, fd, true);
    for (;;) {
      const rc = this.#c.epoll_ctl(this.#base.epfd, op, fd, this.#event);
      if (rc >= 0) return 0;
      const error = errnoCell !== null ? errnoCell[0]! : errno();
      if (error !== EINTR) return error;
    }
  }

  /** What poll(2) says of a watched descriptor: 0 if it is not ready. */
  #ask(fd: number): number {
    const { interest } = this.#watched.get(fd)!;
    this.#entry(this.#pollfdView, 0, fd, interest);
    this.#c.poll(this.#pollfd, 1, 0);
    const revents = this.#pollfdView.getInt16(6, true);
    if ((revents & POLLNVAL) !== 0) return BAD;
    if ((revents & (POLLERR | POLLHUP)) !== 0) return READ | WRITE;
    return ((revents & POLLIN) !== 0 ? READ : 0) |
      ((revents & POLLOUT) !== 0 ? WRITE : 0);
  }

  /** Fill one `struct pollfd`. */
  #entry(view: DataView, at: number, fd: number, interest: number): void {
    const flags = ((interest & READ) !== 0 ? POLLIN : 0) |
      ((interest & WRITE) !== 0 ? POLLOUT : 0);
    view.setInt32(at, fd, true);
    view.setInt16(at + 4, flags, true);
    view.setInt16(at + 6, 0, true);
  }

  /** What a park waits for, the wake-up first (-1: none). */
  #pollfds(wakeup: number): Uint8Array<ArrayBuffer> {
    const { epfd } = this.#base;
    const wanted: [number, number][] = epfd >= 0
      ? [[wakeup, READ], [epfd, READ]]
      : [[wakeup, READ]];
    if (epfd < 0) {
      for (const [fd, { interest }] of this.#watched) {
        wanted.push([fd, interest]);
      }
    }
    const bytes = new Uint8Array(wanted.length * POLLFD_SIZE);
    const view = new DataView(bytes.buffer);
    wanted.forEach(([fd, interest], i) =>
      this.#entry(view, i * POLLFD_SIZE, fd, interest)
    );
    return bytes;
  }

  /** For methods that begin at a random place and do not tell all. */
  #reportInOrder(ready: readonly number[], report: Report): number {
    const fds = ready.filter((_, i) => i % 2 === 0).sort((a, b) => a - b);
    for (const fd of fds) report(fd, this.#ask(fd));
    return fds.length;
  }

  /** The base's system call failed: something is closed that should not be. */
  #recover(report: Report): number {
    let found = 0;
    for (const fd of [...this.#watched.keys()]) {
      if (openError(fd) === 0) continue;
      report(fd, BAD);
      found++;
    }
    if (found === 0) this.#revive();
    return found;
  }

  /** The set is ready, but for nothing that libevent knows of: ghosts. */
  #layGhosts(): void {
    this.#entry(this.#pollfdView, 0, this.#base.epfd, READ);
    if (this.#c.poll(this.#pollfd, 1, 0) > 0) this.#rebuild(true);
  }

  /**
   * Our descriptor was closed by somebody, and its number may be another's by
   * now: a new base. To free the old one closes that number once more, so it is
   * held by something of ours then, or the old one is not freed.
   */
  #revive(): void {
    const { epfd } = this.#base;
    if (epfd < 0) {
      this.#rebuild(true);
      return;
    }
    const c = this.#c;
    const any = retry(() => c.epoll_create1(EPOLL_CLOEXEC));
    check(any, "epoll_create1");
    let held = any;
    if (any !== epfd) {
      held = retry(() => c.fcntl(any, F_DUPFD_CLOEXEC, epfd));
      c.close(any);
    }
    const ours = held === epfd;
    if (!ours && held >= 0) c.close(held);
    try {
      this.#rebuild(ours);
    } catch (error) {
      if (ours) c.close(held);
      throw error;
    }
  }

  /** A new base with all that is watched; the old one's descriptor is `ours`. */
  #rebuild(ours: boolean): void {
    const old = this.#base;
    this.#base = new EventBase(this.#wanted);
    const watched = [...this.#watched];
    for (const [, { event }] of watched) if (event !== null) old.remove(event);
    if (ours) old.free();
    else old.abandon();
    this.#watched.clear();
    this.#always.clear();
    this.#doubted.clear();
    for (const [fd, { interest }] of watched) {
      try {
        this.watch(fd, interest);
      } catch {
        // Closed: to be reported as BAD by way of the always-ready list.
        this.#watched.set(fd, { interest, event: null });
        this.#always.add(fd);
      }
    }
  }
}

/** Whether libevent 2.1 is installed, and FFI granted in full. */
export function isAvailable(): boolean {
  return whyUnavailable() === "";
}

/** Why it is not available; "" if it is. */
export function whyUnavailable(): string {
  return whyNoLibevent();
}

/** What the libevent hub takes beside what every hub takes. */
export interface LibeventOptions extends HubOptions {
  /** The method libevent is to use; by default it picks the best. */
  readonly method?: "epoll" | "poll" | "select" | undefined;
}

/** A hub's counters, and the method libevent uses. */
export interface LibeventStatistics extends Statistics {
  /** `"epoll"`, `"poll"`, `"select"`, or what else libevent has. */
  readonly method: string;
}

/**
 * The hub that calls `event_base_loop`.
 *
 * @example
 * ```ts
 * import { useHub } from "../mod.ts";
 * import * as libevent from "./libevent.ts";
 *
 * if (libevent.isAvailable()) useHub(libevent);
 * ```
 */
export class Hub extends BaseHub {
  readonly #poller: LibeventPoller;

  /**
   * Make the hub: one event base.
   *
   * @throws {HubError} If libevent was built without `options.method`.
   */
  constructor(options: LibeventOptions = {}) {
    const given = checkedOptions(options);
    const poller = new LibeventPoller(checkedMethod(given.method));
    super(poller, { ...given, clock: given.clock ?? monotonic });
    this.#poller = poller;
  }

  /** What it has done so far, and by which method. */
  override statistics(): LibeventStatistics {
    return { ...super.statistics(), method: this.#poller.method };
  }
}

function checkedMethod(
  method: string | null | undefined,
): string | undefined {
  const methods = libeventMethods();
  if (method === undefined || method === null) return undefined;
  if (methods.includes(method)) return method;
  throw new HubError(
    `Cannot make hub libevent: no method "${method}", only ` +
      methods.join(", "),
  );
}
