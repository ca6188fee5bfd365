/**
 * `GreenEvent`: one value, or one error, for any number of waiters.
 *
 * The trap it guards: a `reset()` right after `send()` must not change what the
 * waiters of the first round get. Each has its outcome from the moment of
 * `send`, and is resumed in the order of waiting.
 *
 * @module
 */

import { HubError } from "../hubs/errors.ts";
import { refused } from "../hubs/thrown.ts";
import { checkedError, type ErrorSource, makeError } from "../hubs/timeout.ts";
import { checkWait, Waiters, type WaitOptions } from "./waiters.ts";

const UNSENT = 0;
const VALUE = 1;
const ERROR = 2;

/**
 * Something that happens once, and that greenthreads wait for.
 *
 * @example
 * ```ts
 * import { GreenEvent, spawn } from "../mod.ts";
 *
 * const event = new GreenEvent<number>();
 * const gt = spawn(async () => 2 * await event.wait());
 * event.send(21);
 * if (await gt.wait() !== 42) throw new Error("not 42");
 * ```
 */
// deno-lint-ignore no-explicit-any
export class GreenEvent<T = any> {
  readonly #waiters = new Waiters();
  #state = UNSENT;
  #outcome: unknown = undefined;

  /** It has been sent: `wait()` does not wait. */
  get ready(): boolean {
    return this.#state !== UNSENT;
  }

  /** A value has been sent, be it undefined. */
  get hasResult(): boolean {
    return this.#state === VALUE;
  }

  /** An error has been sent. */
  get hasError(): boolean {
    return this.#state === ERROR;
  }

  /**
   * Send a value to all who wait and will wait. Never yields.
   *
   * @throws {HubError} If something was sent already.
   */
  send(value?: T): void {
    this.#assertUnsent();
    this.#state = VALUE;
    this.#outcome = value;
    this.#waiters.grantAll(value);
  }

  /**
   * Send an error, which is thrown at all who wait and will wait.
   *
   * @param error An error, or a class of which one is made now.
   * @throws {TypeError} If it is neither.
   * @throws {HubError} If something was sent already.
   */
  sendError(error: ErrorSource): void {
    checkedError(error, "error");
    this.#assertUnsent();
    this.#state = ERROR;
    this.#outcome = makeError(error);
    while (this.#waiters.size > 0) this.#waiters.fail(this.#outcome);
  }

  /**
   * Wait until it is sent: resolves to the value, rejects with the error. When
   * it has been sent this is no switch point.
   *
   * @throws {Timeout} If the time is over.
   * @throws {TypeError} If an option has the wrong type.
   * @throws {RangeError} If `timeout` is NaN.
   * @throws {HubError} From MAINLOOP, if it would have to wait.
   */
  wait(options?: WaitOptions): Promise<T> {
    try {
      checkWait(options, "wait");
      if (this.#state === VALUE) return Promise.resolve(this.#outcome as T);
      if (this.#state === ERROR) return Promise.reject(this.#outcome);
      const { suspension } = this.#waiters.wait(options, undefined);
      return suspension.promise as Promise<T>;
    } catch (error) {
      return refused(error);
    }
  }

  /**
   * Make it as new, to be sent again. Who was resumed by the last `send` gets
   * what that sent.
   *
   * @throws {HubError} If nothing was sent.
   */
  reset(): void {
    if (this.#state === UNSENT) {
      throw new HubError("Cannot reset the event: nothing was sent");
    }
    this.#state = UNSENT;
    this.#outcome = undefined;
  }

  #assertUnsent(): void {
    if (this.#state !== UNSENT) {
      throw new HubError("Cannot send: the event was sent already; reset it");
    }
  }
}
