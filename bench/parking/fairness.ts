/**
 * Fairness: a saturated hub and Deno's own work on one thread.
 *
 * `deno run -A bench/parking/fairness.ts [rounds]`: alternating rounds of one
 * second each, medians of the ratios to what each has alone.
 */

import { libc } from "../../ffi/libc.ts";
import { getHub, notifyClose, spawn, trampoline, useHub } from "../../mod.ts";
import { line, median, pause, pipe, quantile } from "./common.ts";

const ROUNDS = Number(Deno.args[0] ?? 5);
const SECOND = 1000;

let trips = 0;
let fetches = 0;

/** Two greenthreads that hand a byte to and fro; returns how to end them. */
function saturate(): () => Promise<void> {
  const c = libc();
  const [there, thereEnd] = pipe();
  const [back, backEnd] = pipe();
  const byte = new Uint8Array(1);
  let stop = false;
  const server = spawn(async () => {
    for (;;) {
      await trampoline(there, { read: true });
      if (c.read(there, byte, 1) <= 0) return;
      c.write(backEnd, byte, 1);
    }
  });
  const client = spawn(async () => {
    while (!stop) {
      c.write(thereEnd, byte, 1);
      await trampoline(back, { read: true });
      c.read(back, byte, 1);
      trips++;
    }
    notifyClose(thereEnd);
    c.close(thereEnd);
  });
  return async () => {
    stop = true;
    await client.wait();
    await server.wait();
    for (const fd of [there, back, backEnd]) {
      notifyClose(fd);
      c.close(fd);
    }
  };
}

const SERVER = `
Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: (a) => console.log(a.port) },
  () => new Response("x"));
`;

const CLIENT = `
const times = [];
for (const end = performance.now() + 1000; performance.now() < end;) {
  const start = performance.now();
  await (await fetch("http://127.0.0.1:" + Deno.args[0] + "/")).text();
  times.push(performance.now() - start);
}
console.log(JSON.stringify(times));
`;

/** A `Deno.serve` in another process. */
async function startServer(): Promise<
  [port: number, stop: () => Promise<void>]
> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["eval", SERVER],
    stdout: "piped",
  }).spawn();
  const reader = child.stdout.getReader();
  const port = parseInt(new TextDecoder().decode((await reader.read()).value));
  return [port, async () => {
    child.kill();
    await reader.cancel();
    await child.status;
  }];
}

/** A tight loop of fetches; returns how to end it. */
function fetching(port: number): () => Promise<void> {
  let stop = false;
  const loop = (async () => {
    while (!stop) {
      await (await fetch(`http://127.0.0.1:${port}/`)).text();
      fetches++;
    }
  })();
  return async () => {
    stop = true;
    await loop;
  };
}

/** How late each beat of an interval of 10 ms is, ms. */
function beating(): () => number[] {
  const late: number[] = [];
  let due = performance.now() + 10;
  const timer = setInterval(() => {
    const now = performance.now();
    late.push(now - due);
    due = now + 10;
  }, 10);
  return () => {
    clearInterval(timer);
    return late;
  };
}

async function second(): Promise<{ trips: number; fetches: number }> {
  trips = 0;
  fetches = 0;
  const start = performance.now();
  await pause(SECOND);
  const share = SECOND / (performance.now() - start);
  return { trips: trips * share, fetches: fetches * share };
}

const [port, stopServer] = await startServer();
const hubShares: number[] = [];
const fetchShares: number[] = [];
const yieldCosts: number[] = [];
const late: number[] = [];
const answers: number[] = [];
useHub("epolls");

for (let round = 0; round < ROUNDS; round++) {
  let end = saturate();
  const alone = await second();
  await end();
  let endFetch = fetching(port);
  const fetchAlone = await second();
  await endFetch();
  end = saturate();
  endFetch = fetching(port);
  const both = await second();
  await endFetch();
  const endBeat = beating();
  await second();
  late.push(...endBeat());
  await end();
  hubShares.push(both.trips / alone.trips);
  fetchShares.push(both.fetches / fetchAlone.fetches);
  // What the yields of a hub that has the thread to itself cost.
  yieldCosts.push(1 - alone.trips / await withoutYields());
  answers.push(...await ownServer());
}

/** The hub's rate when it never yields to Deno's loop. */
async function withoutYields(): Promise<number> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", new URL("unyielding.ts", import.meta.url).href],
    stdout: "piped",
  }).spawn();
  return Number(new TextDecoder().decode((await child.output()).stdout));
}

/** Times to answer, ms, of a `Deno.serve` in this thread beside the hub. */
async function ownServer(): Promise<number[]> {
  const server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen() {} },
    () => new Response("x"),
  );
  const end = saturate();
  const client = new Deno.Command(Deno.execPath(), {
    args: ["eval", CLIENT, String(server.addr.port)],
    stdout: "piped",
  }).spawn();
  const { stdout } = await client.output();
  await end();
  await server.shutdown();
  return JSON.parse(new TextDecoder().decode(stdout));
}

await stopServer();
await getHub().close();
line(
  "fetch beside a busy hub, share of its rate alone",
  100 * median(fetchShares),
  "%",
);
line(
  "the hub beside fetch, share of its rate alone",
  100 * median(hubShares),
  "%",
);
line(
  "cost of yields to a hub that has the thread to itself",
  100 * median(yieldCosts),
  "%",
);
line(
  "setInterval(10) beside a busy hub, late at the 99th percentile",
  quantile(late, 0.99),
  "ms",
);
line(
  "Deno.serve beside a busy hub, answer at the 99th percentile",
  quantile(answers, 0.99),
  "ms",
);
