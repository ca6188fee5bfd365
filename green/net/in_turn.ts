/**
 * Calls that need no wait, and once in a while go by the hub all the same, so
 * that others have their turn: those that succeed, and those that fail and may
 * be made again and again.
 *
 * The trap it guards: calls that are under way at the same time come back in
 * their order. So what is called while one has gone by the hub goes by it, too.
 *
 * @module
 */

import { SystemError } from "../../ffi/errors.ts";
import { getCurrent } from "../../hubs/current.ts";
import { IOClosed } from "../../hubs/errors.ts";
import { outer, refused } from "../../hubs/thrown.ts";
import { impatient, yielded, yieldedError } from "../../hubs/wait.ts";

/** The latest of a socket's that has not come back. */
const latest = new Map<object, Promise<unknown>>();

/**
 * How a call that needed no wait comes back: null for at once.
 *
 * @param owner The socket.
 * @param value What it resolves to.
 */
export function byTheHub<T>(owner: object, value: T): Promise<T> | null {
  return isTurn(owner) ? inTurn(owner, yielded(value)) : null;
}

/**
 * How a call comes back that has failed without a wait.
 *
 * @param owner The socket.
 * @param error What it rejects with.
 */
export function failedAtOnce(owner: object, error: unknown): Promise<never> {
  // What a program gets wrong it will not try again, nor who is killed.
  const tried = error instanceof SystemError || error instanceof IOClosed;
  if (!tried || !isTurn(owner)) return refused(error);
  return outer(inTurn(owner, yieldedError(error)));
}

function isTurn(owner: object): boolean {
  if (impatient()) return true;
  if (latest.size === 0 || !latest.has(owner)) return false;
  // It may not wait, and what it asked for is done.
  return !getCurrent().isMainloop;
}

/**
 * Have the calls that need no wait come back after `promise`, a call's that is
 * done and comes back by the hub. Returns `promise`.
 */
export function inTurn<T>(owner: object, promise: Promise<T>): Promise<T> {
  const over = (): void => {
    if (latest.get(owner) === promise) latest.delete(owner);
  };
  latest.set(owner, promise);
  promise.then(over, over);
  return promise;
}

/** The socket is closed. */
export function forgetTurns(owner: object): void {
  latest.delete(owner);
}
