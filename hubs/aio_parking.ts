/**
 * Parking without a thread: the kernel (Linux AIO) posts the readiness of the
 * poller's descriptor on an eventfd that Deno's own loop watches; the deadline
 * is a timerfd that it watches too.
 *
 * The trap it guards: this leans on things nobody documented. A wake-up that
 * never comes must be found out: every park has a limit, and if the sweep
 * after an exhausted park finds something that was not announced, and is not
 * during the whole of the next park either, the way counts as broken.
 *
 * @module
 */

import type { AioPoll } from "../ffi/aio.ts";
import { LoopEvent, type LoopTimer } from "./deno_loop.ts";
import type { Parking } from "./parking.ts";
import type { Poller } from "./poller.ts";

/** Makes the context that posts to an eventfd; tests give one that fails. */
export type MakeAio = (eventfd: number) => Pick<
  AioPoll,
  "arm" | "reap" | "close"
>;

/** A word that takes longer than this, ms, was not given. */
const LONG_AGO = 5;

/** See the module. */
export class AioParking implements Parking {
  readonly name = "aio";
  readonly #poller: Poller;
  readonly #timer: LoopTimer;
  readonly #event: LoopEvent;
  readonly #aio: ReturnType<MakeAio>;
  /** The descriptor that is being polled; -1 for none. */
  #armed = -1;
  #doubt = false;
  #since = 0;
  #broken = false;
  #release: (() => void) | null = null;

  /**
   * @throws {Error} If the kernel, a sandbox or this Deno does not allow it.
   */
  constructor(poller: Poller, timer: LoopTimer, makeAio: MakeAio) {
    this.#poller = poller;
    this.#timer = timer;
    this.#event = new LoopEvent(() => this.#announced());
    try {
      this.#aio = makeAio(this.#event.fd);
    } catch (error) {
      this.#event.close();
      throw error;
    }
  }

  get broken(): boolean {
    return this.#broken;
  }

  park(timeout: number | null): Promise<void> {
    const fd = this.#poller.fd!;
    if (this.#armed !== fd) {
      try {
        this.#aio.arm(fd);
        this.#armed = fd;
      } catch {
        this.#broken = true;
      }
    }
    if (this.#broken) return Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#release = resolve;
    this.#timer.call(timeout, this.#doubt ? this.#inDoubt : this.#end);
    this.#event.ref();
    return promise;
  }

  wake(): void {
    if (this.#release !== null) this.#end();
  }

  missed(): void {
    if (this.#armed < 0) return;
    this.#doubt = true;
    this.#since = performance.now();
  }

  close(): null {
    this.wake();
    this.#aio.close();
    this.#event.close();
    return null;
  }

  #announced(): void {
    this.#armed = -1;
    this.#doubt = false;
    this.#aio.reap();
    if (this.#release !== null) this.#end();
  }

  /** What should have been announced long ago was not. */
  readonly #inDoubt = (): void => {
    this.#broken = performance.now() - this.#since >= LONG_AGO;
    this.#end();
  };

  readonly #end = (): void => {
    const release = this.#release;
    this.#release = null;
    this.#timer.call(null, null);
    this.#event.unref();
    release?.();
  };
}
