/**
 * The I/O driver of Deno's loop, seen from outside: does it have anything to
 * attend to?
 *
 * It waits in an epoll set of its own, and an epoll descriptor polls readable
 * while it has events: one `poll(2)` tells whether anybody but us wants the
 * thread. The trap it guards: the driver asks about every descriptor for input
 * and output both, so what we do with our own may look like work for Deno.
 *
 * None of this is documented by Deno. Everything here therefore fails safe: an
 * answer is null, or nothing is done.
 *
 * @module
 */

import {
  EPOLL_CTL_MOD,
  EPOLLOUT,
  O_CLOEXEC,
  POLLIN,
} from "../ffi/constants.ts";
import { retry } from "../ffi/errors.ts";
import { epollEventLayout, POLLFD_SIZE, Timespec } from "../ffi/layout.ts";
import { libc } from "../ffi/libc.ts";
import { DENOS, OURS, type Sleep } from "./brief_wait.ts";
import type { Poller } from "./poller.ts";

const MAX_SEARCHED = 4096;
/** So many numbers in a row that are not open end the search. */
const MAX_GAP = 64;

/** The driver's epoll descriptor: the thread's loop keeps it for life. */
let driver: number | null | undefined;

function driverThat(watches: number): number | null {
  if (driver === undefined) driver = findDriver(watches);
  return driver;
}

/**
 * A function that tells whether Deno's I/O driver has something to attend to,
 * for the price of one system call; null where that cannot be found out.
 *
 * @param watched A descriptor known to be watched by the loop.
 */
export function driverPending(watched: number): (() => boolean) | null {
  const epoll = driverThat(watched);
  if (epoll === null) return null;
  const pollfd = new Uint8Array(POLLFD_SIZE);
  const view = new DataView(pollfd.buffer);
  view.setInt32(0, epoll, true);
  view.setInt16(4, POLLIN, true);
  const { poll } = libc();
  return () => poll(pollfd, 1, 0) > 0;
}

/**
 * A way to sleep on this thread without keeping Deno's I/O waiting: one
 * `ppoll(2)` of the poller's descriptor and the driver's. Null where there is no
 * such descriptor, or the driver cannot be seen.
 *
 * @param watched A descriptor known to be watched by the loop.
 */
export function sleepBesideDriver(
  watched: number,
  poller: Poller,
): Sleep | null {
  const epoll = driverThat(watched);
  const { ppoll } = libc();
  if (epoll === null || poller.fd === undefined || ppoll === null) return null;
  const pollfds = new Uint8Array(2 * POLLFD_SIZE);
  const view = new DataView(pollfds.buffer);
  view.setInt16(4, POLLIN, true);
  view.setInt32(POLLFD_SIZE, epoll, true);
  view.setInt16(POLLFD_SIZE + 4, POLLIN, true);
  const limit = new Timespec();
  if (retry(() => ppoll(pollfds, 0, limit.set(0), null)) < 0) return null;
  return (ms) => {
    // The poller's may change; -1 would be left out.
    view.setInt32(0, poller.fd ?? -1, true);
    if (ppoll(pollfds, 2, limit.set(ms), null) <= 0) return 0;
    return (view.getInt16(6, true) !== 0 ? OURS : 0) |
      (view.getInt16(POLLFD_SIZE + 6, true) !== 0 ? DENOS : 0);
  };
}

/**
 * Have the driver leave it alone that a descriptor of ours, which it watches,
 * can be written to. Does nothing where the driver cannot be seen.
 */
export function forgetOutput(watched: number): void {
  const epoll = driverThat(watched);
  const entry = epoll === null ? null : entryOf(epoll, watched);
  if (epoll === null || entry === null) return;
  const [events, data] = entry;
  const layout = epollEventLayout();
  const bytes = new Uint8Array(layout.size);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, events & ~EPOLLOUT, true);
  view.setBigUint64(layout.data, data, true);
  retry(() => libc().epoll_ctl(epoll, EPOLL_CTL_MOD, watched, bytes));
}

/** The epoll descriptor that watches `watched`; null if none can be seen. */
function findDriver(watched: number): number | null {
  let gap = 0;
  for (let fd = 3; fd < MAX_SEARCHED && gap < MAX_GAP; fd++) {
    const info = readInfo(fd);
    if (entryIn(info, watched) !== null) return fd;
    gap = info === "" ? gap + 1 : 0;
  }
  return null;
}

/** What an epoll set asks of a descriptor, and what identifies the answer. */
type Entry = readonly [events: number, data: bigint];

/** The entry of a descriptor in an epoll set; null if it has none. */
export function entryOf(epoll: number, watched: number): Entry | null {
  return entryIn(readInfo(epoll), watched);
}

/**
 * Look for a line such as
 * `tfd:       23 events: 8000201d data: 7f12a3  pos:0 ino:119345a sdev:9`.
 * A set may still have the number for something that was closed under it and
 * has a duplicate elsewhere. So what the number names must be the same, and
 * there must be no doubt: the data is an address in Deno.
 */
function entryIn(info: string, watched: number): Entry | null {
  const lines = new RegExp(
    `^tfd:\\s*${watched} events:\\s*([0-9a-f]+) data:\\s*([0-9a-f]+)(.*)$`,
    "gm",
  );
  const [match, second] = info.matchAll(lines);
  if (match === undefined || second !== undefined) return null;
  const inode = /^ino:\s*(\d+)/m.exec(readInfo(watched))?.[1];
  const there = / ino:([0-9a-f]+)/.exec(match[3]!)?.[1];
  if (inode !== undefined && there !== undefined) {
    if (Number(inode) !== parseInt(there, 16)) return null;
  }
  return [parseInt(match[1]!, 16), BigInt(`0x${match[2]}`)];
}

/** Read `/proc/self/fdinfo/<fd>` through libc: no permission to read is needed. */
function readInfo(fd: number): string {
  const c = libc();
  const path = `/proc/self/fdinfo/${fd}\0`;
  const name = new TextEncoder().encode(path);
  const file = retry(() => c.open(name, O_CLOEXEC));
  if (file < 0) return "";
  const chunk = new Uint8Array(4096);
  let text = "";
  const read = (): number => c.read(file, chunk, chunk.length);
  for (let n; (n = retry(read)) > 0;) {
    text += new TextDecoder().decode(chunk.subarray(0, n));
  }
  c.close(file);
  return text;
}
