/**
 * Results of greenthreads in the order in which they were asked for, not in
 * which they end.
 *
 * The trap it guards: a consumer that is killed, or whose time runs out, while
 * it waits for a result must not take it along. Results are handed over by a
 * queue, which sees to that.
 *
 * @module
 */

import type { GreenThread } from "../hubs/greenthread.ts";
import { LightQueue } from "./light_queue.ts";
import { FifoStore } from "./stores.ts";

/** A place in the order. */
export interface Place {
  /** Who works on it; null: nobody (yet). */
  gt: GreenThread | null;
  /** Why nobody will. */
  failure: { readonly error: unknown } | null;
  /** It is finished, or was given up. */
  over: boolean;
  /** Nobody will ask for it. */
  dropped: boolean;
}

/** See the module. */
export class InOrder {
  readonly #places = new FifoStore<Place>();
  /** Finished ones in order; null: somebody who waits must look again. */
  readonly #ready = new LightQueue<Place | null>();
  #pending = 0;
  #open: boolean;

  /**
   * Make an empty one.
   *
   * @param open More will come until {@linkcode InOrder.close}: who asks waits.
   */
  constructor(open: boolean) {
    this.#open = open;
  }

  /** Places that nobody has fetched yet. */
  get pending(): number {
    return this.#pending;
  }

  /** Take the next place. */
  reserve(): Place {
    const place = { gt: null, failure: null, over: false, dropped: false };
    this.#places.push(place);
    this.#pending++;
    return place;
  }

  /** Somebody works on it. */
  fill(place: Place, gt: GreenThread): void {
    place.gt = gt;
    gt.link(() => this.#finish(place));
  }

  /** Nobody can work on it: who asks for it gets the error. */
  fail(place: Place, error: unknown): void {
    place.failure = { error };
    this.#finish(place);
  }

  /** Act as if it had never been reserved. */
  drop(place: Place): void {
    if (place.dropped) return;
    place.dropped = true;
    this.#pending--;
    this.#finish(place);
    this.#dismiss();
  }

  /** No more will come. */
  close(): void {
    this.#open = false;
    this.#dismiss();
  }

  /** Forget all places; returns who still works on them. */
  abort(): GreenThread[] {
    const working: GreenThread[] = [];
    while (this.#places.size > 0) {
      const place = this.#places.shift();
      place.dropped = true;
      if (place.gt !== null && !place.gt.dead) working.push(place.gt);
    }
    while (this.#ready.size > 0) this.#ready.tryGet();
    this.#pending = 0;
    this.close();
    return working;
  }

  /** Wait for the next place that is over; null: there is and will be none. */
  async next(): Promise<Place | null> {
    for (;;) {
      if (!this.#open && this.#pending === 0) return null;
      const place = await this.#ready.get();
      if (place === null || this.#pending === 0) continue;
      this.#pending--;
      this.#dismiss();
      return place;
    }
  }

  #finish(place: Place): void {
    place.over = true;
    while (this.#places.size > 0) {
      const first = this.#places.shift();
      if (!first.over) {
        this.#places.unshift(first);
        return;
      }
      if (!first.dropped) this.#ready.tryPut(first);
    }
  }

  /** Have all look again who wait, if there is nothing to wait for. */
  #dismiss(): void {
    if (this.#open || this.#pending > 0) return;
    while (this.#ready.getting > 0) this.#ready.tryPut(null);
  }
}

/** What an iterator gives for a place: a result, an error, or the end. */
export async function resultOf<R>(
  place: Place | null,
): Promise<IteratorResult<R, undefined>> {
  if (place === null) return { done: true, value: undefined };
  if (place.failure !== null) throw place.failure.error;
  return { done: false, value: await place.gt!.wait() as R };
}
