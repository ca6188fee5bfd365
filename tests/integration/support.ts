/** What the tests of the recipes share. */

import { assertEquals } from "@std/assert";
import { getHub, sleep } from "../../mod.ts";

// What a hub opens at its first park, it keeps: it shall not count as leaked.
while (getHub().statistics().parks === 0) await sleep(2);
await getHub().abort({ wait: true });

/** A recipe, or null where its library is missing. */
export async function load<T>(recipe: Promise<T>): Promise<T | null> {
  try {
    return await recipe;
  } catch (error) {
    if (/^Could not open library/.test((error as Error).message)) return null;
    throw error;
  }
}

/** Assert that nobody waits for anything any more: no listener, no timer. */
export function assertIdle(): void {
  const hub = getHub();
  assertEquals([...hub.getReaders(), ...hub.getWriters()], []);
  assertEquals(hub.getTimersCount(), 0);
}
