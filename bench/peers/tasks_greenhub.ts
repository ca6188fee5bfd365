/** The benchmarks of tasks on greenhub: SUBJECT [HUB]. Prints JSON. */

import process from "node:process";
import { libc } from "../../ffi/libc.ts";
import {
  type BuiltinHubName,
  getHub,
  GreenEvent,
  sleep,
  spawn as spawnThread,
  trampoline,
  useHub,
} from "../../mod.ts";
import { cpuMs, pipe } from "../parking/common.ts";

const SWITCHES = 2_000_000;
const SPAWNS = 100_000;
const TRIPS = 200_000;
const TIMERS = 100_000;
const CANCELS = 500_000;

type Result = Record<string, number>;

async function switches(tasks: number): Promise<Result> {
  const each = SWITCHES / tasks;
  const run = async () => {
    for (let i = 0; i < each; i++) await sleep(0);
  };
  const threads = Array.from({ length: tasks }, () => spawnThread(run));
  const start = performance.now();
  for (const thread of threads) await thread.wait();
  return { ns: (performance.now() - start) * 1e6 / SWITCHES };
}

async function spawn(): Promise<Result> {
  await sleep(0);
  const before = process.memoryUsage.rss();
  let started = 0;
  let alive = 0;
  let left = SPAWNS;
  const done = new GreenEvent();
  const run = async () => {
    if (++started === SPAWNS) alive = process.memoryUsage.rss() - before;
    await sleep(0);
    if (--left === 0) done.send();
  };
  const start = performance.now();
  for (let i = 0; i < SPAWNS; i++) spawnThread(run);
  await done.wait();
  return { ms: performance.now() - start, bytes: alive / SPAWNS };
}

async function pingpong(): Promise<Result> {
  const c = libc();
  const [there, thereEnd] = pipe();
  const [back, backEnd] = pipe();
  const byte = new Uint8Array(1);
  const read = { read: true };
  spawnThread(async () => {
    for (;;) {
      await trampoline(there, read);
      c.read(there, byte, 1);
      c.write(backEnd, byte, 1);
    }
  });
  let start = 0;
  await spawnThread(async () => {
    for (let i = -TRIPS / 10; i < TRIPS; i++) {
      if (i === 0) start = performance.now();
      c.write(thereEnd, byte, 1);
      await trampoline(back, read);
      c.read(back, byte, 1);
    }
  }).wait();
  return { perSecond: TRIPS / (performance.now() - start) * 1000 };
}

async function timers(): Promise<Result> {
  await sleep(1);
  const hub = getHub();
  let sum = 0;
  let earliest = Infinity;
  let fired = 0;
  const done = new GreenEvent();
  const cpu = cpuMs();
  for (let i = 0; i < TIMERS; i++) {
    const ms = Math.random() * 1000;
    const due = performance.now() + ms;
    hub.scheduleCallGlobal(ms, () => {
      const late = performance.now() - due;
      sum += late;
      if (late < earliest) earliest = late;
      if (++fired === TIMERS) done.send();
    });
  }
  await done.wait();
  return { cpu: (cpuMs() - cpu) / 1000, late: sum / TIMERS, earliest };
}

async function cancel(): Promise<Result> {
  const hub = getHub();
  await sleep(0);
  const start = performance.now();
  for (let i = 0; i < CANCELS; i++) {
    hub.scheduleCallGlobal(10_000, () => {}).cancel();
    if (i % 1000 === 999) await sleep(0);
  }
  return { ns: (performance.now() - start) * 1e6 / CANCELS };
}

const subjects: Readonly<Record<string, () => Promise<Result>>> = {
  switch2: () => switches(2),
  switch100: () => switches(100),
  spawn,
  pingpong,
  timers,
  cancel,
};

const [subject = "switch2", hub = "epolls"] = Deno.args;
useHub(hub as BuiltinHubName);
const measure = subjects[subject]!;
// A first round, so that V8 has compiled what is measured; not where memory is.
if (subject !== "spawn" && subject !== "pingpong") await measure();
console.log(JSON.stringify(await measure()));
Deno.exit();
