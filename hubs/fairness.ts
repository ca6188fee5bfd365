/**
 * Fairness towards Deno's own loop: when a busy MAINLOOP yields, and how long.
 *
 * MAINLOOP runs in microtasks; while they go on, Deno serves neither timers
 * nor sockets. The trap: one turn of Deno's loop serves timers, but its I/O
 * driver is looked at only every 61 polls, so a single `setImmediate` starves
 * `fetch` to a few per cent.
 *
 * @module
 */

/** How long MAINLOOP works before it yields, ms. */
const SLICE = 0.2;
/** Turns after which Deno's I/O driver has surely been looked at. */
const TURNS = 62;
/** Steps between two looks at the clock. */
const STEPS = 32;

/** One turn of Deno's loop. */
export function macrotask(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

/** Counts what MAINLOOP does, and yields when it is time. */
export class Fairness {
  #left = STEPS;
  #since = performance.now();

  /** Deno's loop has just had its turn. */
  restart(): void {
    this.#left = STEPS;
    this.#since = performance.now();
  }

  /** Count one step; true if Deno's loop should have its turn now. */
  step(): boolean {
    if (--this.#left > 0) return false;
    this.#left = STEPS;
    return performance.now() - this.#since >= SLICE;
  }

  /** Give Deno's loop its turn. */
  async yield(): Promise<void> {
    for (let turn = 0; turn < TURNS; turn++) await macrotask();
    this.restart();
  }
}
