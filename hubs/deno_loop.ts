/**
 * What a hub knows of Deno's own event loop, which it shares the thread with:
 * how to let it turn once, how to be called by it when a descriptor of ours
 * has something, and whether it has I/O to attend to.
 *
 * Traps it guards: `setTimeout(0)` takes two milliseconds, `setImmediate` one
 * microsecond; and Deno's I/O driver is looked at only every 61 polls while
 * JavaScript is busy. It waits in an epoll set of its own, and an epoll
 * descriptor polls readable while it has events: one `poll(2)` tells whether
 * anybody but us wants the thread.
 *
 * None of this is documented by Deno. Everything here therefore fails safe: a
 * constructor throws or an answer is null, and the caller falls back.
 *
 * @module
 */

import process from "node:process";
import {
  CLOCK_MONOTONIC,
  EFD_CLOEXEC,
  EFD_NONBLOCK,
  O_CLOEXEC,
  POLLIN,
  TFD_CLOEXEC,
  TFD_NONBLOCK,
} from "../ffi/constants.ts";
import { check } from "../ffi/errors.ts";
import { ITIMERSPEC_SIZE, POLLFD_SIZE, Timespec } from "../ffi/layout.ts";
import { libc } from "../ffi/libc.ts";
import { closeAtThreadExit } from "../ffi/thread_exit.ts";

/** One turn of Deno's loop. */
export function macrotask(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

/** The part of Node's internal `Pipe` handle that is used. */
interface PipeHandle {
  onread: () => void;
  open(fd: number): number;
  readStart(): number;
  close(): void;
  ref(): void;
  unref(): void;
}

interface PipeBinding {
  Pipe: new (type: number) => PipeHandle;
  constants: { SOCKET: number };
}

function pipeBinding(): PipeBinding {
  const { binding } = process as unknown as {
    binding(name: string): PipeBinding;
  };
  return binding.call(process, "pipe_wrap");
}

/**
 * A descriptor that Deno's loop reads for us: an eventfd or a timerfd. After it
 * became readable, `onEvent` is called from the loop. It keeps the process
 * alive between `ref()` and `unref()` only.
 */
abstract class LoopHandle {
  readonly fd: number;
  readonly #handle: PipeHandle;
  readonly #keep: Disposable;

  constructor(fd: number, onEvent: () => void) {
    this.fd = fd;
    try {
      const { Pipe, constants } = pipeBinding();
      this.#handle = new Pipe(constants.SOCKET);
      this.#handle.onread = onEvent;
      if (this.#handle.open(fd) !== 0 || this.#handle.readStart() !== 0) {
        throw new Error("Cannot watch a descriptor with Deno's loop");
      }
    } catch (error) {
      libc().close(fd);
      throw error;
    }
    this.#handle.unref();
    this.#keep = closeAtThreadExit(fd);
  }

  /** Keep the process alive. */
  ref(): void {
    this.#handle.ref();
  }

  /** Do not keep the process alive. */
  unref(): void {
    this.#handle.unref();
  }

  /** Stop watching and close the descriptor. */
  close(): void {
    this.#keep[Symbol.dispose]();
    this.#handle.close();
  }
}

/** An eventfd that Deno's loop watches: the kernel, or anybody, writes to it. */
export class LoopEvent extends LoopHandle {
  /**
   * @throws {SystemError} If there is no eventfd to be had.
   * @throws {Error} If this Deno has no such handle.
   */
  constructor(onEvent: () => void) {
    const fd = libc().eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    super(check(fd, "eventfd"), onEvent);
  }
}

/**
 * A timerfd that Deno's loop watches: a timer precise to microseconds. It does
 * not keep the process alive by itself, except during {@linkcode wait}.
 */
export class LoopTimer extends LoopHandle {
  readonly #spec = new Uint8Array(ITIMERSPEC_SIZE);
  readonly #value = new Timespec();
  readonly #call: { fn: (() => void) | null };
  #armed = false;
  #held = false;

  /**
   * @throws {SystemError} If there is no timerfd to be had.
   * @throws {Error} If this Deno has no such handle.
   */
  constructor() {
    const fd = libc().timerfd_create(
      CLOCK_MONOTONIC,
      TFD_CLOEXEC | TFD_NONBLOCK,
    );
    const call: { fn: (() => void) | null } = { fn: null };
    super(check(fd, "timerfd_create"), () => call.fn?.());
    this.#call = call;
  }

  /** Call `fn` once after `ms`; null: do not, and forget the one before. */
  call(ms: number | null, fn: (() => void) | null): void {
    this.#call.fn = fn;
    if (ms === null && !this.#armed) return;
    this.#armed = ms !== null;
    // A zero time would disarm the timer instead of firing it.
    this.#spec.set(this.#value.set(ms === null ? 0 : Math.max(ms, 1e-6)), 16);
    libc().timerfd_settime(this.fd, 0, this.#spec, null);
  }

  /** Whether `fn` is what was set last: the timer may be shared. */
  calls(fn: () => void): boolean {
    return this.#call.fn === fn;
  }

  /** Leave Deno's loop alone for `ms`. */
  wait(ms: number): Promise<void> {
    if (!this.#held) {
      this.#held = true;
      this.ref();
    }
    return new Promise((resolve) => {
      this.call(ms, resolve);
    });
  }

  /** Keep the process alive no longer, until the next {@linkcode wait}. */
  rest(): void {
    if (!this.#held) return;
    this.#held = false;
    this.unref();
  }
}

const MAX_SEARCHED = 4096;
/** So many numbers in a row that are not open end the search. */
const MAX_GAP = 64;

/** Read a small file whole, through libc: no permission to read is needed. */
function readSmallFile(path: string): string {
  const c = libc();
  const fd = c.open(new TextEncoder().encode(`${path}\0`), O_CLOEXEC);
  if (fd < 0) return "";
  const chunk = new Uint8Array(4096);
  let text = "";
  for (let n; (n = c.read(fd, chunk, chunk.length)) > 0;) {
    text += new TextDecoder().decode(chunk.subarray(0, n));
  }
  c.close(fd);
  return text;
}

/**
 * Find the epoll descriptor in which this thread's loop waits: the one that
 * watches `watched`, which is known to be watched by it. Null if there is
 * none to be seen (no /proc, another system).
 */
function findLoopEpoll(watched: number): number | null {
  const target = new RegExp(`^tfd:\\s*${watched} `, "m");
  let gap = 0;
  for (let fd = 3; fd < MAX_SEARCHED && gap < MAX_GAP; fd++) {
    const info = readSmallFile(`/proc/self/fdinfo/${fd}`);
    if (info === "") {
      gap++;
      continue;
    }
    if (target.test(info)) return fd;
    gap = 0;
  }
  return null;
}

let found: (() => boolean) | null | undefined;

/**
 * A function that tells whether Deno's I/O driver has something to attend to,
 * for the price of one system call; null where that cannot be found out.
 *
 * @param watched A descriptor known to be watched by the loop.
 */
export function watchLoopIo(watched: number): (() => boolean) | null {
  // The thread's loop keeps its epoll descriptor for life.
  if (found === undefined) found = makeIoPending(findLoopEpoll(watched));
  return found;
}

function makeIoPending(epoll: number | null): (() => boolean) | null {
  if (epoll === null) return null;
  const pollfd = new Uint8Array(POLLFD_SIZE);
  const view = new DataView(pollfd.buffer);
  view.setInt32(0, epoll, true);
  view.setInt16(4, POLLIN, true);
  const { poll } = libc();
  return () => poll(pollfd, 1, 0) > 0;
}
