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
    // An error whose own inspection throws must not end MAINLOOP.
    console.error(`${what}: (an error that cannot be shown)`);
  }
}
