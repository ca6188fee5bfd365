/**
 * What descriptors cost that are only watched: 10 to 5,000 idle ones, and 1 or
 * 100 of others on which something arrives.
 *
 * One iteration is 20 rounds; in each, every active descriptor becomes ready
 * and is read once. There is no native thing to compare with: Deno cannot wait
 * for such descriptors.
 */

import { READ } from "../hubs/mod.ts";
import { type BuiltinHubName, getHub, sleep } from "../mod.ts";
import { flag, hubRows, lower, raise, useRow } from "./tools/rows.ts";

const ROUNDS = 20;
const IDLE: readonly number[] = [10, 100, 1000, 5000];
const ACTIVE: readonly number[] = [1, 100];

/** All flags there are, made when first needed. */
const flags: number[] = [];
/** What the present hub watches. */
let watched = 0;
let left = 0;
let roundOver = () => {};

/** The first ones are active; the rest are idle. */
function watch(hub: BuiltinHubName, count: number): void {
  if (useRow(hub)) watched = 0;
  for (; watched < count; watched++) {
    const fd = flags[watched] ??= flag();
    getHub().add(READ, fd, () => {
      lower(fd);
      if (--left === 0) roundOver();
    }, (error) => {
      throw error;
    });
  }
}

async function round(active: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  roundOver = resolve;
  left = active;
  for (let i = 0; i < active; i++) raise(flags[i]!);
  await promise;
}

for (const active of ACTIVE) {
  for (const idle of IDLE) {
    for (const hub of hubRows()) {
      Deno.bench({
        name: hub,
        group: `descriptors: ${active} active, ${idle} idle`,
        baseline: hub === "epolls",
        async fn(b) {
          watch(hub, idle + active);
          await sleep(0);
          b.start();
          for (let i = 0; i < ROUNDS; i++) await round(active);
          b.end();
        },
      });
    }
  }
}
