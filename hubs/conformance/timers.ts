/**
 * Conformance: timers: their order, and that they are never early.
 *
 * @module
 */

import assert from "node:assert/strict";
import type { BaseHub } from "../hub.ts";
import { sleep, spawn, spawnAfter } from "../spawn.ts";
import { trampoline } from "../trampoline.ts";
import type { Timer } from "../timers.ts";
import { GreenletExit } from "../errors.ts";
import { assertNoSpin } from "./checks.ts";
import { type Case, failure, never, type Rig, within } from "./rig.ts";

/** Give the hub a clock that stands still until it is set. */
function frozen(hub: BaseHub): { now: number } {
  const clock = { now: 1000 };
  hub.clock = () => clock.now;
  return clock;
}

async function advance(
  rig: Rig,
  clock: { now: number },
  ms: number,
): Promise<void> {
  clock.now += ms;
  await rig.passes(2);
}

/** The cases of this group. */
export const timerCases: readonly Case[] = [
  ["scheduleCallGlobal() calls fn(...args) once, never early", async (rig) => {
    const { hub } = rig;
    const clock = frozen(hub);
    const calls: unknown[] = [];
    const timer = hub.scheduleCallGlobal(
      5,
      (...args: unknown[]) => calls.push(args),
      1,
      "two",
    );
    assert.deepEqual([timer.pending, timer.called], [true, false]);
    await advance(rig, clock, 4.999);
    assert.deepEqual(calls, []);
    await advance(rig, clock, 0.001);
    assert.deepEqual(calls, [[1, "two"]]);
    assert.deepEqual([timer.pending, timer.called], [false, true]);
    await advance(rig, clock, 100);
    assert.equal(calls.length, 1);
    timer.cancel();
    rig.assertIdle();
  }],

  ["scheduleCallGlobal() refuses wrong arguments", (rig) => {
    const { hub } = rig;
    const bad = (ms: unknown, fn: unknown) => () =>
      hub.scheduleCallGlobal(ms as number, fn as () => void);
    assert.throws(bad(NaN, never), RangeError);
    assert.throws(bad("5", never), TypeError);
    assert.throws(bad(null, never), TypeError);
    assert.throws(bad(5, null), TypeError);
    assert.throws(() => hub.scheduleCallLocal(NaN, never), RangeError);
    assert.equal(hub.getTimersCount(), 0);
  }],

  ["timers on the hub's own clock are never early", async (rig) => {
    const { hub } = rig;
    const early: number[] = [];
    let left = 40;
    for (let i = 0; i < 40; i++) {
      const ms = 0.25 + i * 0.4;
      const due = hub.clock() + ms;
      hub.scheduleCallGlobal(ms, () => {
        left--;
        if (hub.clock() < due) early.push(ms);
      });
    }
    while (left > 0) await sleep(5);
    assert.deepEqual(early, []);
  }],

  ["equal deadlines fire first come, first served", async (rig) => {
    const { hub } = rig;
    const clock = frozen(hub);
    const order: number[] = [];
    for (let i = 0; i < 50; i++) {
      hub.scheduleCallGlobal(i % 2 === 0 ? 5 : 5, () => order.push(i));
    }
    await advance(rig, clock, 5);
    assert.deepEqual(order, [...order].sort((a, b) => a - b));
    assert.equal(order.length, 50);
  }],

  ["zero timers fire first come, first served, with spawns", async (rig) => {
    const { hub } = rig;
    const order: number[] = [];
    await sleep();
    hub.scheduleCallGlobal(0, () => order.push(0));
    spawn(() => order.push(1));
    hub.scheduleCallGlobal(0, () => order.push(2));
    spawnAfter(0, () => order.push(3));
    spawn(() => order.push(4));
    await sleep();
    assert.deepEqual(order, [0, 1, 2, 3, 4]);
  }],

  ["timers fire by due time; negative before zero", async (rig) => {
    const { hub } = rig;
    const clock = frozen(hub);
    const order: string[] = [];
    const add = (ms: number): Timer =>
      hub.scheduleCallGlobal(ms, () => order.push(String(ms)));
    await sleep();
    [0, 3, -1, 1, -5, 2].forEach(add);
    await sleep();
    assert.deepEqual(order.splice(0), ["-5", "-1", "0"]);
    // The same beside timers that are not due.
    [0, -1].forEach(add);
    await sleep();
    assert.deepEqual(order.splice(0), ["-1", "0"]);
    await advance(rig, clock, 10);
    assert.deepEqual(order, ["1", "2", "3"]);
  }],

  [
    "what is scheduled or spawned does not overtake a timer that is due",
    async (rig) => {
      const { hub } = rig;
      const clock = frozen(hub);
      const order: string[] = [];
      const note = (what: string) => (): unknown => order.push(what);
      await sleep();
      hub.scheduleCallGlobal(0, note("0 at 1000"));
      const early = hub.scheduleCallGlobal(1, note("due 1001"));
      hub.scheduleCallGlobal(5, note("due 1005"));
      hub.scheduleCallGlobal(6, note("due 1006"));
      hub.scheduleCallGlobal(8, note("due 1008")).cancel();
      clock.now = 1005;
      spawn(note("spawned at 1005"));
      clock.now = 1007;
      spawnAfter(0, note("0 at 1007"));
      hub.scheduleCallGlobal(-4, note("due 1003"));
      hub.scheduleCallGlobal(-4, note("due 1003, later"));
      hub.scheduleCallGlobal(2, note("due 1009"));
      // It has not left the heap, whoever is before it.
      assert.equal(early.deadline, 1001);
      assert.equal(hub.getTimersCount(), 8);
      early.cancel();
      assert.equal(hub.getTimersCount(), 7);
      clock.now = 1010;
      await sleep();
      await sleep();
      assert.deepEqual(order, [
        "0 at 1000",
        "due 1003",
        "due 1003, later",
        "due 1005",
        "spawned at 1005",
        "due 1006",
        "0 at 1007",
        "due 1009",
      ]);
      rig.assertIdle();
    },
  ],

  ["what is woken does not overtake a timer that is due", async (rig) => {
    const { hub } = rig;
    const clock = frozen(hub);
    const order: string[] = [];
    const note = (what: string) => (): unknown => order.push(what);
    const unstarted = spawnAfter(1e6, never);
    spawn(() => unstarted.wait().catch(note("woken at 1006")));
    await sleep();
    spawn(note("spawned"));
    hub.scheduleCallGlobal(5, note("due 1005"));
    hub.scheduleCallGlobal(7, note("due 1007"));
    clock.now = 1006;
    unstarted.cancel();
    clock.now = 1008;
    await sleep();
    order.push("slept at 1008");
    assert.deepEqual(order, [
      "spawned",
      "due 1005",
      "woken at 1006",
      "due 1007",
      "slept at 1008",
    ]);
  }],

  ["negative delays among themselves: by due time, then FIFO", async (rig) => {
    const { hub } = rig;
    frozen(hub);
    const order: string[] = [];
    const add = (ms: number, what: string): Timer =>
      hub.scheduleCallGlobal(ms, () => order.push(what));
    await sleep();
    add(-1, "first");
    add(0, "zero");
    add(-1, "second");
    add(-2, "before");
    add(0, "zero again");
    await sleep();
    assert.deepEqual(
      order,
      ["before", "first", "second", "zero", "zero again"],
    );
  }],

  ["a timer added while timers fire waits for the next pass", async (rig) => {
    const { hub } = rig;
    const seen: number[] = [];
    const again = (left: number): void => {
      seen.push(hub.statistics().passes);
      if (left > 0) hub.scheduleCallGlobal(left % 2 ? 0 : -1, again, left - 1);
    };
    await sleep();
    hub.scheduleCallGlobal(0, again, 4);
    await rig.passes(8);
    assert.equal(seen.length, 5);
    seen.reduce((last, now) => (assert.ok(now > last), now));
  }],

  ["a re-arming zero timer does not starve a descriptor", async (rig) => {
    const { hub } = rig;
    const [reader, writer] = rig.pipe();
    let on = true;
    const again = (): void => {
      if (on) hub.scheduleCallGlobal(0, again);
    };
    again();
    rig.write(writer);
    let calls = 0;
    const listener = hub.add(1, reader, () => calls++, never);
    await rig.passes(10);
    assert.ok(calls >= 9, `${calls}`);
    on = false;
    hub.remove(listener);
    await rig.passes(2);
    rig.assertIdle();
  }],

  ["getTimers() in a callback lists what the pass has left", async (rig) => {
    const { hub } = rig;
    const clock = frozen(hub);
    await sleep();
    const seen: unknown[] = [];
    const look = (): void => {
      const timers = hub.getTimers();
      const places = [zero, due, far].map((timer) => timers.indexOf(timer));
      seen.push([...places, hub.getTimersCount()]);
    };
    hub.scheduleCallGlobal(0, look);
    const zero = hub.scheduleCallGlobal(0, look);
    const due = hub.scheduleCallGlobal(1, look);
    const far = hub.scheduleCallGlobal(60_000, never);
    await advance(rig, clock, 1);
    assert.deepEqual(seen, [[0, 1, 2, 3], [-1, 0, 1, 2], [-1, -1, 0, 1]]);
    far.cancel();
    rig.assertIdle();
  }],

  ["cancel() takes the timer out, twice is harmless", async (rig) => {
    const { hub } = rig;
    const timers = [0, -1, 1, 60_000, Infinity].map((ms) =>
      hub.scheduleCallGlobal(ms, never)
    );
    assert.equal(hub.getTimersCount(), 5);
    for (const timer of timers) {
      timer.cancel();
      timer.cancel();
      assert.deepEqual([timer.pending, timer.called], [false, true]);
    }
    assert.equal(hub.getTimersCount(), 0);
    await sleep(3);
  }],

  [
    "cancel() by an earlier callback of the pass, and in one's own",
    async (rig) => {
      const { hub } = rig;
      const clock = frozen(hub);
      const later: Timer[] = [];
      const own = hub.scheduleCallGlobal(1, () => {
        own.cancel();
        later.forEach((timer) => timer.cancel());
      });
      later.push(
        hub.scheduleCallGlobal(1, never),
        hub.scheduleCallGlobal(2, never),
      );
      await advance(rig, clock, 10);
      assert.equal(own.called, true);
      rig.assertIdle();
      const first = hub.scheduleCallGlobal(0, () => second.cancel());
      const second = hub.scheduleCallGlobal(0, never);
      await rig.passes(2);
      assert.equal(first.called, true);
      rig.assertIdle();
    },
  ],

  ["2,000 timers scheduled and cancelled leave nothing", async (rig) => {
    const { hub } = rig;
    for (let i = 0; i < 2000; i++) {
      hub.scheduleCallGlobal(60_000 + i, never).cancel();
    }
    const kept = Array.from(
      { length: 300 },
      (_, i) => hub.scheduleCallGlobal(60_000 + (i * 7919) % 1000, never),
    );
    for (const [i, timer] of kept.entries()) if (i % 3 === 0) timer.cancel();
    assert.equal(hub.getTimersCount(), 200);
    for (const timer of kept) timer.cancel();
    assert.equal(hub.getTimersCount(), 0);
    await sleep();
    rig.assertIdle();
  }],

  ["a cancelled timer does not wake MAINLOOP", async (rig) => {
    const { hub } = rig;
    const far = hub.scheduleCallGlobal(60_000, never);
    const timers = [5, 10, 15, 20].map((ms) =>
      hub.scheduleCallGlobal(ms, never)
    );
    timers.forEach((timer) => timer.cancel());
    await rig.parked();
    const before = hub.statistics();
    const start = performance.now();
    await new Promise((resolve) => setTimeout(resolve, 40));
    const elapsed = performance.now() - start;
    if (before.parking !== "none") {
      // One that cannot be woken parks again and again, and passes in between.
      const most = Math.ceil(elapsed / hub.longestPark);
      const passes = hub.statistics().passes - before.passes;
      assert.ok(passes <= most, `${passes} passes in ${elapsed} ms`);
    }
    far.cancel();
  }],

  ["a clock that says NaN is no busy loop", async (rig) => {
    const { hub } = rig;
    const { clock } = hub;
    let fired = 0;
    const timer = hub.scheduleCallGlobal(1, () => fired++);
    hub.clock = () => NaN;
    const unknown = hub.scheduleCallGlobal(1, never);
    await rig.parked();
    await assertNoSpin(rig);
    assert.equal(fired, 0);
    // When it comes to its senses, so do the timers of before.
    hub.clock = clock;
    await sleep(2);
    assert.deepEqual([fired, timer.called, unknown.pending], [1, true, true]);
    unknown.cancel();
    rig.assertIdle();
  }],

  ["a clock that throws is reported once, and ends no wait", async (rig) => {
    const { hub } = rig;
    const { clock } = hub;
    const [reader, writer] = rig.pipe();
    const gt = spawn(() => trampoline(reader, { read: true }));
    const far = hub.scheduleCallGlobal(60_000, never);
    let broken = false;
    const moody = (): number => {
      if (broken) throw new Error("no time");
      return clock();
    };
    hub.clock = moody;
    assert.equal(hub.clock, moody);
    for (let i = 0; i < 2; i++) {
      const fired = Promise.withResolvers<void>();
      hub.scheduleCallGlobal(1, () => fired.resolve());
      broken = true;
      await rig.parked();
      await assertNoSpin(rig);
      const reports = rig.takeReports();
      assert.equal(reports.length, 1);
      assert.match(reports[0]!, /clock.*no time/);
      // Whoever asks for a timer hears of it, and nothing stays behind.
      assert.throws(() => hub.scheduleCallGlobal(5, never), /no time/);
      const options = { write: true, timeout: 5 };
      for (const wait of [sleep(5), trampoline(writer, options)]) {
        assert.match((await failure(wait)).message, /no time/);
      }
      assert.deepEqual([hub.getTimersCount(), hub.getWriters()], [2, []]);
      broken = false;
      await within(5000, fired.promise);
    }
    broken = true;
    rig.write(writer);
    assert.equal(await within(5000, gt.wait()), reader);
    far.cancel();
    assert.equal(rig.takeReports().length, 1);
    rig.assertIdle();
  }],

  ["an earlier timer shortens a park, a later one does not", async (rig) => {
    const { hub } = rig;
    const far = hub.scheduleCallGlobal(60_000, never);
    for (const ms of [1, 0, -1]) {
      await rig.parked();
      const fired = Promise.withResolvers<void>();
      hub.scheduleCallGlobal(ms, () => fired.resolve());
      await fired.promise;
    }
    far.cancel();
    await sleep();
    rig.assertIdle();
  }],

  ["timers that throw are reported once each and stop nobody", async (rig) => {
    const { hub } = rig;
    const clock = frozen(hub);
    const order: number[] = [];
    const thrown: unknown[] = [
      new Error("first"),
      new GreenletExit("second"),
      undefined,
    ];
    thrown.forEach((error, i) =>
      hub.scheduleCallGlobal(1, () => {
        order.push(i);
        throw error;
      })
    );
    hub.scheduleCallGlobal(1, () => order.push(3));
    await advance(rig, clock, 1);
    assert.deepEqual(order, [0, 1, 2, 3]);
    assert.equal(rig.takeReports().length, 3);
    assert.equal(hub.running, true);
  }],

  ["an async timer that rejects is reported once", async (rig) => {
    // deno-lint-ignore require-await
    rig.hub.scheduleCallGlobal(0, async () => {
      throw new Error("in async");
    });
    await rig.passes(3);
    const reports = rig.takeReports();
    assert.equal(reports.length, 1);
    assert.match(reports[0]!, /in async/);
  }],
];
