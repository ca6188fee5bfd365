/**
 * The one place where an error nobody took ends up: stderr, once.
 *
 * The trap it guards: an error that is printed by several layers, or by none.
 *
 * @module
 */

import { thread } from "./thread.ts";

/** Report an error nobody waits for, unless `debug.hubExceptions(false)`. */
export function reportError(what: string, error: unknown): void {
  if (!thread.settings.exceptions) return;
  try {
    console.error(`${what}:`, error);
  } catch {
    // Neither an error whose own inspection throws nor a stderr that takes
    // nothing (a full disk) may end MAINLOOP.
    try {
      console.error(`${what}: (an error that cannot be shown)`);
    } catch {
      // Nobody can be told.
    }
  }
}
