/**
 * What a case of the conformance suite works with: a hub of its own, real
 * descriptors, and a look at what is left behind.
 *
 * The trap it guards: a case that hangs must fail, and one that fails must
 * still give everything back, or the next one pays for it.
 *
 * @module
 */

import assert from "node:assert/strict";
import {
  EAGAIN,
  F_GETFD,
  F_SETFD,
  F_SETFL,
  FD_CLOEXEC,
  O_NONBLOCK,
} from "../../ffi/constants.ts";
import { check, SystemError } from "../../ffi/errors.ts";
import { errno, libc } from "../../ffi/libc.ts";
import { hubExceptions, hubPreventMultipleReaders } from "../debug.ts";
import { macrotask } from "../deno_loop.ts";
import type { BaseHub } from "../hub.ts";
import { getHub, type HubModule, useHub } from "../registry.ts";
import { sleep } from "../spawn.ts";

/** The title, "symbol() criterion"; the case; a permission it cannot do without. */
export type Case = readonly [
  title: string,
  run: (rig: Rig) => void | Promise<void>,
  needs?: "net" | "run",
];

const F_DUPFD = 0;
const AF_UNIX = 1;
const SOCK_STREAM = 1;
/** Descriptors are counted up to this number. */
const MOST_FDS = 4096;
/** A case that takes longer hangs. */
const CASE_MS = 15_000;
/** How long Deno's own threads may take to close what they closed. */
const SETTLE_MS = 2000;

/** A case's own hub, descriptors and reports. */
export class Rig {
  readonly #open = new Set<number>();
  #reports: string[] = [];

  /** The thread's hub. */
  get hub(): BaseHub {
    return getHub();
  }

