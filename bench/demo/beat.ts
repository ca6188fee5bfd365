/**
 * A `setInterval` that writes down how late it is: whether a hub lets Deno's
 * own event loop have its turn can be seen here.
 *
 * @module
 */

/** A beat of Deno's own timers. */
export class Beat implements Disposable {
  /** What it should be, ms. */
  static readonly PERIOD = 10;

  #timer: ReturnType<typeof setInterval> | undefined;
  #last = 0;
  #beats = 0;
  #late = 0;
  #worst = 0;

  /** Beats since the start or the last reset. */
  get beats(): number {
    return this.#beats;
  }

  /** How much longer than the period it took from beat to beat, on average. */
  get late(): number {
    return this.#beats === 0 ? 0 : this.#late / this.#beats;
  }

  /** The worst of these. */
  get worst(): number {
    return this.#worst;
  }

  /** Begin. */
  start(): this {
    this.#last = performance.now();
    this.#timer = setInterval(() => {
      const now = performance.now();
      const late = Math.max(0, now - this.#last - Beat.PERIOD);
      this.#last = now;
      this.#beats++;
      this.#late += late;
      this.#worst = Math.max(this.#worst, late);
    }, Beat.PERIOD);
    return this;
  }

  /** Forget what was counted. */
  reset(): void {
    this.#beats = 0;
    this.#late = 0;
    this.#worst = 0;
  }

  /** End. */
  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}
