/**
 * How late timers fire: 100,000 random ones within a second.
 *
 * `deno run -A bench/parking/timers.ts [hub]`
 */

import { getHub, sleep, useHub } from "../../mod.ts";
import { cpuMs, line, quantile } from "./common.ts";

const N = 100_000;
useHub((Deno.args[0] ?? "epolls") as "epolls");
await sleep(1);
const hub = getHub();
const late = new Float64Array(N);
let fired = 0;
const { promise, resolve } = Promise.withResolvers<void>();
const cpu = cpuMs();
for (let i = 0; i < N; i++) {
  const ms = Math.random() * 1000;
  const due = hub.clock() + ms;
  hub.scheduleCallGlobal(ms, () => {
    late[fired++] = hub.clock() - due;
    if (fired === N) resolve();
  });
}
await promise;
const sorted = [...late].sort((a, b) => a - b);
line("CPU", (cpuMs() - cpu) / 1000, "s");
line("mean lateness", sorted.reduce((a, b) => a + b, 0) / N, "ms");
line("median lateness", quantile(sorted, 0.5), "ms");
line("99th percentile", quantile(sorted, 0.99), "ms");
line("earliest (none may be early)", sorted[0]!, "ms");
