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
 * rejects in silence. (A primitive cannot be told from others of its value: it
 * does so in the same turn of Deno's loop alone.)
 *
 * A promise of the user's own making, such as that of an async function which he
 * will await later, nobody can see to. It becomes an unhandled rejection, and is
 * recognised then by its error; see {@linkcode noteAddressed}.
 *
 * @module
 */

const thrown = new WeakSet<object>();
const primitives = new Set<unknown>();

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null ||
    typeof value === "function";
}

/** Note that `error` has been thrown at a greenthread, or has ended one. */
export function noteThrown(error: unknown): void {
  if (isObject(error)) thrown.add(error);
  else {
    if (primitives.size === 0) setImmediate(() => primitives.clear());
    primitives.add(error);
  }
}

function wasThrown(error: unknown): boolean {
  return isObject(error) ? thrown.has(error) : primitives.has(error);
}

/** By error, or by promise: whether an unhandled rejection is none. */
const addressed = new WeakMap<object, () => boolean>();
let listening = false;

/**
 * An unhandled rejection with this error, or of this promise, may be none: the
 * error has an addressee. `settle` says so, and sees to it that he gets it.
 */
export function noteAddressed(what: unknown, settle: () => boolean): void {
  if (!isObject(what)) return;
  addressed.set(what, settle);
  if (listening) return;
  listening = true;
  addEventListener("unhandledrejection", (event) => {
    const { promise, reason } = event;
    const key = addressed.has(promise) ? promise : reason;
    if (isObject(key) && addressed.get(key)?.()) event.preventDefault();
  });
}

/** A rejection handler for a promise that need not be awaited. */
export function ignore(): void {}

/**
 * Nobody need await `promise`, nor what is made of it: what it rejects with is
 * expected.
 */
export function disown(promise: Promise<unknown>): void {
  promise.catch((error) => noteAddressed(error, () => true));
}

/**
 * A promise of the user's that is made of waits: as the one given, but not an
 * unhandled rejection if one of its waits was broken off.
 */
export function outer<T>(promise: Promise<T>): Promise<T> {
  const seen = promise.catch((error) => {
    if (wasThrown(error)) seen.catch(ignore);
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
  if (wasThrown(error)) promise.catch(ignore);
  return promise;
}
