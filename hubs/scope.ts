/**
 * Which time limits code is inside of: what `withTimeout` has called, and what
 * follows from that across awaits.
 *
 * The trap it guards: code that waits in several places at once, as main does
 * in the handlers of a `Deno.serve`, or anybody in a `Promise.all`. A limit
 * around one of them must not strike the others. So each wait notes the scope
 * in which it was begun. While no limit is in force, that costs a look at a
 * number.
 *
 * @module
 */

import { AsyncLocalStorage } from "node:async_hooks";
import type { GreenThread } from "./greenthread.ts";

const storage = new AsyncLocalStorage<Scope>();

/** How many scopes are in force. */
let open = 0;

/** The code that one limit is around. */
export class Scope implements Disposable {
  /** What it was called with has returned this: a wait, maybe. */
  returned: unknown = undefined;

  readonly #greenlet: GreenThread;
  /** The next one around it, of the same greenthread and in force. */
  readonly #outer: Scope | null;
  #over = false;

  /** Open a scope for code of `greenlet`. */
  constructor(greenlet: GreenThread) {
    this.#greenlet = greenlet;
    let outer = Scope.current();
    while (outer !== null && (outer.#over || outer.#greenlet !== greenlet)) {
      outer = outer.#outer;
    }
    this.#outer = outer;
    open++;
  }

  /** The one the running code is inside of. */
  static current(): Scope | null {
    return open === 0 ? null : storage.getStore() ?? null;
  }

  /** Call `fn` inside. */
  run<T>(fn: () => T): T {
    const returned = storage.run(this, fn);
    this.returned = returned;
    return returned;
  }

  /** `scope` is this one, or inside of it. */
  holds(scope: Scope | null): boolean {
    let at = scope;
    while (at !== null && at !== this) at = at.#outer;
    return at !== null;
  }

  /** The limit is over. */
  [Symbol.dispose](): void {
    if (this.#over) return;
    this.#over = true;
    this.returned = undefined;
    open--;
  }
}
