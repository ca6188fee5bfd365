/**
 * What a backend must offer, and nothing else.
 *
 * A hub has a poller; it is not one. The checklist:
 *
 * - `watch` is exact and idempotent: after it, `fd` is watched for just
 *   `interest`, whatever was there before, also if the number was closed and
 *   handed out anew behind the backend's back;
 * - `sweep` never blocks, reports level-triggered readiness, and touches
 *   nothing but its own bookkeeping: the hub calls the listeners afterwards;
 * - a hang-up or an error is reported as READ and WRITE both, so a waiter of
 *   either kind learns of it; a number that is not open is BAD;
 * - a file the kernel refuses to poll (EPERM) is always ready;
 * - what `park` returns decides nothing: a sweep follows.
 *
 * EINTR, rounding, fairness and deadlines are dealt with once, above.
 *
 * @module
 */

/** Readable (also: hung up, in error). */
export const READ = 1;
/** Writable (also: hung up, in error). */
export const WRITE = 2;
/** Not an open descriptor. */
export const BAD = 4;

/** {@linkcode READ} or {@linkcode WRITE}: what a listener waits for. */
export type Interest = typeof READ | typeof WRITE;

/** How a sweep tells what it found: bits READ, WRITE, BAD. */
export type Report = (fd: number, ready: number) => void;

/**
 * A source of readiness behind a {@linkcode BaseHub}.
 *
 * One with only `watch`, `sweep` and `close` is a full hub: it is then swept
 * from a timer while idle. With `fd`, or with `park` and `wake`, it costs
 * nothing while idle; with `park` alone it is asked for short parks only.
 *
 * @example A poller that finds everything ready at once
 * ```ts
 * import { BaseHub, type Poller, type Report } from "./mod.ts";
 *
 * class Eager implements Poller {
 *   #watched = new Map<number, number>();
 *   watch(fd: number, interest: number): void {
 *     if (interest === 0) this.#watched.delete(fd);
 *     else this.#watched.set(fd, interest);
 *   }
 *   sweep(report: Report): number {
 *     for (const [fd, interest] of this.#watched) report(fd, interest);
 *     return this.#watched.size;
 *   }
 *   close(): void {
 *     this.#watched.clear();
 *   }
 * }
 *
 * export class Hub extends BaseHub {
 *   constructor() {
 *     super(new Eager());
 *   }
 * }
 * ```
 */
export interface Poller {
  /**
   * Watch `fd` for exactly `interest` (READ, WRITE or both); 0 forgets it.
   *
   * Idempotent; forgetting a closed descriptor is no error. Of one that is not
   * open and is to be watched it tells either way: it throws, or the next sweep
   * reports it BAD. To throw is better: whoever waits hears of it at once.
   *
   * @throws {SystemError} EBADF if `fd` is not open and `interest` is not 0.
   */
  watch(fd: number, interest: number): void;

  /**
   * Report what is ready now, in the kernel's order, without blocking.
   *
   * @returns How many descriptors were reported.
   */
  sweep(report: Report): number;

  /** Give back what the kernel gave. Called once, with no park under way. */
  close(): void;

  /** What `hub.name` shall say; by default the name of the hub's class. */
  readonly name?: string;

  /** A descriptor that polls readable while any watched one is ready. */
  readonly fd?: number | undefined;

  /**
   * Wait off the JavaScript thread until something may be ready, at most
   * `timeout` milliseconds (null: no limit). Ends early after
   * {@linkcode Poller.wake}. The hub keeps the process alive meanwhile.
   */
  park?(timeout: number | null): Promise<void>;

  /** End a {@linkcode Poller.park} under way. */
  wake?(): void;

  /**
   * Wait on this thread for at most `timeout` milliseconds, well below one:
   * the brief wait before a park. 0 only asks. A sweep follows.
   *
   * @returns Whether something became ready.
   */
  linger?(timeout: number): boolean;

  /** How `statistics()` names `park`: `"thread"` for the built-in pollers. */
  readonly parking?: "thread";
}
