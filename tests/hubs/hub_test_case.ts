/**
 * Registers tests that are not about a certain hub: each gets a hub of the
 * default class (`EVENTLET_HUB` or the best there is), and fails if it leaves
 * a descriptor behind or an error on stderr that it did not take.
 */

import { type Case, runCase } from "../../hubs/conformance/rig.ts";
import { getHub } from "../../mod.ts";

// Opening libc is a resource that stays: do it before the first test.
await getHub().close();

/** Register a test with a hub of its own. */
export function hubTest(name: string, run: Case[1]): void {
  Deno.test(name, () => runCase(null, run));
}
