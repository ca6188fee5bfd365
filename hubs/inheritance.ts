/**
 * What a hub that was closed had granted already: an item, a token, a result
 * under way to somebody. The hub that follows delivers it.
 *
 * The trap it guards: that hub may not be there yet. It is made at its first
 * use, not for this, and its constructor may throw; so what is granted waits
 * for it a moment, and is then delivered without one.
 *
 * @module
 */

import type { Entry, Scheduler } from "./scheduler.ts";
import { thread } from "./thread.ts";

const granted: Entry[] = [];

/** Have an entry of a closed hub fired all the same. */
export function bequeath(entry: Entry): void {
  if (thread.hub !== null) {
    thread.hub.enqueue(entry);
    return;
  }
  granted.push(entry);
  if (granted.length === 1) setImmediate(deliver);
}

/** Give a hub that was just made what was left to it. */
export function inherit(hub: Scheduler): void {
  for (const entry of granted.splice(0)) hub.enqueue(entry);
}

/** One at a time: who goes on may be the first to use the next hub. */
function deliver(): void {
  granted.shift()?.fire();
  if (granted.length > 0) setImmediate(deliver);
}
