/**
 * Conformance: what a hub is, how it begins, and `switch`.
 *
 * @module
 */

import assert from "node:assert/strict";
import { macrotask } from "../deno_loop.ts";
import { HubError } from "../errors.ts";
import { getCurrent } from "../current.ts";
import { GreenThread } from "../greenthread.ts";
import { BaseHub } from "../hub.ts";
import { getHub } from "../registry.ts";
import { kill, sleep, spawn } from "../spawn.ts";
import { trampoline } from "../trampoline.ts";
import { inMainloop } from "./checks.ts";
import { type Case, failure, never, within } from "./rig.ts";

/** A greenthread parked in a bare switch, and what it was resumed with. */
function parkBare(hub: BaseHub, values: unknown[]): GreenThread {
  return spawn(async function parked() {
    values.push(await hub.switch());
  });
}

/** The cases of this group. */
export const hubCases: readonly Case[] = [
  ["getHub() makes the hub once, with a name and the bits", (rig) => {
    const { hub } = rig;
    assert.ok(hub instanceof BaseHub);
    assert.equal(getHub(), hub);
    assert.equal(typeof hub.name, "string");
    assert.notEqual(hub.name, "");
    assert.deepEqual([hub.READ, hub.WRITE], [1, 2]);
    assert.deepEqual([BaseHub.READ, BaseHub.WRITE], [1, 2]);
    assert.ok(hub.greenlet instanceof GreenThread);
    assert.equal(typeof hub.clock(), "number");
  }],

  ["statistics() counts from nothing", (rig) => {
    const { parking, passes, sweeps, events, timersFired, ...rest } = rig.hub
      .statistics();
    assert.ok(["aio", "uring", "thread", "poller", "none"].includes(parking));
    assert.deepEqual([passes, sweeps, events, timersFired], [0, 0, 0, 0]);
    const { parks, briefWaits, yields } = rest;
    assert.deepEqual([parks, briefWaits, yields], [0, 0, 0]);
  }],

  ["statistics() counts events, timers, sweeps and passes", async (rig) => {
    const [reader, writer] = rig.pipe();
    rig.write(writer);
    await trampoline(reader, { read: true });
    await sleep(1);
    const { events, timersFired, sweeps, passes } = rig.hub.statistics();
    assert.equal(events, 1);
    assert.equal(timersFired, 1);
    assert.ok(sweeps >= 1);
    assert.ok(passes >= 2 && passes >= sweeps);
  }],

  ["running is false until the first switch", async (rig) => {
    const { hub } = rig;
    assert.equal(hub.running, false);
    const gt = spawn(() => hub.running);
    hub.scheduleCallGlobal(0, () => {});
    assert.equal(hub.running, false);
    const woken = sleep();
    assert.equal(hub.running, true);
    await woken;
    assert.equal(await gt.wait(), true);
    assert.equal(hub.stopping, false);
  }],

  [
    "MAINLOOP starts by itself once the caller has yielded to Deno",
    async (rig) => {
      const { hub } = rig;
      const started = Promise.withResolvers<GreenThread>();
      spawn(() => started.resolve(getCurrent()));
      await Promise.resolve();
      assert.equal(hub.running, false);
      assert.notEqual(await within(5000, started.promise), getCurrent());
      const fired = Promise.withResolvers<void>();
      hub.scheduleCallGlobal(1, () => fired.resolve());
      await within(5000, fired.promise);
    },
  ],

  [
    "MAINLOOP leaves when nothing could wake it, and starts again",
    async (rig) => {
      const { hub } = rig;
      await sleep();
      while (hub.running) await macrotask();
      await sleep(1);
      assert.equal(hub.running, true);
    },
  ],

  ["getCurrent() in a callback is MAINLOOP", async (rig) => {
    const { hub } = rig;
    const [reader, writer] = rig.pipe();
    rig.write(writer);
    const seen: GreenThread[] = [];
    hub.scheduleCallGlobal(0, () => seen.push(getCurrent()));
    hub.scheduleCallGlobal(1, () => seen.push(getCurrent()));
    const listener = hub.add(hub.READ, reader, () => {
      seen.push(getCurrent());
      hub.remove(listener);
    }, never);
    while (seen.length < 3) await sleep(1);
    assert.deepEqual(seen, [hub.greenlet, hub.greenlet, hub.greenlet]);
  }],

  ["switch() parks until gt.switch(value) resumes it", async (rig) => {
    const { hub } = rig;
    const values: unknown[] = [];
    const gt = parkBare(hub, values);
    await sleep();
    await rig.passes(3);
    assert.deepEqual(values, []);
    gt.switch("go");
    await gt.wait();
    assert.deepEqual(values, ["go"]);
  }],

  [
    "gt.switch() resumes the latest bare switch(), else HubError",
    async (rig) => {
      const { hub } = rig;
      const order: unknown[] = [];
      const gt = spawn(async () => {
        const first = hub.switch().then((value) =>
          order.push(["first", value])
        );
        const other = sleep(3);
        const last = hub.switch().then((value) => order.push(["last", value]));
        await Promise.all([first, other, last]);
      });
      await sleep();
      gt.switch(1);
      await sleep();
      gt.switch(2);
      assert.throws(() => gt.switch(3), HubError);
      await gt.wait();
      assert.deepEqual(order, [["last", 1], ["first", 2]]);
      const asleep = spawn(() => sleep(60_000));
      await sleep();
      assert.throws(() => asleep.switch(), HubError);
      await kill(asleep);
    },
  ],

  ["switch() from MAINLOOP is a HubError", async (rig) => {
    const error = await inMainloop(
      rig.hub,
      () => failure(rig.hub.switch()),
    );
    assert.ok(error instanceof HubError);
    assert.match(
      error.message,
      /Cannot switch to MAINLOOP from MAINLOOP/,
    );
    await sleep();
  }],

  ["waiting in MAINLOOP is a HubError and leaves no waiter", async (rig) => {
    const { hub } = rig;
    const [reader] = rig.pipe();
    const gt = spawn(() => hub.switch());
    await sleep();
    const errors = await inMainloop(hub, () =>
      Promise.all([
        failure(trampoline(reader, { read: true, timeout: 1000 })),
        failure(sleep(1)),
        failure(gt.wait()),
      ]));
    for (const error of errors) {
      assert.ok(error instanceof HubError, String(error));
      assert.match(
        error.message,
        /do not call blocking functions from the mainloop/,
      );
    }
    await inMainloop(hub, () => sleep(0));
    await inMainloop(hub, () => sleep(-1));
    rig.assertIdle();
    await kill(gt);
  }],

  ["clock may be assigned at any time", async (rig) => {
    const { hub } = rig;
    assert.throws(() => hub.clock = 5 as never, TypeError);
    let now = 1000;
    hub.clock = () => now;
    assert.equal(hub.clock(), 1000);
    const fired: string[] = [];
    hub.scheduleCallGlobal(20, () => fired.push("20"));
    hub.scheduleCallGlobal(10, () => fired.push("10"));
    await rig.passes(3);
    assert.deepEqual(fired, []);
    now = 1009.999;
    await rig.passes(3);
    assert.deepEqual(fired, []);
    now = 1010;
    await rig.passes(2);
    assert.deepEqual(fired, ["10"]);
    await rig.parked();
    const done = Promise.withResolvers<void>();
    hub.scheduleCallGlobal(10, () => done.resolve());
    hub.clock = () => 2000;
    await within(5000, done.promise);
    assert.deepEqual(fired, ["10", "20"]);
  }],
];
