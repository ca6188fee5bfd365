/**
 * What was thrown at greenthreads, and the promises it must not escape by.
 *
 * A wait may be begun now and awaited later. If the greenthread is killed in
 * between, the promise rejects while nobody has it in hand; the error has an
 * addressee all the same, so that is nobody's unhandled rejection.
 * `GreenThread.throw` sees to the promise of the wait itself. A promise that is
 * made of such waits (by an async function, by `then`) goes through
 * {@linkcode outer} on its way to the user.
 *
 * The trap it guards: silencing too much. A call that fails by itself, and that
 * nobody awaits, must stay an unhandled rejection. So it is the error that
 * counts: only one that was thrown at a greenthread, or that it ended with,
 * rejects in silence. (A primitive cannot be told from others of its value, so
 * it never does.)
 *
 * @module
 */

const thrown = new WeakSet<object>();

/** Note that `error` has been thrown at a greenthread, or has ended one. */
export function noteThrown(error: unknown): void {
  if (typeof error === "object" && error !== null) thrown.add(error);
}

/** A rejection handler for a promise that need not be awaited. */
export function ignore(): void {}

/**
 * A promise of the user's that is made of waits: as the one given, but not an
 * unhandled rejection if one of its waits was broken off.
 */
export function outer<T>(promise: Promise<T>): Promise<T> {
  const seen = promise.catch((error) => {
    if (thrown.has(error)) seen.catch(ignore);
    throw error;
  });
  return seen;
}

/** The same for each step of an async generator. */
export function outerSteps<T, R>(
  generator: AsyncGenerator<T, R, void>,
): AsyncGenerator<T, R, void> {
  const next = generator.next.bind(generator);
  generator.next = () => outer(next());
  return generator;
}

/**
 * What a wait returns that could not be begun: a rejected promise, in silence
 * if the reason is what was thrown at the greenthread before.
 */
export function refused(error: unknown): Promise<never> {
  const promise = Promise.reject(error);
  if (thrown.has(error as object)) promise.catch(ignore);
  return promise;
}
