/**
 * A thread's context for Linux AIO (io_setup(2)): requests to the kernel, many
 * in one system call, and what became of them.
 *
 * Traps it guards: libc has no wrappers, so all goes through `syscall(2)`; the
 * kernel is given *addresses*, which keep nothing alive by themselves, so the
 * objects do; completions must be reaped, or the ring fills up (it has room for
 * dozens); and giving a context back takes tens of milliseconds (the kernel
 * waits for all its processors), so the main thread has one for life. A Worker
 * gives its own back with its last user; one that is terminated cannot, and
 * leaves it to the process: a context for few requests is a cheap one.
 *
 * @module
 */

import { EINTR, ENOSYS } from "./constants.ts";
import { SystemError } from "./errors.ts";
import { addressOf, errno, errnoCell, hasFullGrant, libc } from "./libc.ts";

interface Numbers {
  readonly io_setup: bigint;
  readonly io_destroy: bigint;
  readonly io_cancel: bigint;
  readonly io_submit: bigint;
  readonly io_getevents: bigint;
}

/** System call numbers by architecture (asm/unistd.h). */
const NUMBERS: Readonly<Record<string, Numbers>> = {
  x86_64: {
    io_setup: 206n,
    io_destroy: 207n,
    io_getevents: 208n,
    io_submit: 209n,
    io_cancel: 210n,
  },
  aarch64: {
    io_setup: 0n,
    io_destroy: 1n,
    io_submit: 2n,
    io_cancel: 3n,
    io_getevents: 4n,
  },
};

/** `struct iocb`, in bytes. */
export const IOCB_SIZE = 64;
/** `struct io_event`, in bytes. */
export const IO_EVENT_SIZE = 32;
const WORD = 4;
const EVENT_WORDS = IO_EVENT_SIZE / WORD;
/** The word of `io_event.res`; `data` is the first. */
const RES = 4;
/** So many completions are asked for at a time. */
const EVENTS = 64;
/**
 * `struct aio_ring` (fs/aio.c), which the context's number is the address of:
 * its header and some of the words in it. Programs may take completions off by
 * themselves, as libaio does.
 */
const RING_HEADER = 8;
const NR = 1;
const HEAD = 2;
const TAIL = 3;
const MAGIC = 4;
const INCOMPAT = 6;
const HEADER_LENGTH = 7;
const RING_MAGIC = 0xa10a10a1 | 0;
/** What a context counts for in `fs.aio-max-nr`; the kernel makes it larger. */
const DEPTH = 1;

/** A buffer and its address, which is good as long as the object lives. */
export class Memory {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly view: DataView<ArrayBuffer>;
  readonly address: bigint;

  /** Zeros. */
  constructor(size: number) {
    this.bytes = new Uint8Array(size);
    this.view = new DataView(this.bytes.buffer);
    this.address = addressOf(this.bytes);
  }
}

function wordsAt(address: bigint, count: number): Int32Array {
  const pointer = Deno.UnsafePointer.create(address)!;
  const memory = Deno.UnsafePointerView.getArrayBuffer(pointer, count * WORD);
  return new Int32Array(memory);
}

/** See the module. */
export class AioContext {
  readonly #numbers: Numbers;
  readonly #id: bigint;
  readonly #ring: Int32Array | null;
  readonly #eventBytes = new Uint8Array(EVENTS * IO_EVENT_SIZE);
  readonly #events = new Int32Array(this.#eventBytes.buffer);
  #found = 0;
  #at = 0;
  /** What the request had for its `aio_data`; its lower half. */
  data = 0;
  /** What the request returned, or -errno; its lower half. */
  result = 0;

  /** @throws {SystemError} If the kernel or a sandbox refuses. */
  constructor() {
    const numbers = Deno.build.os === "linux"
      ? NUMBERS[Deno.build.arch]
      : undefined;
    if (numbers === undefined) throw new SystemError(ENOSYS, "io_setup");
    this.#numbers = numbers;
    const id = new Memory(8);
    this.#call("io_setup", BigInt(DEPTH), id.address);
    this.#id = id.view.getBigUint64(0, true);
    this.#ring = this.#map();
  }

