/**
 * What a switch costs: `sleep(0)` among 2 and among 100 greenthreads, beside
 * as many async functions that await, or that wait for an immediate.
 *
 * One iteration is 10,000 switches in all.
 *
 * The trap it guards: `deno bench` waits for what an `async` function returns,
 * and not for a promise that another function returns.
 */

import { sleep, spawn } from "../mod.ts";
import { hubRows, immediate, useRow } from "./tools/rows.ts";

const SWITCHES = 10_000;

async function native(tasks: number, pause: () => unknown): Promise<void> {
  const each = SWITCHES / tasks;
  await Promise.all(Array.from({ length: tasks }, async () => {
    for (let i = 0; i < each; i++) await pause();
  }));
}

for (const tasks of [2, 100]) {
  const group = `switch: 10,000 among ${tasks}`;
  Deno.bench({
    name: "await",
    group,
    baseline: true,
    async fn() {
      await native(tasks, () => Promise.resolve());
    },
  });
  Deno.bench({
    name: "setImmediate",
    group,
    async fn() {
      await native(tasks, immediate);
    },
  });
  for (const hub of hubRows()) {
    Deno.bench({
      name: hub,
      group,
      async fn(b) {
        useRow(hub);
        await sleep(0);
        const each = SWITCHES / tasks;
        const run = async () => {
          for (let i = 0; i < each; i++) await sleep(0);
        };
        b.start();
        const threads = Array.from({ length: tasks }, () => spawn(run));
        for (const thread of threads) await thread.wait();
        b.end();
      },
    });
  }
}
