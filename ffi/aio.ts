/**
 * Linux AIO, for one thing only: to be told on an eventfd when a descriptor
 * polls readable (io_submit(2), `IOCB_CMD_POLL` with `IOCB_FLAG_RESFD`).
 *
 * Traps it guards: libc has no wrappers, so all goes through `syscall(2)`; the
 * kernel is given *addresses*, which keep nothing alive by themselves, so the
 * objects do; completions must be reaped, or the ring fills up (it has room for
 * dozens, so that is done when it is full); and giving a
 * context back takes tens of milliseconds (the kernel waits for all its
 * processors), so the main thread has one for life and requests are cancelled. A Worker
 * gives its own back with its last request; one that is terminated cannot, and
 * leaves it to the process: a context for few requests is a cheap one.
 *
 * @module
 */

import { EAGAIN, EINTR, ENOSYS, POLLIN } from "./constants.ts";
import { addressOf, errno, errnoCell, libc } from "./libc.ts";
import { SystemError } from "./errors.ts";

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

const IOCB_CMD_POLL = 5;
const IOCB_FLAG_RESFD = 1;
const IOCB_SIZE = 64;
const IO_EVENT_SIZE = 32;
const MOST_TRIES = 4;
/** What a context counts for in `fs.aio-max-nr`; the kernel makes it larger. */
const DEPTH = 1;
const REAPED = 32;

function call(number: bigint, name: string, ...args: bigint[]): void {
  const [a = 0n, b = 0n, c = 0n, d = 0n, e = 0n] = args;
  for (;;) {
    const rc = libc().syscall(number, a, b, c, d, e, 0n);
    if (rc >= 0n) return;
    const error = errnoCell !== null ? errnoCell[0]! : errno();
    if (error !== EINTR) throw new SystemError(error, name);
  }
}

/** A buffer and its address, which is good as long as the object lives. */
class Memory {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly view: DataView<ArrayBuffer>;
  readonly address: bigint;

  constructor(size: number) {
    this.bytes = new Uint8Array(size);
    this.view = new DataView(this.bytes.buffer);
    this.address = addressOf(this.bytes);
  }
}

/** The thread's context. */
class Context {
  readonly numbers: Numbers;
  readonly id: bigint;
  readonly #events = new Memory(IO_EVENT_SIZE * REAPED);
  readonly #zero = new Memory(16);

  constructor() {
    const numbers = Deno.build.os === "linux"
      ? NUMBERS[Deno.build.arch]
      : undefined;
    if (numbers === undefined) throw new SystemError(ENOSYS, "io_setup");
    this.numbers = numbers;
    const id = new Memory(8);
    call(numbers.io_setup, "io_setup", BigInt(DEPTH), id.address);
    this.id = id.view.getBigUint64(0, true);
  }

  /** Give it back. */
  destroy(): void {
    call(this.numbers.io_destroy, "io_destroy", this.id);
  }

  /** Take completions off the ring, without waiting. */
  reap(): void {
    call(
      this.numbers.io_getevents,
      "io_getevents",
      this.id,
      0n,
      BigInt(REAPED),
      this.#events.address,
      this.#zero.address,
    );
  }
}

let context: Context | null = null;
/** How many requests use it. */
let users = 0;

/** One request that posts readiness to an eventfd, again and again. */
export class AioPoll {
  readonly #context: Context;
  readonly #iocb = new Memory(IOCB_SIZE);
  readonly #pointer = new Memory(8);
  readonly #result = new Memory(IO_EVENT_SIZE);

  /**
   * Make a request; the thread's first makes its context.
   *
   * @param eventfd Written to (by the kernel) at every completion.
   * @throws {SystemError} If the kernel or a sandbox refuses.
   */
  constructor(eventfd: number) {
    this.#context = context ??= new Context();
    users++;
    const { view } = this.#iocb;
    view.setUint16(16, IOCB_CMD_POLL, true);
    view.setBigUint64(24, BigInt(POLLIN), true);
    view.setUint32(56, IOCB_FLAG_RESFD, true);
    view.setUint32(60, eventfd, true);
    this.#pointer.view.setBigUint64(0, this.#iocb.address, true);
  }

  /**
   * Ask to be told once when `fd` polls readable.
   *
   * @throws {SystemError} If the kernel or a sandbox refuses.
   */
  arm(fd: number): void {
    this.#iocb.view.setUint32(20, fd, true);
    const { id, numbers } = this.#context;
    const pointer = this.#pointer.bytes;
    for (let tries = 0;;) {
      if (libc().io_submit(numbers.io_submit, id, 1n, pointer) > 0) return;
      const error = errnoCell !== null ? errnoCell[0]! : errno();
      if (error === EINTR) continue;
      // The ring is full, or the kernel short of memory for the moment.
      if (error !== EAGAIN || ++tries === MOST_TRIES) {
        throw new SystemError(error, "io_submit");
      }
      this.#context.reap();
    }
  }

  /** Cancel what is under way. */
  close(): void {
    const { id, numbers } = this.#context;
    try {
      call(
        numbers.io_cancel,
        "io_cancel",
        id,
        this.#iocb.address,
        this.#result.address,
      );
    } catch {
      // EINPROGRESS is the usual answer; EINVAL: nothing was under way.
    }
    this.#context.reap();
    if (--users > 0 || !("WorkerGlobalScope" in globalThis)) return;
    context = null;
    this.#context.destroy();
  }
}
