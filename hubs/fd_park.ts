/**
 * Wait on another thread for a poller's descriptor: for a poller that has one
 * and no `park` of its own, where nothing posts the readiness of descriptors.
 *
 * @module
 */

import { POLLIN } from "../ffi/constants.ts";
import { POLLFD_SIZE } from "../ffi/layout.ts";
import { libc } from "../ffi/libc.ts";
import { Wakeup } from "../ffi/wakeup.ts";
import type { Poller } from "./poller.ts";

/** What a park needs, from the poller's descriptor alone. */
export class FdPark {
  readonly parking = "thread";
  readonly #poller: Poller;
  readonly #wakeup = new Wakeup();
  readonly #pollfds = new Uint8Array(2 * POLLFD_SIZE);
  readonly #view = new DataView(this.#pollfds.buffer);

  /**
   * @throws {SystemError} If the kernel gives no descriptor for the wake-ups.
   * @throws {Error} If FFI is not granted.
   */
  constructor(poller: Poller) {
    this.#poller = poller;
  }

  /** See {@linkcode Poller.park}. */
  async park(timeout: number | null): Promise<void> {
    this.#wakeup.clear();
    this.#entry(0, this.#wakeup.fd);
    this.#entry(POLLFD_SIZE, this.#poller.fd!);
    const limit = timeout === null ? -1 : Math.ceil(timeout);
    await libc().poll_park(this.#pollfds, 2, limit);
  }

  /** See {@linkcode Poller.wake}. */
  wake(): void {
    this.#wakeup.wake();
  }

  /** Close what it has opened, with no park under way. */
  release(): void {
    this.#wakeup.close();
  }

  #entry(at: number, fd: number): void {
    this.#view.setInt32(at, fd, true);
    this.#view.setInt16(at + 4, POLLIN, true);
    this.#view.setInt16(at + 6, 0, true);
  }
}
