/**
 * Linux AIO, to be told on an eventfd when a descriptor polls readable
 * (io_submit(2), `IOCB_CMD_POLL` with `IOCB_FLAG_RESFD`).
 *
 * The trap it guards: nobody looks at the completions, so they are reaped when
 * they have filled the ring.
 *
 * @module
 */

import {
  type AioContext,
  IO_EVENT_SIZE,
  IOCB_SIZE,
  leaveContext,
  Memory,
  shareContext,
} from "./aio_context.ts";
import { EAGAIN, POLLIN } from "./constants.ts";
import { SystemError } from "./errors.ts";

const IOCB_CMD_POLL = 5;
const IOCB_FLAG_RESFD = 1;
const MOST_TRIES = 4;

/** One request that posts readiness to an eventfd, again and again. */
export class AioPoll {
  readonly #context: AioContext;
  readonly #iocb = new Memory(IOCB_SIZE);
  readonly #pointer = new Memory(8);
  readonly #result = new Memory(IO_EVENT_SIZE);

  /**
   * Make a request; the thread's first user makes its context.
   *
   * @param eventfd Written to (by the kernel) at every completion.
   * @throws {SystemError} If the kernel or a sandbox refuses.
   */
  constructor(eventfd: number) {
    this.#context = shareContext();
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
    for (let tries = 1;; tries++) {
      const rc = this.#context.submit(1, this.#pointer.bytes);
      if (rc > 0) return;
      if (rc !== -EAGAIN || tries === MOST_TRIES) {
        throw new SystemError(-rc, "io_submit");
      }
      this.#reap();
    }
  }

  /** Cancel what is under way. */
  close(): void {
    this.#context.cancel(this.#iocb, this.#result);
    try {
      this.#reap();
    } catch {
      // A sandbox: the ring is full some day, and arm() says so.
    }
    leaveContext();
  }

  #reap(): void {
    while (this.#context.next(false));
  }
}
