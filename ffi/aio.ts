/**
 * Linux AIO, for one thing only: to be told on an eventfd when a descriptor
 * polls readable (io_submit(2), `IOCB_CMD_POLL` with `IOCB_FLAG_RESFD`).
 *
 * Traps it guards: libc has no wrappers, so all goes through `syscall(2)`; the
 * kernel holds the *address* of the iocb, which keeps nothing alive by itself,
 * so the object does; and completions must be reaped, or the ring fills up.
 *
 * @module
 */

import { ENOSYS, POLLIN } from "./constants.ts";
import { addressOf, errno, libc } from "./libc.ts";
import { SystemError } from "./errors.ts";

interface Numbers {
  readonly io_setup: bigint;
  readonly io_destroy: bigint;
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
  },
  aarch64: {
    io_setup: 0n,
    io_destroy: 1n,
    io_submit: 2n,
    io_getevents: 4n,
  },
};

const IOCB_CMD_POLL = 5;
const IOCB_FLAG_RESFD = 1;
const IOCB_SIZE = 64;
const IO_EVENT_SIZE = 32;
const DEPTH = 8;

/** One AIO context that posts readiness to an eventfd. */
export class AioPoll {
  readonly #numbers: Numbers;
  readonly #context = new BigUint64Array(1);
  readonly #iocb = new Uint8Array(IOCB_SIZE);
  readonly #iocbView = new DataView(this.#iocb.buffer);
  readonly #pointer = new BigUint64Array(1);
  readonly #pointerAddress: bigint;
  readonly #events = new Uint8Array(IO_EVENT_SIZE * DEPTH);
  readonly #eventsAddress: bigint;
  readonly #zero = new Uint8Array(16);
  readonly #zeroAddress: bigint;

  /**
   * Make a context.
   *
   * @param eventfd Written to (by the kernel) at every completion.
   * @throws {SystemError} If the kernel or a sandbox refuses.
   */
  constructor(eventfd: number) {
    const numbers = Deno.build.os === "linux"
      ? NUMBERS[Deno.build.arch]
      : undefined;
    if (numbers === undefined) throw new SystemError(ENOSYS, "io_setup");
    this.#numbers = numbers;
    this.#pointer[0] = addressOf(this.#iocb);
    this.#pointerAddress = addressOf(bytes(this.#pointer));
    this.#eventsAddress = addressOf(this.#events);
    this.#zeroAddress = addressOf(this.#zero);
    const view = this.#iocbView;
    view.setUint16(16, IOCB_CMD_POLL, true);
    view.setBigUint64(24, BigInt(POLLIN), true);
    view.setUint32(56, IOCB_FLAG_RESFD, true);
    view.setUint32(60, eventfd, true);
    this.#call(
      numbers.io_setup,
      "io_setup",
      BigInt(DEPTH),
      addressOf(bytes(this.#context)),
    );
  }

  /**
   * Ask to be told once when `fd` polls readable.
   *
   * @throws {SystemError} If the kernel or a sandbox refuses.
   */
  arm(fd: number): void {
    this.#iocbView.setUint32(20, fd, true);
    this.#call(
      this.#numbers.io_submit,
      "io_submit",
      this.#context[0]!,
      1n,
      this.#pointerAddress,
    );
  }

  /** Take completions off the ring, without waiting. */
  reap(): void {
    this.#call(
      this.#numbers.io_getevents,
      "io_getevents",
      this.#context[0]!,
      0n,
      BigInt(DEPTH),
      this.#eventsAddress,
      this.#zeroAddress,
    );
  }

  /** Cancel what is under way and give the context back. */
  close(): void {
    this.#call(this.#numbers.io_destroy, "io_destroy", this.#context[0]!);
  }

  #call(number: bigint, name: string, ...args: bigint[]): void {
    const [a = 0n, b = 0n, c = 0n, d = 0n, e = 0n] = args;
    const rc = libc().syscall(number, a, b, c, d, e, 0n);
    if (rc < 0n) throw new SystemError(errno(), name);
  }
}

function bytes(array: BigUint64Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  return new Uint8Array(array.buffer);
}
