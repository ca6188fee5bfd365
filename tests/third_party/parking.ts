/**
 * A hub by somebody else that can wait: the three methods, and `park` and
 * `wake` beside them, by poll(2) on another thread.
 */

import { BaseHub, type Poller, READ, type Report } from "../../hubs/mod.ts";
import { libc } from "../../ffi/libc.ts";
import { Wakeup } from "../../ffi/wakeup.ts";
import { TinyPoller } from "./tiny.ts";

class ParkingPoller implements Poller {
  readonly name = "theirs";
  readonly #tiny = new TinyPoller();
  readonly #interest = new Map<number, number>();
  readonly #wakeup = new Wakeup();

  watch(fd: number, interest: number): void {
    this.#interest.delete(fd);
    this.#tiny.watch(fd, interest);
    if (interest !== 0) this.#interest.set(fd, interest);
  }

  sweep(report: Report): number {
    this.#wakeup.clear();
    return this.#tiny.sweep(report);
  }

  async park(timeout: number | null): Promise<void> {
    const all = [[this.#wakeup.fd, READ], ...this.#interest] as const;
    const pollfds = new DataView(new ArrayBuffer(8 * all.length));
    all.forEach(([fd, interest], i) => {
      pollfds.setInt32(8 * i, fd!, true);
      // READ is 1 as POLLIN is; WRITE is 2, POLLOUT 4.
      pollfds.setInt16(8 * i + 4, (interest! & 1) | 2 * (interest! & 2), true);
    });
    const limit = timeout === null ? -1 : Math.ceil(timeout);
    const bytes = new Uint8Array(pollfds.buffer);
    await libc().poll_park(bytes, all.length, limit);
  }

  wake(): void {
    this.#wakeup.wake();
  }

  close(): void {
    this.#tiny.close();
    this.#wakeup.close();
  }
}

export class Hub extends BaseHub {
  constructor() {
    super(new ParkingPoller());
  }
}
