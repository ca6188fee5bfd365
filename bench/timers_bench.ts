/**
 * What timers cost: adding one to 10,000 others, scheduling and cancelling at
 * once, and firing; beside `setTimeout` and `clearTimeout`.
 *
 * One iteration is 1,000 timers.
 */

import { getHub, sleep, type Timer } from "../mod.ts";
import { hubRows, useRow } from "./tools/rows.ts";

const TIMERS = 1000;
const OTHERS = 10_000;
/** Never due while the benchmark runs. */
const LONG = 1e6;
const nothing = () => {};

const add = "timers: add 1,000 to 10,000";
const cancel = "timers: schedule and cancel 1,000";
const fire = "timers: 1,000 due at once";

let natives: ReturnType<typeof setTimeout>[] = [];

Deno.bench({
  name: "setTimeout",
  group: add,
  baseline: true,
  fn(b) {
    for (let i = 0; i < OTHERS; i++) {
      natives.push(setTimeout(nothing, LONG + i));
    }
    b.start();
    for (let i = 0; i < TIMERS; i++) {
      natives.push(setTimeout(nothing, LONG + i));
    }
    b.end();
    for (const id of natives) clearTimeout(id);
    natives = [];
  },
});

Deno.bench({
  name: "setTimeout",
  group: cancel,
  baseline: true,
  fn() {
    for (let i = 0; i < TIMERS; i++) clearTimeout(setTimeout(nothing, LONG));
  },
});

Deno.bench({
  name: "setTimeout",
  group: fire,
  baseline: true,
  async fn() {
    const { promise, resolve } = Promise.withResolvers<void>();
    let left = TIMERS;
    const tick = () => {
      if (--left === 0) resolve();
    };
    for (let i = 0; i < TIMERS; i++) setTimeout(tick, 0);
    await promise;
  },
});

for (const name of hubRows()) {
  Deno.bench({
    name,
    group: add,
    async fn(b) {
      useRow(name);
      await sleep(0);
      const hub = getHub();
      const timers: Timer[] = [];
      const more = (count: number) => {
        for (let i = 0; i < count; i++) {
          timers.push(hub.scheduleCallGlobal(LONG + i, nothing));
        }
      };
      more(OTHERS);
      b.start();
      more(TIMERS);
      b.end();
      for (const timer of timers) timer.cancel();
    },
  });
  Deno.bench({
    name,
    group: cancel,
    async fn(b) {
      useRow(name);
      await sleep(0);
      const hub = getHub();
      b.start();
      for (let i = 0; i < TIMERS; i++) {
        hub.scheduleCallGlobal(LONG, nothing).cancel();
      }
      b.end();
    },
  });
  Deno.bench({
    name,
    group: fire,
    async fn(b) {
      useRow(name);
      await sleep(0);
      const hub = getHub();
      const { promise, resolve } = Promise.withResolvers<void>();
      let left = TIMERS;
      const tick = () => {
        if (--left === 0) resolve();
      };
      b.start();
      for (let i = 0; i < TIMERS; i++) hub.scheduleCallGlobal(0, tick);
      await promise;
      b.end();
    },
  });
}
