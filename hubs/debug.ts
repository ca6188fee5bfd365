/**
 * Debug switches and listings; all off costs nothing.
 *
 * @module
 */

import { thread } from "./thread.ts";

/** Whether errors nobody waits for are reported on stderr; default on. */
export function hubExceptions(on: boolean): void {
  thread.settings.exceptions = on;
}

/**
 * Whether a second simultaneous reader (writer) of a descriptor is an error,
 * the default, or queues up behind the first.
 */
export function hubPreventMultipleReaders(on: boolean): void {
  thread.settings.preventMultipleReaders = on;
}
