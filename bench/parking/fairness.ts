/**
 * Fairness: a saturated hub and Deno's own work on one thread.
 *
 * `deno run -A bench/parking/fairness.ts [rounds]`: medians over rounds in which
 * what each has alone is measured right before and right after both together.
 */

import { libc } from "../../ffi/libc.ts";
import { Fairness } from "../../hubs/fairness.ts";
import { getHub, notifyClose, spawn, trampoline, useHub } from "../../mod.ts";
import { line, median, pause, pipe, quantile } from "./common.ts";

const ROUNDS = Number(Deno.args[0] ?? 20);
/** How long one measurement takes, ms. */
const WINDOW = 200;

let trips = 0;
let fetches = 0;

/**
 * Two greenthreads that hand a byte to and fro, till `over`; returns how to end
 * them, or with `over` how to wait for them.
 */
function saturate(over?: () => boolean): () => Promise<void> {
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
    do {
      c.write(thereEnd, byte, 1);
      await trampoline(back, { read: true });
      c.read(back, byte, 1);
      trips++;
    } while (!stop && over?.() !== true);
    notifyClose(thereEnd);
    c.close(thereEnd);
  });
  return async () => {
    stop = over === undefined;
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
async function beats(): Promise<number[]> {
  const late: number[] = [];
  let due = performance.now() + 10;
  const timer = setInterval(() => {
    const now = performance.now();
    late.push(now - due);
    due = now + 10;
  }, 10);
  await measure();
  clearInterval(timer);
  return late;
}

/** What is done in one window. */
async function measure(): Promise<{ trips: number; fetches: number }> {
  trips = 0;
  fetches = 0;
  const start = performance.now();
  await pause(WINDOW);
  const share = WINDOW / (performance.now() - start);
  return { trips: trips * share, fetches: fetches * share };
}

async function tripsAlone(): Promise<number> {
  const end = saturate();
  const { trips } = await measure();
  await end();
  return trips;
}

/** The same of a hub that never yields: Deno's loop stands still meanwhile. */
async function tripsWithoutYields(): Promise<number> {
  const { step } = Fairness.prototype;
  Fairness.prototype.step = () => false;
  trips = 0;
  const start = performance.now();
  await saturate(() =>
    trips % 256 === 0 && performance.now() - start >= WINDOW
  )();
  const rate = trips * WINDOW / (performance.now() - start);
  Fairness.prototype.step = step;
  return rate;
}

async function fetchesAlone(port: number): Promise<number> {
  const end = fetching(port);
  const { fetches } = await measure();
  await end();
  return fetches;
}

const [port, stopServer] = await startServer();
const hubShares: number[] = [];
const fetchShares: number[] = [];
const yieldCosts: number[] = [];
const late: number[] = [];
const lateAlone: number[] = [];
const answers: number[] = [];
useHub("epolls");

for (let round = 0; round < ROUNDS; round++) {
  const [trips1, fetches1] = [await tripsAlone(), await fetchesAlone(port)];
  const end = saturate();
  const endFetch = fetching(port);
  const both = await measure();
  await endFetch();
  late.push(...await beats());
  await end();
  lateAlone.push(...await beats());
  const [fetches2, trips2] = [await fetchesAlone(port), await tripsAlone()];
  hubShares.push(2 * both.trips / (trips1 + trips2));
  fetchShares.push(2 * both.fetches / (fetches1 + fetches2));
  // After fetches everything is a little slower for a while: not the yields.
  const unyielding = await tripsWithoutYields();
  yieldCosts.push(1 - await tripsAlone() / unyielding);
  if (round % 4 === 0) answers.push(...await ownServer());
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
  "setInterval(10) without a hub, the same",
  quantile(lateAlone, 0.99),
  "ms",
);
line(
  "Deno.serve beside a busy hub, answer at the 99th percentile",
  quantile(answers, 0.99),
  "ms",
);
