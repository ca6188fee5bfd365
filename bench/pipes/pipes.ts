/**
 * The pipes benchmark on one hub.
 *
 * `deno run -A bench/pipes/pipes.ts <hub> listeners|trampoline <pipes> <active>
 * <writes> <runs>`: prints the time of each run in µs, one a line, the first
 * (cold) ones left out. The limit of descriptors is the shell's: `ulimit -n`.
 *
 * @module
 */

import { type BuiltinHubName, getHub, sleep, useHub } from "../../mod.ts";
import { Ring } from "./ring.ts";
import { type Way, ways } from "./waiters.ts";

/** Runs until V8 has compiled what is hot. */
const WARM_UP = 100;

const [hub, way, ...numbers] = Deno.args;
const [pipes = 100, active = 100, writes = 1000, runs = 25] = numbers.map(
  Number,
);

useHub(hub as BuiltinHubName);
const ring = new Ring({ pipes, active, writes });
const undo = await ways[way as Way](ring);
for (let run = -WARM_UP; run < runs; run++) {
  await sleep(0);
  const micros = await ring.run();
  if (run >= 0) console.log(micros.toFixed(1));
}
await undo();
await getHub().close();
ring[Symbol.dispose]();