  /** A pipe: the end to read, the end to write; neither blocks. */
  pipe(): [reader: number, writer: number] {
    const pair = new Int32Array(2);
    check(libc().pipe(pair), "pipe");
    return [this.#keep(pair[0]!), this.#keep(pair[1]!)];
  }

  /** Two stream sockets that are connected; neither blocks. */
  socketpair(): [a: number, b: number] {
    const pair = new Int32Array(2);
    check(libc().socketpair(AF_UNIX, SOCK_STREAM, 0, pair), "socketpair");
    return [this.#keep(pair[0]!), this.#keep(pair[1]!)];
  }

  /** A regular file, open for reading. */
  file(): number {
    const path = new TextEncoder().encode("/bin/sh\0");
    return this.#keep(check(libc().open(path, 0), "open"));
  }

  /** A duplicate; the number is the least one free from `least` on. */
  dup(fd: number, least = 0): number {
    const copy = libc().fcntl(fd, F_DUPFD, least);
    return this.#keep(check(copy, "fcntl", `Cannot duplicate fd ${fd}`));
  }

  /** Close the number `fd` and make it a duplicate of `other` in one step. */
  reuse(fd: number, other: number): void {
    check(libc().dup2(other, fd), "dup2");
    this.#keep(fd);
  }

  /** Close a descriptor, without a word to the hub. */
  close(fd: number): void {
    this.#open.delete(fd);
    check(libc().close(fd), "close");
  }

  /** Write `count` bytes, all the same. */
  write(fd: number, count = 1, byte = 0x78): void {
    const bytes = new Uint8Array(count).fill(byte);
    assert.equal(check(libc().write(fd, bytes, count), "write"), count);
  }

  /** Write until nothing more is taken; returns how much was. */
  fill(fd: number): number {
    const bytes = new Uint8Array(65_536);
    for (let total = 0;;) {
      const n = libc().write(fd, bytes, bytes.length);
      if (n > 0) total += n;
      else if (errno() === EAGAIN) return total;
      else check(n, "write");
    }
  }

  /** Read up to `count` bytes; null if there is nothing yet, 0 at the end. */
  read(fd: number, count = 1): number | null {
    const n = libc().read(fd, new Uint8Array(count), count);
    if (n < 0) {
      const error = errno();
      if (error === EAGAIN) return null;
      throw new SystemError(error, "read");
    }
    return n;
  }

  /** Let `count` passes of MAINLOOP go by. */
  async passes(count: number): Promise<void> {
    for (let i = 0; i < count; i++) await sleep();
  }

  /** Until MAINLOOP has found nothing to do and has parked. */
  async parked(): Promise<void> {
    const { parks } = this.hub.statistics();
    while (this.hub.statistics().parks === parks) await macrotask();
    await macrotask();
  }

  /** Something went to stderr. */
  report(args: readonly unknown[]): void {
    this.#reports.push(args.map(String).join(" "));
  }

  /** What went to stderr since the last call; at the end there may be none. */
  takeReports(): string[] {
    const taken = this.#reports;
    this.#reports = [];
    return taken;
  }

  /** Assert that nothing is registered with the hub. */
  assertIdle(): void {
    assert.deepEqual(
      [
        this.hub.getReaders().length,
        this.hub.getWriters().length,
        this.hub.getTimersCount(),
      ],
      [0, 0, 0],
      "readers, writers and timers left behind",
    );
  }

  /** Close whatever the case opened and did not close. */
  closeAll(): void {
    for (const fd of this.#open) libc().close(fd);
    this.#open.clear();
  }

  #keep(fd: number): number {
    libc().fcntl(fd, F_SETFL, O_NONBLOCK);
    libc().fcntl(fd, F_SETFD, FD_CLOEXEC);
    this.#open.add(fd);
    return fd;
  }
}

/**
 * Run one case on a hub of its own, null for the default one, and look at what
 * it leaves behind.
 */
export async function runCase(
  module: HubModule | null,
  run: Case[1],
): Promise<void> {
  const before = openFds();
  useHub(module);
  const rig = new Rig();
  const { error } = console;
  // A callback that throws does not fail the case: its report does.
  console.error = (...args: unknown[]) => rig.report(args);
  try {
    await within(CASE_MS, Promise.resolve(run(rig)));
  } finally {
    console.error = error;
    hubExceptions(true);
    hubPreventMultipleReaders(true);
    await within(CASE_MS, getHub().close());
    rig.closeAll();
  }
  assert.deepEqual(rig.takeReports(), [], "errors reported on stderr");
  let left = newSince(before);
  const deadline = performance.now() + SETTLE_MS;
  while (left.length > 0 && performance.now() < deadline) {
    await macrotask();
    left = newSince(before);
  }
  assert.deepEqual(left.map(describe), [], "descriptors left behind");
}

/** Reject unless `promise` settles in `ms`. */
export async function within<T>(ms: number, promise: Promise<T>): Promise<T> {
  const limit = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => limit.reject(new Error(`Nothing came of it within ${ms} ms`)),
    ms,
  );
  try {
    return await Promise.race([promise, limit.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** The error `promise` rejects with; fails if it resolves. */
export async function failure(promise: Promise<unknown>): Promise<Error> {
  let value;
  try {
    value = await promise;
  } catch (error) {
    assert.ok(error instanceof Error, `Rejected with no Error: ${error}`);
    return error;
  }
  return assert.fail(`Resolved instead of rejecting: ${String(value)}`);
}

/** The numbers of all open descriptors, found without any permission. */
function openFds(): Set<number> {
  const open = new Set<number>();
  for (let fd = 0; fd < MOST_FDS; fd++) {
    if (libc().fcntl(fd, F_GETFD, 0) >= 0) open.add(fd);
  }
  return open;
}

/** A number and, where the system tells, what it leads to. */
function describe(fd: number): string {
  try {
    return `fd ${fd}: ${Deno.readLinkSync(`/proc/self/fd/${fd}`)}`;
  } catch {
    return `fd ${fd}`;
  }
}

function newSince(before: ReadonlySet<number>): number[] {
  return [...openFds()].filter((fd) => !before.has(fd));
}

/** A callback that must not be called. */
export function never(): never {
  return assert.fail("called");
}
