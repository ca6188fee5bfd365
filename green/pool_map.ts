/**
 * `PoolMap`: what `imap` and `starmap` return, results in order of the inputs.
 *
 * A greenthread of its own reads the inputs and spawns the calls, as far ahead
 * of the consumer as the pool is large. The trap it guards: eventlet's consumer
 * that hangs, when an input fails or when it asks once more at the end.
 *
 * @module
 */

import { GreenletExit } from "../hubs/errors.ts";
import { GreenThread } from "../hubs/greenthread.ts";
import { sleep } from "../hubs/spawn.ts";
import { currentHub } from "../hubs/thread.ts";
import { outer } from "../hubs/thrown.ts";
import { InOrder, resultOf } from "./in_order.ts";
import type { Inputs } from "./inputs.ts";
import { inMainloop, Waiters } from "./waiters.ts";

/** The pool, as a map sees it. */
interface MapPool {
  readonly spawn: (args: unknown[]) => Promise<GreenThread>;
  /** How many calls may be under way or not fetched. */
  readonly window: () => number;
}

/**
 * The results of a map in the order of its inputs, an async iterator.
 *
 * Several may call `next()` at once; each gets the next result. Whoever is
 * killed while it waits in there takes none along.
 */
export class PoolMap<R> implements AsyncIterableIterator<R>, AsyncDisposable {
  /** Who reads the inputs. @internal */
  readonly producer: GreenThread;

  readonly #pool: MapPool;
  readonly #inputs: Inputs;
  readonly #results = new InOrder(true);
  readonly #room = new Waiters();
  #stopped = false;

  /** Made by `pool.imap` and `pool.starmap`. @internal */
  constructor(inputs: Inputs, pool: MapPool) {
    this.#inputs = inputs;
    this.#pool = pool;
    this.producer = new GreenThread(() => this.#produce(), [], "imap");
    this.producer.inheritContext();
    // However it ends, nobody shall wait for more.
    this.producer.link(() => this.#results.close());
    currentHub().enqueue(this.producer);
  }

  /**
   * Wait for the next result.
   *
   * @throws Whatever that call, or the inputs, threw.
   * @throws {HubError} From MAINLOOP, if it would have to wait.
   */
  next(): Promise<IteratorResult<R, undefined>> {
    return outer(this.#next());
  }

  async #next(): Promise<IteratorResult<R, undefined>> {
    const place = await this.#results.next();
    if (this.#room.size > 0) this.#room.grant(undefined);
    return resultOf<R>(place);
  }

  /**
   * Stop: calls that still run are killed, the inputs closed, results that were
   * not fetched forgotten. Whoever waits in `next()` sees the end.
   *
   * @param _value Not used: an iterator's `return` may be given one.
   * @throws Whatever closing an input throws.
   */
  return(_value?: unknown): Promise<IteratorResult<R, undefined>> {
    return outer(this.#return());
  }

  async #return(): Promise<IteratorResult<R, undefined>> {
    const first = !this.#stopped;
    this.#stopped = true;
    const working = this.#results.abort();
    if (first) {
      this.producer.throw(new GreenletExit());
      for (const gt of working) gt.throw(new GreenletExit());
      try {
        // They unwind before whoever stops them goes on.
        if (working.length > 0 && !inMainloop()) await sleep();
      } finally {
        await this.#inputs.close();
      }
    }
    return { done: true, value: undefined };
  }

  /** Itself. */
  [Symbol.asyncIterator](): this {
    return this;
  }

  /** As {@linkcode PoolMap.return}. */
  [Symbol.asyncDispose](): Promise<void> {
    return outer(this.#return().then(nothing));
  }

  async #produce(): Promise<void> {
    try {
      for (;;) {
        const args = await this.#inputs.read();
        if (args === null || this.#stopped) break;
        while (this.#results.pending >= this.#pool.window()) {
          await this.#room.wait(undefined, undefined).suspension.promise;
        }
        await this.#call(args);
      }
      await this.#inputs.close();
    } catch (error) {
      if (this.#stopped) return;
      await this.#inputs.close().catch(() => {});
      this.#results.fail(this.#results.reserve(), error);
    }
  }

  async #call(args: unknown[]): Promise<void> {
    const place = this.#results.reserve();
    try {
      const gt = await this.#pool.spawn(args);
      gt.expectWait();
      this.#results.fill(place, gt);
      if (this.#stopped) gt.throw(new GreenletExit());
    } catch (error) {
      this.#results.drop(place);
      throw error;
    }
  }
}

function nothing(): void {}