  /**
   * Hand over the first `count` requests of a list of addresses.
   *
   * @returns How many were taken; -errno if not even the first: EAGAIN if the
   * ring is full, or the kernel short of memory for the moment.
   */
  submit(count: number, list: Uint8Array<ArrayBuffer>): number {
    const c = libc();
    const number = this.#numbers.io_submit;
    for (;;) {
      const n = c.io_submit(number, this.#id, BigInt(count), list);
      if (n >= 0) return n;
      const error = errnoCell !== null ? errnoCell[0]! : errno();
      if (error !== EINTR) return -error;
    }
  }

  /**
   * Take the next completion off the ring: {@linkcode AioContext.data} and
   * {@linkcode AioContext.result} are about it.
   *
   * @param wait Until there is one.
   * @returns Whether there is one.
   * @throws {SystemError} If the kernel or a sandbox refuses.
   */
  next(wait: boolean): boolean {
    const ring = this.#ring;
    if (this.#at === this.#found && ring !== null) {
      const head = ring[HEAD]!;
      // A processor that completes another's request writes this last.
      if (head !== Atomics.load(ring, TAIL)) {
        const from = RING_HEADER + head * EVENT_WORDS;
        this.data = ring[from]!;
        this.result = ring[from + RES]!;
        Atomics.store(ring, HEAD, head + 1 === ring[NR]! ? 0 : head + 1);
        return true;
      }
      if (!wait) return false;
    }
    if (this.#at === this.#found) {
      this.#at = 0;
      this.#found = 0;
      this.#found = this.#ask(wait ? 1n : 0n);
      if (this.#found === 0) return false;
    }
    const from = this.#at++ * EVENT_WORDS;
    this.data = this.#events[from]!;
    this.result = this.#events[from + RES]!;
    return true;
  }

  /** Cancel a request that is under way; harmless if it is not. */
  cancel(request: Memory, result: Memory): void {
    try {
      this.#call("io_cancel", this.#id, request.address, result.address);
    } catch {
      // EINPROGRESS is the usual answer; EINVAL: nothing was under way.
    }
  }

  /** Give it back. */
  destroy(): void {
    this.#call("io_destroy", this.#id);
  }

  #ask(fewest: bigint): number {
    const c = libc();
    const number = this.#numbers.io_getevents;
    const most = BigInt(EVENTS);
    const bytes = this.#eventBytes;
    for (;;) {
      const n = c.io_getevents(number, this.#id, fewest, most, bytes, 0n);
      if (n >= 0) return n;
      const error = errnoCell !== null ? errnoCell[0]! : errno();
      if (error !== EINTR) throw new SystemError(error, "io_getevents");
    }
  }

  /** The ring of completions, if it may be read without a system call. */
  #map(): Int32Array | null {
    if (!hasFullGrant()) return null;
    const header = wordsAt(this.#id, RING_HEADER);
    const known = header[MAGIC] === RING_MAGIC && header[INCOMPAT] === 0 &&
      header[HEADER_LENGTH] === RING_HEADER * WORD;
    if (!known) return null;
    return wordsAt(this.#id, RING_HEADER + header[NR]! * EVENT_WORDS);
  }

  #call(name: keyof Numbers, ...args: bigint[]): void {
    const [a = 0n, b = 0n, c = 0n] = args;
    for (;;) {
      const number = this.#numbers[name];
      if (libc().syscall(number, a, b, c, 0n, 0n, 0n) >= 0n) return;
      const error = errnoCell !== null ? errnoCell[0]! : errno();
      if (error !== EINTR) throw new SystemError(error, name);
    }
  }
}

let context: AioContext | null = null;
let users = 0;

/**
 * The thread's context, for one more user.
 *
 * @throws {SystemError} If the kernel or a sandbox refuses.
 */
export function shareContext(): AioContext {
  context ??= new AioContext();
  users++;
  return context;
}

/** One user is done with it. */
export function leaveContext(): void {
  if (--users > 0 || !("WorkerGlobalScope" in globalThis)) return;
  const last = context;
  context = null;
  last?.destroy();
}
