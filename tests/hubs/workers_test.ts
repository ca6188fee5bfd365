/**
 * What Workers leave of their hubs, parked by each way: closed, closing
 * themselves, and terminated. Counted from outside, in a Deno of its own.
 */

import { assert, assertEquals } from "@std/assert";
import { getHub } from "../../mod.ts";
import { projectUrl, runProgram, SIGNALS_READY } from "../helpers/spawn.ts";

const WORKERS = 8;

/** A thread or two of Deno's own come and go; a leak is one per Worker. */
const SLACK = 4;

// A run of the tests is for one hub.
const { name } = getHub();
const WAYS = {
  epolls: ["aio", "uring", "thread"],
  libevent: ["aio", "thread"],
}[name] ?? ["thread"];

// Deno itself keeps two for a Worker that ends with an UnsafeCallback open.
const KEPT = name === "libevent" ? 2 * WORKERS : 0;

const PROGRAM = `
const [hub, way, mode, count, fds, threads] = Deno.args;
const text = \`
  import { getHub, sleep, spawn, trampoline, useHub } from "${
  projectUrl("mod.ts")
}";
  import { libc } from "${projectUrl("ffi/libc.ts")}";
  import { Hub } from "${projectUrl("hubs/")}\${hub}.ts";
  useHub(class extends Hub {
    constructor() { super({ parking: "\${way}" }); }
  });
  // A timer only: nothing but its own cap ends such a park.
  spawn(() => sleep(3_600_000));
  const tick = async () => {
    const { parks, parking } = getHub().statistics();
    if (parks === 0) return setTimeout(tick, 1);
    if ("\${mode}" === "close") await getHub().close();
    self.postMessage(parking);
    if ("\${mode}" !== "terminate") self.close();
  };
  tick();
\`;
const url = URL.createObjectURL(
  new Blob([text], { type: "application/typescript" }),
);
${SIGNALS_READY}
const { symbols: c } = Deno.dlopen("libc.so.6", {
  pthread_key_create: { parameters: ["buffer", "pointer"], result: "i32" },
  pthread_key_delete: { parameters: ["u32"], result: "i32" },
});
const freeKeys = () => {
  const keys = [];
  const key = new Uint32Array(1);
  while (c.pthread_key_create(key, null) === 0) keys.push(key[0]);
  for (const each of keys) c.pthread_key_delete(each);
  return keys.length;
};
const entries = (folder) => [...Deno.readDirSync(folder)].length;
const counts = () => {
  const maps = Deno.readTextFileSync("/proc/self/maps");
  return {
    fds: entries("/proc/self/fd"),
    threads: entries("/proc/self/task"),
    aio: maps.split("[aio]").length - 1,
    uring: maps.split("io_uring").length - 1,
    takenKeys: 1024 - freeKeys(),
  };
};
const run = async () => {
  const worker = new Worker(url, { type: "module" });
  const parked = await new Promise((resolve, reject) => {
    worker.onmessage = ({ data }) => resolve(data);
    worker.onerror = ({ message }) => reject(new Error(message));
  });
  if (parked !== way) throw new Error("parked by " + parked);
  if (mode === "terminate") worker.terminate();
};
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
// What is made once is there after the first.
await run();
await pause(100);
const before = counts();
for (let i = 0; i < Number(count); i++) await run();
// Threads end some time after; those parked on another at their cap.
let after = counts();
for (let i = 0; i < 500; i++) {
  after = counts();
  const { fds: f, threads: t } = after;
  if (f - before.fds <= +fds && t - before.threads <= +threads) break;
  await pause(10);
}
const more = Object.entries(after).map(([k, n]) => [k, n - before[k]]);
console.log(JSON.stringify(Object.fromEntries(more)));
Deno.exit();
`;

interface More {
  readonly fds: number;
  readonly threads: number;
  readonly aio: number;
  readonly uring: number;
  readonly takenKeys: number;
}

async function leftBy(way: string, mode: string): Promise<More> {
  const kept = mode === "close" ? 0 : KEPT;
  const result = await runProgram(PROGRAM, {
    flags: ["-A"],
    args: [
      getHub().name,
      way,
      mode,
      ...[WORKERS, SLACK + kept, SLACK].map(String),
    ],
    timeout: 60_000,
  });
  assertEquals(result.stderr.replace(/.*Check.*\n/g, ""), "");
  return JSON.parse(result.stdout);
}

async function assertLeaves(way: string, mode: string): Promise<void> {
  const { fds, threads, aio, uring, takenKeys } = await leftBy(way, mode);
  const closed = mode === "close";
  // README, Limits: a context, or the two mappings of a ring.
  const contexts = way === "aio" && !closed ? WORKERS : 0;
  const mappings = way === "uring" && !closed ? 2 * WORKERS : 0;
  assertEquals(takenKeys, 0, mode);
  assert(aio <= contexts, `${mode}: ${aio} contexts`);
  assert(uring <= mappings, `${mode}: ${uring} mappings`);
  assert(fds <= SLACK + (closed ? 0 : KEPT), `${mode}: ${fds} descriptors`);
  assert(threads <= SLACK, `${mode}: ${threads} threads`);
}

for (const way of WAYS) {
  Deno.test(`Workers that end while parked leave no more than is said (${way})`, async () => {
    const modes = ["close", "self", "terminate"];
    await Promise.all(modes.map((mode) => assertLeaves(way, mode)));
  });
}
