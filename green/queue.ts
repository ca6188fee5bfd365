/**
 * `Queue`: a queue that knows when all that was put into it is done; and the
 * two that keep another order.
 *
 * @module
 */

import { refused } from "../hubs/thrown.ts";
import { LightQueue } from "./light_queue.ts";
import { type Comparator, HeapStore, LifoStore, type Store } from "./stores.ts";
import { checkWait, Waiters, type WaitOptions } from "./waiters.ts";

/**
 * A {@linkcode LightQueue} with `join` and `taskDone`.
 *
 * @example
 * ```ts
 * import { Queue, spawn } from "../mod.ts";
 *
 * const jobs = new Queue<() => void>();
 * let done = 0;
 * const worker = spawn(async () => {
 *   for (;;) {
 *     (await jobs.get())();
 *     jobs.taskDone();
 *   }
 * });
 * for (let i = 0; i < 3; i++) await jobs.put(() => done++);
 * await jobs.join();
 * await worker.kill();
 * if (done !== 3) throw new Error("not done");
 * ```
 */
// deno-lint-ignore no-explicit-any
export class Queue<T = any> extends LightQueue<T> {
  readonly #joiners = new Waiters();
  #unfinished = 0;

  /** Items put and not yet reported by {@linkcode Queue.taskDone}. */
  get unfinishedTasks(): number {
    return this.#unfinished;
  }

  /**
   * Say that the work on one item is done. Never yields.
   *
   * @throws {RangeError} If it is said more often than items were put.
   */
  taskDone(): void {
    if (this.#unfinished === 0) {
      throw new RangeError("Cannot be done: no task is unfinished");
    }
    if (--this.#unfinished === 0) this.#joiners.grantAll(undefined);
  }

  /**
   * Wait until all that was put is done. No switch point if it is.
   *
   * @throws {Timeout} If the time is over.
   * @throws {HubError} From MAINLOOP, if it would have to wait.
   */
  join(options?: WaitOptions): Promise<void> {
    try {
      checkWait(options, "join");
      if (this.#unfinished === 0) return Promise.resolve();
      const { suspension } = this.#joiners.wait(options, undefined);
      return suspension.promise as Promise<void>;
    } catch (error) {
      return refused(error);
    }
  }

  /** Count what was put. */
  protected override accepted(): void {
    this.#unfinished++;
  }
}

/**
 * A {@linkcode Queue} that gives the newest item first.
 *
 * @example
 * ```ts
 * import { LifoQueue } from "../mod.ts";
 *
 * const stack = new LifoQueue<number>();
 * for (const n of [1, 2, 3]) stack.tryPut(n);
 * if (stack.tryGet() !== 3) throw new Error("not the newest");
 * ```
 */
// deno-lint-ignore no-explicit-any
export class LifoQueue<T = any> extends Queue<T> {
  /** As {@linkcode LightQueue}. */
  constructor(maxSize?: number | null) {
    super(maxSize, new LifoStore<T>());
  }
}

/** What a {@linkcode PriorityQueue} takes beside its size. */
export interface PriorityQueueOptions<T> {
  /** Negative: `a` goes first; positive: `b`. Default: the natural order. */
  compare?: Comparator<T> | undefined;
}

/**
 * A {@linkcode Queue} that gives the lowest item first; equal ones in order of
 * arrival.
 *
 * Without a comparator items are compared by `<`, and arrays element by
 * element, so `[priority, job]` works. If a comparison throws, or finds no
 * order, the `put` fails and nothing was put.
 *
 * @example
 * ```ts
 * import { PriorityQueue } from "../mod.ts";
 *
 * const jobs = new PriorityQueue<[number, string]>();
 * jobs.tryPut([2, "later"]);
 * jobs.tryPut([1, "now"]);
 * if (jobs.tryGet()[1] !== "now") throw new Error("not the lowest");
 * ```
 */
// deno-lint-ignore no-explicit-any
export class PriorityQueue<T = any> extends Queue<T> {
  /** As {@linkcode LightQueue}, with an order of its own if wanted. */
  constructor(maxSize?: number | null, options: PriorityQueueOptions<T> = {}) {
    super(maxSize, heap(options.compare));
  }
}

function heap<T>(compare: unknown): Store<T> {
  if (compare !== undefined && typeof compare !== "function") {
    throw new TypeError(
      `Cannot make a PriorityQueue: compare is no function: ${typeof compare}`,
    );
  }
  return new HeapStore<T>(compare as Comparator<T> | undefined);
}
