/**
 * A descriptor that polls readable after {@linkcode Wakeup.wake}: what ends a
 * wait that another thread is in.
 *
 * An eventfd; a pipe where there is none. Wakes collapse: many wakes before
 * one clear are one write. What the kernel refused counts as not done, so the
 * next wake or clear tries again.
 *
 * @module
 */

import {
  EAGAIN,
  EFD_CLOEXEC,
  EFD_NONBLOCK,
  F_SETFD,
  F_SETFL,
  FD_CLOEXEC,
  O_NONBLOCK,
} from "./constants.ts";
import { check, retry } from "./errors.ts";
import { errno, libc } from "./libc.ts";
import { closeAtThreadExit } from "./thread_exit.ts";

/** So often a call is made before it counts as refused. */
const MOST_TRIES = 8;

/**
 * Whether a write or read did what it should. Whatever errno says: a wake-up
 * that is lost costs more than some calls that are not needed.
 */
function done(call: () => number): boolean {
  for (let tries = 0; tries < MOST_TRIES; tries++) {
    // EAGAIN: a full pipe is readable as well, an empty one quiet.
    if (call() >= 0 || errno() === EAGAIN) return true;
  }
  return false;
}

/** One wake-up channel; close it after use. */
export class Wakeup {
  /** The end to watch for reading. */
  readonly fd: number;
  readonly #writeFd: number;
  readonly #one = new Uint8Array([1, 0, 0, 0, 0, 0, 0, 0]);
  readonly #sink = new Uint8Array(64);
  readonly #keep: Disposable;
  #woken = false;
  #closed = false;

  /**
   * Open an eventfd, or a pipe.
   *
   * @throws {SystemError} If the kernel gives no descriptor.
   */
  constructor() {
    const c = libc();
    if (Deno.build.os === "linux") {
      const fd = retry(() => c.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
      this.fd = check(fd, "eventfd");
      this.#writeFd = this.fd;
      this.#keep = closeAtThreadExit(this.fd);
      return;
    }
    const pair = new Int32Array(2);
    check(retry(() => c.pipe(pair)), "pipe");
    for (const fd of pair) {
      c.fcntl(fd, F_SETFD, FD_CLOEXEC);
      c.fcntl(fd, F_SETFL, O_NONBLOCK);
    }
    this.fd = pair[0]!;
    this.#writeFd = pair[1]!;
    this.#keep = closeAtThreadExit(this.fd);
  }

  /** Make `fd` readable until the next {@linkcode clear}. */
  wake(): void {
    if (this.#woken || this.#closed) return;
    this.#woken = done(() => libc().write(this.#writeFd, this.#one, 8));
  }

  /** Make `fd` quiet again. */
  clear(): void {
    if (!this.#woken || this.#closed) return;
    const { length } = this.#sink;
    this.#woken = !done(() => libc().read(this.fd, this.#sink, length));
  }

  /** Close the channel; closing twice is harmless. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#keep[Symbol.dispose]();
    libc().close(this.fd);
    if (this.#writeFd !== this.fd) libc().close(this.#writeFd);
  }
}
