/**
 * Conformance: local timers, delayed greenthreads and `sleep`.
 *
 * @module
 */

import assert from "node:assert/strict";
import type { BaseHub } from "../hub.ts";
import { kill, sleep, spawn, spawnAfter, spawnAfterLocal } from "../spawn.ts";
import type { Timer } from "../timers.ts";
import { GreenletExit } from "../errors.ts";
import { type Case, failure, never } from "./rig.ts";

/** Give the hub a clock that stands still until it is set. */
function frozen(hub: BaseHub): { now: number } {
  const clock = { now: 1000 };
  hub.clock = () => clock.now;
  return clock;
}

/** The cases of this group. */
export const localTimerCases: readonly Case[] = [
  ["sleep(ms) is never early", async (rig) => {
    for (const ms of [0.1, 0.9, 1, 1.7, 3.3, 12]) {
      const start = rig.hub.clock();
      await sleep(ms);
      assert.ok(rig.hub.clock() - start >= ms, `sleep(${ms})`);
    }
  }],

  [
    "spawnAfter(-1) starts before what was spawned earlier with 0",
    async (rig) => {
      frozen(rig.hub);
      const order: string[] = [];
      await sleep();
      spawn(() => order.push("spawn"));
      spawnAfter(-1, () => order.push("spawnAfter"));
      await sleep();
      assert.deepEqual(order, ["spawnAfter", "spawn"]);
    },
  ],

  ["scheduleCallLocal() dies with its maker, Global does not", async (rig) => {
    const { hub } = rig;
    const calls: string[] = [];
    const timers: Timer[] = [];
    const maker = spawn(() => {
      timers.push(hub.scheduleCallLocal(1, () => calls.push("local")));
      timers.push(hub.scheduleCallLocal(0, () => calls.push("local 0")));
      timers.push(hub.scheduleCallGlobal(1, () => calls.push("global")));
    });
    await maker.wait();
    assert.deepEqual(timers.map((timer) => timer.pending).slice(0, 1), [false]);
    await sleep(3);
    assert.deepEqual(calls, ["global"]);
    assert.ok(timers.every((timer) => timer.called));
    rig.assertIdle();
  }],

  ["scheduleCallLocal() is out of the hub once its maker ends", async (rig) => {
    const { hub } = rig;
    const timers: Timer[] = [];
    const maker = spawn(async () => {
      hub.scheduleCallLocal(0, () => {});
      await sleep();
      await sleep();
      for (const ms of [0, 1, 60_000, -1]) {
        timers.push(hub.scheduleCallLocal(ms, never));
      }
      timers[1]!.cancel();
      assert.equal(hub.getTimersCount(), 3);
    });
    await maker.wait();
    assert.equal(hub.getTimersCount(), 0);
    assert.ok(timers.every((timer) => timer.called && !timer.pending));
    await sleep(2);
    // What a dead one's code goes on to schedule is never called.
    const late = Promise.withResolvers<Timer>();
    const dead = spawn(() => {
      void Promise.resolve().then(() => {}).then(() => {}).then(() =>
        late.resolve(hub.scheduleCallLocal(0, never))
      );
    });
    await dead.wait();
    assert.equal((await late.promise).pending, false);
    rig.assertIdle();
  }],

  [
    "scheduleCallLocal() fires while its maker lives, or is MAINLOOP",
    async (rig) => {
      const { hub } = rig;
      const calls: string[] = [];
      const maker = spawn(async () => {
        hub.scheduleCallLocal(1, () => calls.push("greenthread"));
        await sleep(3);
      });
      hub.scheduleCallLocal(1, () => calls.push("main"));
      hub.scheduleCallGlobal(0, () => {
        hub.scheduleCallLocal(1, () => calls.push("MAINLOOP"));
      });
      await maker.wait();
      await sleep(3);
      assert.deepEqual(calls.sort(), ["MAINLOOP", "greenthread", "main"]);
    },
  ],

  ["spawnAfter().cancel() takes its timer out", async (rig) => {
    const gt = spawnAfter(3_600_000, never);
    const local = spawnAfterLocal(3_600_000, never);
    assert.equal(rig.hub.getTimersCount(), 2);
    gt.cancel();
    await kill(local);
    assert.equal(rig.hub.getTimersCount(), 0);
    assert.ok(await failure(gt.wait()) instanceof GreenletExit);
    assert.ok(await failure(local.wait()) instanceof GreenletExit);
  }],

  ["spawnAfterLocal() of a dead maker ends with GreenletExit", async (rig) => {
    const maker = spawn(() => spawnAfterLocal(2, never));
    const gt = await maker.wait();
    assert.ok(await failure(gt.wait()) instanceof GreenletExit);
    rig.assertIdle();
  }],

  ["sleep() is cancelled on kill and leaves no timer", async (rig) => {
    const gt = spawn(() => sleep(60_000));
    await sleep();
    assert.equal(rig.hub.getTimersCount(), 1);
    await kill(gt);
    rig.assertIdle();
    await failure(sleep(NaN)).then((error) =>
      assert.ok(error instanceof RangeError)
    );
    await failure(sleep("1" as never)).then((error) =>
      assert.ok(error instanceof TypeError)
    );
  }],
];
