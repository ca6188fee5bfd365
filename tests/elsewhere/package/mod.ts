/** A hub for greenhub by somebody else: poll(2), bound by this package. */

import {
  BAD,
  BaseHub,
  type Poller,
  READ,
  type Report,
  SystemError,
  WRITE,
} from "@greenhub/greenhub/hubs";

const EBADF = 9;
const [POLLIN, POLLOUT, POLLERR, POLLHUP, POLLNVAL] = [1, 4, 8, 16, 32];

class ElsewherePoller implements Poller {
  readonly name = "elsewhere";
  readonly #watched = new Map<number, number>();
  readonly #libc = Deno.dlopen("libc.so.6", {
    poll: { parameters: ["buffer", "usize", "i32"], result: "i32" },
  });

  watch(fd: number, interest: number): void {
    if (interest === 0) this.#watched.delete(fd);
    else if (this.#poll(fd, 0) !== BAD) this.#watched.set(fd, interest);
    else throw new SystemError(EBADF, "poll", `Cannot watch fd ${fd}`);
  }

  sweep(report: Report): number {
    let found = 0;
    for (const [fd, interest] of this.#watched) {
      const ready = this.#poll(fd, interest);
      if (ready !== 0) found++, report(fd, ready);
    }
    return found;
  }

  close(): void {
    this.#libc.close();
  }

  /** What is ready of one descriptor, without waiting. */
  #poll(fd: number, interest: number): number {
    const pollfd = new Int16Array(4); // int fd; short events; short revents
    new Int32Array(pollfd.buffer)[0] = fd;
    if (interest & READ) pollfd[2]! |= POLLIN;
    if (interest & WRITE) pollfd[2]! |= POLLOUT;
    this.#libc.symbols.poll(pollfd, 1n, 0);
    const revents = pollfd[3]!;
    if (revents & POLLNVAL) return BAD;
    if (revents & (POLLERR | POLLHUP)) return READ | WRITE;
    return (revents & POLLIN ? READ : 0) | (revents & POLLOUT ? WRITE : 0);
  }
}

export function isAvailable(): boolean {
  return Deno.build.os === "linux";
}

export class Hub extends BaseHub {
  constructor() {
    super(new ElsewherePoller());
  }
}
