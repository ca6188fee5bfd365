/**
 * Calls that need no wait, and once in a while go by the hub all the same, so
 * that others have their turn.
 *
 * The trap it guards: calls that are under way at the same time come back in
 * their order. So what is called while one has gone by the hub goes by it, too.
 *
 * @module
 */

import { getCurrent } from "../../hubs/current.ts";
import { impatient, yielded } from "../../hubs/wait.ts";

/** The latest of a socket's that has not come back. */
const latest = new Map<object, Promise<unknown>>();

/**
 * How a call that needed no wait comes back: null for at once.
 *
 * @param owner The socket.
 * @param value What it resolves to.
 */
export function byTheHub<T>(owner: object, value: T): Promise<T> | null {
  if (!impatient()) {
    if (latest.size === 0 || !latest.has(owner)) return null;
    // It may not wait, and what it asked for is done.
    if (getCurrent().isMainloop) return null;
  }
  const promise = yielded(value);
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
