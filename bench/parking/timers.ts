/**
 * How late timers fire: 100,000 random ones within a second.
 *
 * `deno run -A bench/parking/timers.ts [hub]`
 *
 * All are made in one go, and while that takes nothing can fire: whatever comes
 * due meanwhile is late by then. So it is done three times: by code that runs
 * for the first time; again by the same code, while the engine still asks for
 * memory, whose first touch is dear on a virtual machine; and once more, as in
 * a program that has been running for a while. How long the making took stands
 * beside it.
 */

import { getHub, sleep, useHub } from "../../mod.ts";
import { cpuMs, line, quantile } from "./common.ts";

const N = 100_000;

async function round(what: string): Promise<void> {
  await sleep(1);
  const hub = getHub();
  const late = new Float64Array(N);
  let fired = 0;
  const { promise, resolve } = Promise.withResolvers<void>();
  const cpu = cpuMs();
  const start = performance.now();
  for (let i = 0; i < N; i++) {
    const ms = Math.random() * 1000;
    const due = hub.clock() + ms;
    hub.scheduleCallGlobal(ms, () => {
      late[fired++] = hub.clock() - due;
      if (fired === N) resolve();
    });
  }
  const making = performance.now() - start;
  await promise;
  const sorted = [...late].sort((a, b) => a - b);
  const mean = sorted.reduce((a, b) => a + b, 0) / N;
  line(`${what}: CPU`, (cpuMs() - cpu) / 1000, "s");
  line(`${what}: making them`, making, "ms");
  line(`${what}: mean lateness`, mean, "ms");
  line(`${what}: median lateness`, quantile(sorted, 0.5), "ms");
  line(`${what}: 99th percentile`, quantile(sorted, 0.99), "ms");
  line(`${what}: earliest (none may be early)`, sorted[0]!, "ms");
}

useHub((Deno.args[0] ?? "epolls") as "epolls");
await round("cold");
await round("warm");
await round("warm, memory there");
