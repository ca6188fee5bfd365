/**
 * A pidfd: wait for the end of any process, not only of one's own children.
 *
 * `Deno.Command` knows the end of what it started. A pidfd polls readable when
 * its process ends, whoever started it; and since it stands for the process and
 * not for its number, a number that is handed out anew cannot mislead it.
 */

import { systemCall, trampoline } from "../../mod.ts";

const libc = Deno.dlopen("libc.so.6", {
  // long syscall(long number, ...): the C library has no name for these two.
  pidfd_open: {
    name: "syscall",
    parameters: ["u32", "u32", "u32"],
    result: "i32",
  },
  pidfd_send_signal: {
    name: "syscall",
    parameters: ["u32", "u32", "u32", "pointer", "u32"],
    result: "i32",
  },
  waitid: {
    parameters: ["i32", "u32", "buffer", "i32"],
    result: "i32",
  },
  close: { parameters: ["i32"], result: "i32" },
}).symbols;

// The same numbers on every architecture.
const SYS_pidfd_send_signal = 424;
const SYS_pidfd_open = 434;
const P_PIDFD = 3;
const WEXITED = 4;
const CLD_EXITED = 1;

/** A process, held by a descriptor. */
export class Process implements Disposable {
  /** Its number. */
  readonly pid: number;
  #fd: number;

  /**
   * Hold the process that has the number `pid` now.
   *
   * @throws {SystemError} ESRCH if there is none.
   */
  constructor(pid: number) {
    this.pid = pid;
    this.#fd = systemCall(
      () => libc.pidfd_open(SYS_pidfd_open, pid, 0),
      "pidfd_open",
    );
  }

  /** Wait until it has ended. */
  async ended(options: { timeout?: number; signal?: AbortSignal } = {}) {
    await trampoline(this.#fd, { read: true, ...options });
  }

  /** Send a signal to it, and never to another one of the same number. */
  send(signo: number): void {
    systemCall(() =>
      libc.pidfd_send_signal(
        SYS_pidfd_send_signal,
        this.#fd,
        signo,
        null,
        0,
      ), "pidfd_send_signal");
  }

  /** A child of ours that nobody else reaps: its exit code, or minus a signal. */
  reap(): number {
    // siginfo_t: si_code at 8, si_status at 24
    const info = new Int32Array(32);
    systemCall(() => libc.waitid(P_PIDFD, this.#fd, info, WEXITED), "waitid");
    return info[2] === CLD_EXITED ? info[6]! : -info[6]!;
  }

  [Symbol.dispose](): void {
    if (this.#fd >= 0) libc.close(this.#fd);
    this.#fd = -1;
  }
}
