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
  /** The next one around it, of the same greenthread. */
  #outer: Scope | null;
  #over = false;

  /** Open a scope for code of `greenlet`. */
  constructor(greenlet: GreenThread) {
    this.#greenlet = greenlet;
    const inside = Scope.current();
    const own = inside !== null && inside.#greenlet === greenlet;
    const outer = own ? Scope.#inForce(inside) : null;
    // It holds on to none that is over, however many follow on each other.
    if (outer !== null) outer.#outer = Scope.#inForce(outer.#outer);
    this.#outer = outer;
    open++;
  }

  /** The scope, or the next one around it that is in force. */
  static #inForce(scope: Scope | null): Scope | null {
    let at = scope;
    while (at !== null && at.#over) at = at.#outer;
    return at;
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
    // What was begun inside may hold on to it for long.
    this.#outer = Scope.#inForce(this.#outer);
    this.returned = undefined;
    open--;
  }
}
