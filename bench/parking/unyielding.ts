/**
 * The rate of a hub that never yields, trips a second: what `fairness.ts`
 * compares with. A process of its own, since Deno's loop stands still here.
 */

import { Fairness } from "../../hubs/fairness.ts";
import { libc } from "../../ffi/libc.ts";
import { spawn, trampoline, useHub } from "../../mod.ts";
import { pipe } from "./common.ts";

Fairness.prototype.step = () => false;
useHub("epolls");

const c = libc();
const [there, thereEnd] = pipe();
const [back, backEnd] = pipe();
const byte = new Uint8Array(1);
let trips = 0;
const started = performance.now();
const end = started + 1000;
spawn(async () => {
  for (;;) {
    await trampoline(there, { read: true });
    c.read(there, byte, 1);
    c.write(backEnd, byte, 1);
  }
});
const client = spawn(async () => {
  while ((trips & 255) !== 0 || performance.now() < end) {
    c.write(thereEnd, byte, 1);
    await trampoline(back, { read: true });
    c.read(back, byte, 1);
    trips++;
  }
});
await client.wait();
console.log(trips / (performance.now() - started) * 1000);
Deno.exit();
