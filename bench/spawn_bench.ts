/**
 * What it costs to start something and to wait for its end: 1,000 greenthreads
 * that yield once, beside 1,000 async functions that do.
 */

import { sleep, spawn, spawnN } from "../mod.ts";
import { hubRows, immediate, useRow } from "./tools/rows.ts";

const SPAWNS = 1000;
const group = "spawn: 1,000 that yield once";

Deno.bench({
  name: "async function, await",
  group,
  baseline: true,
  async fn() {
    const all: Promise<void>[] = [];
    const run = async () => {
      await Promise.resolve();
    };
    for (let i = 0; i < SPAWNS; i++) all.push(run());
    await Promise.all(all);
  },
});

Deno.bench({
  name: "async function, setImmediate",
  group,
  async fn() {
    const all: Promise<void>[] = [];
    const run = () => immediate();
    for (let i = 0; i < SPAWNS; i++) all.push(run());
    await Promise.all(all);
  },
});

const once = async () => {
  await sleep(0);
};

for (const hub of hubRows()) {
  Deno.bench({
    name: `${hub}, spawn`,
    group,
    async fn(b) {
      useRow(hub);
      await sleep(0);
      b.start();
      const threads = [];
      for (let i = 0; i < SPAWNS; i++) threads.push(spawn(once));
      for (const thread of threads) await thread.wait();
      b.end();
    },
  });
  Deno.bench({
    name: `${hub}, spawnN`,
    group,
    async fn(b) {
      useRow(hub);
      await sleep(0);
      const { promise, resolve } = Promise.withResolvers<void>();
      let left = SPAWNS;
      const run = async () => {
        await sleep(0);
        if (--left === 0) resolve();
      };
      b.start();
      for (let i = 0; i < SPAWNS; i++) spawnN(run);
      await promise;
      b.end();
    },
  });
}
