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
import { openSocketPair, transmit } from "../ffi/socket.ts";
import { closeAtThreadExit } from "../ffi/thread_exit.ts";

/** One turn of Deno's loop. */
export function macrotask(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

/** The part of Node's internal stream handles that is used. */
interface StreamHandle {
  onread: () => void;
  open(fd: number): number;
  useUserBuffer(buffer: Uint8Array): void;
  readStart(): number;
  close(): void;
  ref(): void;
  unref(): void;
}

/**
 * The two kinds of handle. Each time the loop turns it reads the descriptor of
 * a `Pipe`, which may be any, and that of a `TCP`, which must be a socket, only
 * after its I/O driver has seen it readable.
 */
type HandleKind = "Pipe" | "TCP";

const BINDINGS = { Pipe: "pipe_wrap", TCP: "tcp_wrap" } as const;

function makeHandle(kind: HandleKind): StreamHandle {
  const { binding } = process as unknown as {
    binding(
      name: string,
    ): Record<HandleKind, new (type: number) => StreamHandle> & {
      constants: { SOCKET: number };
    };
  };
  const found = binding.call(process, BINDINGS[kind]);
  return new found[kind](found.constants.SOCKET);
}

/**
 * A descriptor that Deno's loop reads for us. After it became readable,
 * `onEvent` is called from the loop. It keeps the process alive between `ref()`
 * and `unref()` only.
 */
class LoopHandle {
  readonly fd: number;
  readonly #handle: StreamHandle;
  readonly #keep: Disposable | null;

  constructor(kind: HandleKind, fd: number, onEvent: () => void) {
    this.fd = fd;
    let close = (): void => void libc().close(fd);
    try {
      const handle = this.#handle = makeHandle(kind);
      handle.onread = onEvent;
      let opened = handle.open(fd) === 0;
      if (opened) {
        close = () => handle.close();
        if (kind === "TCP") handle.useUserBuffer(new Uint8Array(16));
        opened = handle.readStart() === 0;
      }
      if (!opened) {
        throw new Error("Cannot watch a descriptor with Deno's loop");
      }
    } catch (error) {
      close();
      throw error;
    }
    this.#handle.unref();
    // The other kind sees to that by itself.
    this.#keep = kind === "Pipe" ? closeAtThreadExit(fd) : null;
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
    this.#keep?.[Symbol.dispose]();
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
    super("Pipe", check(fd, "eventfd"), onEvent);
  }
}

/**
 * A timerfd that Deno's loop watches: a timer precise to microseconds. It does
 * not keep the process alive.
 */
export class LoopTimer extends LoopHandle {
  readonly #spec = new Uint8Array(ITIMERSPEC_SIZE);
  readonly #value = new Timespec();
  #armed = false;

  /**
   * @throws {SystemError} If there is no timerfd to be had.
   * @throws {Error} If this Deno has no such handle.
   */
  constructor(onAlarm: () => void) {
    const fd = libc().timerfd_create(
      CLOCK_MONOTONIC,
      TFD_CLOEXEC | TFD_NONBLOCK,
    );
    super("Pipe", check(fd, "timerfd_create"), onAlarm);
  }

  /** Call once after `ms`; null: do not. */
  set(ms: number | null): void {
    if (ms === null && !this.#armed) return;
    this.#armed = ms !== null;
    // A zero time would disarm the timer instead of firing it.
    this.#spec.set(this.#value.set(ms === null ? 0 : Math.max(ms, 1e-6)), 16);
    libc().timerfd_settime(this.fd, 0, this.#spec, null);
  }
}

/**
 * Makes Deno's loop look at its I/O driver: a byte that it cannot find in any
 * other way. Unlike a timer it is there already, so the loop does not sleep.
 */
export class LoopSignal {
  readonly #handle: LoopHandle;
  readonly #far: number;
  readonly #keep: Disposable;
  readonly #byte = new Uint8Array(1);
  #resolve: ((arrived: boolean) => void) | null = null;
  #held = false;

  /**
   * @throws {SystemError} If there are no sockets to be had.
   * @throws {Error} If this Deno has no such handle.
   */
  constructor() {
    const [fd, far] = openSocketPair();
    this.#far = far;
    try {
      this.#handle = new LoopHandle("TCP", fd, () => this.#arrived(true));
    } catch (error) {
      libc().close(far);
      throw error;
    }
    this.#keep = closeAtThreadExit(far);
  }

  /** A descriptor that Deno's loop is known to watch. */
  get fd(): number {
    return this.#handle.fd;
  }

  /**
   * Wait until the driver has been looked at. What it found is ready to run by
   * then, and has not run yet.
   *
   * @returns Whether it worked: not if somebody has closed our descriptor.
   */
  wait(): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    this.#resolve = resolve;
    if (transmit(this.#far, this.#byte) < 0) this.#arrived(false);
    else if (!this.#held) {
      this.#held = true;
      this.#handle.ref();
    }
    return promise;
  }

  /** Keep the process alive no longer, until the next {@linkcode wait}. */
  rest(): void {
    if (!this.#held) return;
    this.#held = false;
    this.#handle.unref();
  }

  /** Stop watching and close the descriptors. */
  close(): void {
    this.#keep[Symbol.dispose]();
    this.#handle.close();
    libc().close(this.#far);
    this.#arrived(true);
  }

  #arrived(yes: boolean): void {
    const resolve = this.#resolve;
    this.#resolve = null;
    resolve?.(yes);
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
