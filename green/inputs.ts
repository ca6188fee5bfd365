/**
 * The inputs of a map: several iterables, sync or async, read side by side.
 *
 * The trap it guards: an iterator that was opened must be closed, however the
 * map ends; but one that is in the middle of `next()` may never come back from
 * it, and nobody may wait for that.
 *
 * @module
 */

import { waitFor } from "./wait_for.ts";

/** What can be iterated over, with or without waiting. */
export type AnyIterable<T> = Iterable<T> | AsyncIterable<T>;

/** One item of each of several iterables. */
export type Items<I extends readonly unknown[]> = {
  [K in keyof I]: I[K] extends AnyIterable<infer T> ? T : never;
};

/** One iterator, opened. */
class Input {
  readonly #iterator: Iterator<unknown> | AsyncIterator<unknown>;
  /** A promise of its `next()` is not settled. */
  #reading = false;
  #closed = false;

  constructor(iterable: AnyIterable<unknown>) {
    this.#iterator = openIterator(iterable);
  }

  /** The next item. A failed or finished iterator has closed itself. */
  async read(): Promise<IteratorResult<unknown>> {
    let result;
    try {
      const next = this.#iterator.next();
      result = await waitFor(this.#follow(next));
      if (result.done !== true) {
        // As `for await` does: promises of a sync iterable are awaited.
        return { done: false, value: await waitFor(result.value) };
      }
    } catch (error) {
      if (!this.#reading) this.#closed = true;
      throw error;
    }
    this.#closed = true;
    return result;
  }

  /** Close it, if that is still to be done. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    const closing = this.#iterator.return?.();
    if (this.#reading) Promise.resolve(closing).catch(() => {});
    else await waitFor(closing);
  }

  /** Know whether a promise is settled. */
  #follow<R>(next: R | PromiseLike<R>): R | PromiseLike<R> {
    if (!(next instanceof Promise)) return next;
    this.#reading = true;
    const settled = () => {
      this.#reading = false;
    };
    next.then(settled, settled);
    return next;
  }
}

function openIterator(
  iterable: AnyIterable<unknown>,
): Iterator<unknown> | AsyncIterator<unknown> {
  const { [Symbol.asyncIterator]: later, [Symbol.iterator]: now } = Object(
    iterable,
  );
  if (typeof later === "function") return later.call(iterable);
  if (typeof now === "function") return now.call(iterable);
  throw new TypeError(
    `Cannot map: an input is not iterable: ${typeof iterable}`,
  );
}

/** Several iterables, read side by side up to the end of the shortest. */
export class Inputs {
  readonly #inputs: Input[] = [];
  readonly #spread: boolean;

  /**
   * Open the iterables.
   *
   * @param spread Each item of the first is a row by itself.
   * @throws {TypeError} If one is not iterable.
   */
  constructor(iterables: readonly AnyIterable<unknown>[], spread = false) {
    this.#spread = spread;
    try {
      for (const one of iterables) this.#inputs.push(new Input(one));
    } catch (error) {
      this.close().catch(() => {});
      throw error;
    }
  }

  /** One item of each; null at the end. */
  async read(): Promise<unknown[] | null> {
    const row: unknown[] = [];
    for (const input of this.#inputs) {
      const result = await input.read();
      if (result.done === true) return null;
      row.push(result.value);
    }
    if (row.length === 0) return null;
    return this.#spread ? [...row[0] as Iterable<unknown>] : row;
  }

  /** Close what is still open; throws the first error of it. */
  async close(): Promise<void> {
    const errors: unknown[] = [];
    for (const input of this.#inputs) {
      await input.close().catch((error) => errors.push(error));
    }
    if (errors.length > 0) throw errors[0];
  }
}
