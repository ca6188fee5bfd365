/**
 * io_uring, for the same one thing as `aio_poll.ts`: to be told on an eventfd
 * when a descriptor polls readable. For kernels and sandboxes that allow this
 * and not Linux AIO.
 *
 * Traps it guards: the rings are memory shared with the kernel, reached here by
 * address alone (`memcpy`), so that a scoped grant suffices; completions must
 * be taken off, or the ring overflows; and the mapping outlives the descriptor.
 *
 * @module
 */

import { EAGAIN, EINTR, EINVAL, POLLIN } from "./constants.ts";
import { check, SystemError } from "./errors.ts";
import { addressOf, errno, errnoCell, libc } from "./libc.ts";
import { closeAtThreadExit } from "./thread_exit.ts";

/** System call numbers, the same on every architecture (asm/unistd.h). */
const IO_URING_SETUP = 425n;
const IO_URING_ENTER = 426n;
const IO_URING_REGISTER = 427n;

const MOST_TRIES = 4;
const ENTRIES = 8;
const IORING_OP_POLL_ADD = 6;
const IORING_REGISTER_EVENTFD = 4n;
const IORING_FEAT_SINGLE_MMAP = 1;
const IORING_OFF_SQES = 0x10000000n;
const SQE_SIZE = 64;
const CQE_SIZE = 16;
const PROT_READ_WRITE = 3;
const MAP_SHARED = 1;

/** Offsets in `struct io_uring_params`. */
const SQ_ENTRIES = 0;
const CQ_ENTRIES = 4;
const FEATURES = 20;
const SQ_OFF = 40;
const CQ_OFF = 80;

function call(number: bigint, name: string, ...args: bigint[]): number {
  const [a = 0n, b = 0n, c = 0n, d = 0n, e = 0n, f = 0n] = args;
  for (let tries = 1;; tries++) {
    const rc = libc().syscall(number, a, b, c, d, e, f);
    if (rc >= 0n) return Number(rc);
    const error = errnoCell !== null ? errnoCell[0]! : errno();
    // EAGAIN: short of memory for the moment.
    const passing = error === EAGAIN && tries < MOST_TRIES;
    if (error !== EINTR && !passing) throw new SystemError(error, name);
  }
}

/** Memory shared with the kernel. */
class Mapping {
  readonly #address: bigint;
  readonly #size: number;
  readonly #word = new Uint32Array(1);

  constructor(fd: number, size: number, offset: bigint) {
    this.#size = size;
    const address = libc().mmap(
      0n,
      BigInt(size),
      PROT_READ_WRITE,
      MAP_SHARED,
      fd,
      offset,
    );
    // MAP_FAILED is the address -1.
    if (address === 2n ** 64n - 1n) throw new SystemError(errno(), "mmap");
    this.#address = address;
  }

  get(offset: number): number {
    const from = this.#address + BigInt(offset);
    libc().memcpy_from(this.#word, from, 4);
    return this.#word[0]!;
  }

  put(offset: number, value: number): void {
    this.#word[0] = value;
    libc().memcpy_to(this.#address + BigInt(offset), this.#word, 4);
  }

  copy(offset: number, bytes: Uint8Array<ArrayBuffer>): void {
    libc().memcpy_to(this.#address + BigInt(offset), bytes, bytes.length);
  }

  unmap(): void {
    libc().munmap(this.#address, BigInt(this.#size));
  }
}

/** A ring that posts readiness to an eventfd. */
export class UringPoll {
  readonly #fd: number;
  readonly #keep: Disposable;
  readonly #rings: Mapping;
  readonly #entries: Mapping;
  readonly #count: number;
  readonly #sqTail: number;
  readonly #cqHead: number;
  readonly #cqTail: number;
  readonly #entry = new Uint8Array(SQE_SIZE);
  readonly #view = new DataView(this.#entry.buffer);
  #tail = 0;

  /**
   * Make a ring.
   *
   * @param eventfd Written to (by the kernel) at every completion.
   * @throws {SystemError} If the kernel or a sandbox refuses.
   */
  constructor(eventfd: number) {
    const params = new Uint8Array(120);
    const view = new DataView(params.buffer);
    const word = (offset: number): number => view.getUint32(offset, true);
    this.#fd = call(
      IO_URING_SETUP,
      "io_uring_setup",
      BigInt(ENTRIES),
      addressOf(params),
    );
    try {
      if ((word(FEATURES) & IORING_FEAT_SINGLE_MMAP) === 0) {
        throw new SystemError(EINVAL, "io_uring_setup", "Cannot map one ring");
      }
      this.#count = word(SQ_ENTRIES);
      const array = word(SQ_OFF + 24);
      const cqes = word(CQ_OFF + 20);
      this.#rings = new Mapping(
        this.#fd,
        Math.max(array + 4 * this.#count, cqes + CQE_SIZE * word(CQ_ENTRIES)),
        0n,
      );
      this.#entries = new Mapping(
        this.#fd,
        SQE_SIZE * this.#count,
        IORING_OFF_SQES,
      );
      this.#sqTail = word(SQ_OFF + 4);
      this.#cqHead = word(CQ_OFF);
      this.#cqTail = word(CQ_OFF + 4);
      for (let i = 0; i < this.#count; i++) this.#rings.put(array + 4 * i, i);
      const fds = new Int32Array([eventfd]);
      call(
        IO_URING_REGISTER,
        "io_uring_register",
        BigInt(this.#fd),
        IORING_REGISTER_EVENTFD,
        addressOf(new Uint8Array(fds.buffer)),
        1n,
      );
    } catch (error) {
      libc().close(this.#fd);
      throw error;
    }
    this.#keep = closeAtThreadExit(this.#fd);
  }

  /**
   * Ask to be told once when `fd` polls readable.
   *
   * @throws {SystemError} If the kernel or a sandbox refuses.
   */
  arm(fd: number): void {
    // Take what was completed before off the ring.
    this.#rings.put(this.#cqHead, this.#rings.get(this.#cqTail));
    const view = this.#view;
    view.setUint8(0, IORING_OP_POLL_ADD);
    view.setInt32(4, fd, true);
    view.setUint32(28, POLLIN, true);
    this.#entries.copy((this.#tail % this.#count) * SQE_SIZE, this.#entry);
    this.#tail = (this.#tail + 1) >>> 0;
    this.#rings.put(this.#sqTail, this.#tail);
    call(IO_URING_ENTER, "io_uring_enter", BigInt(this.#fd), 1n);
  }

  /** Give the ring back; what is under way is cancelled. */
  close(): void {
    this.#keep[Symbol.dispose]();
    this.#rings.unmap();
    this.#entries.unmap();
    check(libc().close(this.#fd), "close");
  }
}
