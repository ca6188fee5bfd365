/**
 * What is to be called at the end of a greenthread.
 *
 * The trap it guards: a link may add another one, to a greenthread that is dead
 * by then. It is called after those there are, not in the midst of the first.
 *
 * @module
 */

import type { AnyFunction, GreenThread } from "./greenthread.ts";
import { reportError } from "./report.ts";

interface Link {
  readonly fn: AnyFunction;
  readonly args: readonly unknown[];
}

/** The links of one greenthread, in the order of linking. */
export class Links {
  readonly #list: Link[] = [];
  #running = false;

  /** Add one at the end. */
  add(fn: AnyFunction, args: readonly unknown[]): void {
    this.#list.push({ fn, args });
  }

  /** Take the first one with the same function and arguments back. */
  remove(fn: AnyFunction, args: readonly unknown[]): boolean {
    const at = this.#list.findIndex((link) =>
      link.fn === fn && link.args.length === args.length &&
      link.args.every((arg, i) => Object.is(arg, args[i]))
    );
    if (at < 0) return false;
    this.#list.splice(at, 1);
    return true;
  }

  /**
   * Call each with `gt` before its arguments, and forget it; an error is
   * reported. While that is under way, nothing happens.
   */
  run(gt: GreenThread): void {
    if (this.#running) return;
    this.#running = true;
    const list = this.#list;
    for (let link = list.shift(); link !== undefined; link = list.shift()) {
      try {
        const result = link.fn(gt, ...link.args);
        if (result instanceof Promise) {
          result.catch((error) => reportError(`Error in a link`, error));
        }
      } catch (error) {
        reportError(`Error in a link of ${gt}`, error);
      }
    }
    this.#running = false;
  }
}
