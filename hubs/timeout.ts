/**
 * `Timeout`: an error that throws itself at the greenthread that made it.
 *
 * It is told apart by identity, never by class: a nested timeout must not be
 * taken for an outer one. Two may even share the error they throw.
 *
 * @module
 */

import { HubError } from "./errors.ts";
import { getCurrent } from "./current.ts";
import type { GreenThread, Kept } from "./greenthread.ts";
import { checkDelay } from "./checks.ts";
import type { Cancellable } from "./scheduler.ts";
import type { Scope } from "./scope.ts";
import { currentHub } from "./thread.ts";

/** An error, or a class of which one is made when it is thrown. */
export type ErrorSource = Error | (new () => Error);

/** Throw unless `source` is an error or a class of errors. @internal */
export function checkedError(source: unknown, what: string): void {
  const isClass = typeof source === "function" &&
    (source === Error || source.prototype instanceof Error);
  if (!(source instanceof Error) && !isClass) {
    throw new TypeError(
      `Cannot use ${what}: neither an Error nor a class of errors`,
    );
  }
}

/**
 * The error itself, or a new one of the class; if none can be made, the error
 * that says so: whoever waits must not wait on for want of one. @internal
 */
export function makeError(source: ErrorSource): Error {
  if (typeof source !== "function") return source;
  try {
    return new source();
  } catch (error) {
    if (error instanceof Error) return error;
    const what = `Cannot make a ${source.name}: its constructor threw`;
    return new Error(what, { cause: error });
  }
}

/**
 * Time ran out.
 *
 * `new Timeout(ms)` starts at once: after `ms` it is thrown at the greenthread
 * that made it, at whatever it then waits for. With `using`, it limits the rest
 * of the block. Made in main it is thrown at every wait main is in. It is
 * cancelled when its greenthread ends, unless code of that still waits.
 *
 * @example Limit a block
 * ```ts
 * import { sleep, Timeout } from "../mod.ts";
 *
 * try {
 *   using _limit = new Timeout(5);
 *   await sleep(10_000);
 * } catch (error) {
 *   if (!(error instanceof Timeout)) throw error;
 * }
 * ```
 */
export class Timeout extends Error implements Disposable {
  /** The name of the class. */
  override readonly name: string = "Timeout";
  /** The time it allows, ms; null for no limit. */
  readonly ms: number | null;
  readonly #error: ErrorSource | null;
  #timer: Cancellable | null = null;
  #greenlet: GreenThread | null = null;
  /** What was thrown at a greenthread that waited for nothing just then. */
  #kept: Kept | null = null;
  #struck = false;
  /** It limits what `withTimeout` has called, and nothing else. */
  #scope: Scope | null = null;

  /**
   * Start a timeout.
   *
   * @param ms Milliseconds; null or undefined: never.
   * @param error Thrown instead of the timeout itself: an error or a class.
   * @throws {TypeError} If `ms` is no number or `error` is no error.
   * @throws {RangeError} If `ms` is NaN.
   */
  constructor(ms?: number | null, error?: ErrorSource | null) {
    super(ms === undefined || ms === null ? "" : `${ms} ms`);
    if (ms !== undefined && ms !== null) checkDelay(ms);
    if (error !== undefined && error !== null) checkedError(error, "error");
    this.ms = ms ?? null;
    this.#error = error ?? null;
    if (ms !== undefined && ms !== null) this.start();
  }

  /** It is armed: neither fired nor cancelled. */
  get pending(): boolean {
    return this.#timer !== null;
  }

  /**
   * Arm it (again) for the current greenthread.
   *
   * @throws {HubError} If it is pending.
   */
  start(): void {
    if (this.pending) {
      throw new HubError("Cannot start the timeout: it is pending already");
    }
    this.cancel();
    this.#struck = false;
    if (this.ms === null) return;
    const fire = (): void => this.#fire();
    this.#timer = currentHub().callLater(this.ms, fire, this);
    this.#greenlet = getCurrent();
    this.#greenlet.cancelAtEnd(this);
  }

  /**
   * Disarm it; harmless if it is not pending. If it has expired while its
   * greenthread was in an ordinary `await`, it is not thrown any more.
   */
  cancel(): void {
    this.#timer?.cancel();
    this.#timer = null;
    const greenlet = this.#greenlet;
    if (greenlet === null) return;
    this.#greenlet = null;
    greenlet.outlive(this);
    if (this.#kept !== null) greenlet.dropKept(this.#kept);
    this.#kept = null;
  }

  /** The end of a `using` block. */
  [Symbol.dispose](): void {
    this.cancel();
  }

  /** It was thrown, since it was last started. @internal */
  get struck(): boolean {
    return this.#struck;
  }

  /**
   * Strike only what is begun in `scope`. It goes on if its greenthread ends:
   * whoever made it will cancel it.
   * @internal
   */
  limit(scope: Scope): this {
    this.#scope = scope;
    this.#greenlet?.outlive(this);
    return this;
  }

  #fire(): void {
    const greenlet = this.#greenlet!;
    this.#timer = null;
    this.#greenlet = null;
    greenlet.outlive(this);
    // MAINLOOP cannot be bothered; nor what ended in time, unless code of it
    // still waits or is limited.
    const { waiting } = greenlet;
    const scope = this.#scope;
    if (greenlet.isMainloop) return;
    if (greenlet.dead && !waiting && scope === null) return;
    this.#struck = true;
    const error = this.#error === null ? this : makeError(this.#error);
    if (scope !== null) {
      if (greenlet.throwInside(scope, error)) return;
    } else if (waiting) {
      greenlet.interrupt(error, null);
      return;
    }
    // It will be thrown at the next wait, unless the block ends before.
    this.#greenlet = greenlet;
    this.#kept = greenlet.keep(error, scope);
  }

  /** One that says what expired, without a timer. @internal */
  static expired(ms: number | null): Timeout {
    const timeout = new Timeout(null);
    timeout.message = ms === null ? "" : `${ms} ms`;
    return timeout;
  }
}
