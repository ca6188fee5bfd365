/**
 * Receiving for many who wait, in one system call, just before they go on.
 *
 * @module
 */

import { AioReceive, MOST } from "../ffi/aio_receive.ts";
import { EINTR } from "../ffi/constants.ts";
import type { FdListener, Received } from "./listeners.ts";

/** For fewer it costs more than it saves. */
const FEWEST = 3;
const NOT_TRIED = -EINTR;
const NOWHERE = -1;

/** See the module. */
export class Receiving {
  /** null: not needed so far; undefined: it does not work here. */
  #aio: AioReceive | null | undefined = null;
  /** By position among those who are ready: the place of what was received. */
  readonly #places = new Int8Array(MOST).fill(NOWHERE);
  readonly #received = { count: 0, bytes: new Uint8Array(0) };

  /**
   * Receive for the listeners from `from` to `to`, for as many as want it.
   *
   * @returns Whether anything was done: {@linkcode Receiving.of} tells what.
   */
  receive(ready: readonly FdListener[], from: number, to: number): boolean {
    if (to - from < FEWEST || this.#aio === undefined) return false;
    if (this.#aio?.broken === true) {
      this.#aio.close();
      this.#aio = undefined;
      return false;
    }
    let wanted = 0;
    for (let at = from; at < to; at++) {
      if (ready[at]!.wants > 0) wanted++;
    }
    if (wanted < FEWEST) return false;
    const aio = this.#aio ??= makeReceive();
    if (aio === undefined) return false;
    for (let at = from; at < to; at++) {
      const { wants, fd } = ready[at]!;
      this.#places[at - from] = wants > 0 ? aio.want(fd, wants) : NOWHERE;
    }
    aio.run();
    return true;
  }

  /** What was received for one of them; null: it is up to him. */
  of(at: number): Received | null {
    const place = this.#places[at]!;
    if (place === NOWHERE) return null;
    const aio = this.#aio!;
    const count = aio.count(place);
    if (count === NOT_TRIED) return null;
    const received = this.#received;
    received.count = count;
    if (count > 0) received.bytes = aio.bytes(place);
    return received;
  }

  /** Give back what the kernel gave. */
  close(): void {
    this.#aio?.close();
    this.#aio = null;
  }
}

function makeReceive(): AioReceive | undefined {
  try {
    return new AioReceive();
  } catch {
    return undefined;
  }
}
