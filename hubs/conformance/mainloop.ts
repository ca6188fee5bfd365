/**
 * Conformance: the order of things in MAINLOOP, and that nothing that happens
 * in a greenthread can end it.
 *
 * @module
 */

import assert from "node:assert/strict";
import { GreenletExit } from "../errors.ts";
import { READ } from "../poller.ts";
import { kill, sleep, spawn, spawnN } from "../spawn.ts";
import { notifyClose, trampoline } from "../trampoline.ts";
import { type Case, failure, never } from "./rig.ts";

/** The cases of this group. */
export const mainloopCases: readonly Case[] = [
  [
    "a pass: IOClosed, then timers, then descriptors, then timeouts",
    async (rig) => {
      const { hub } = rig;
      const [gone] = rig.pipe();
      const [reader, writer] = rig.pipe();
      const [quiet] = rig.pipe();
      const order: string[] = [];
      let now = 0;
      hub.clock = () => now;
      const late = spawn(async () => {
        await failure(trampoline(quiet, { read: true, timeout: 5 }));
        order.push("timeout");
      });
      await sleep();
      // All of it between two passes.
      await rig.parked();
      hub.add(READ, gone, never, () => order.push("IOClosed"));
      const listener = hub.add(READ, reader, () => {
        order.push("descriptor");
        hub.remove(listener);
      }, never);
      hub.scheduleCallGlobal(5, () => order.push("timer"));
      rig.write(writer);
      now = 5;
      notifyClose(gone);
      await rig.passes(2);
      assert.deepEqual(order, ["IOClosed", "timer", "descriptor", "timeout"]);
      await late.wait();
    },
  ],

  [
    "a thread that stood still: timeouts and timers in the order they were due",
    async (rig) => {
      const { hub } = rig;
      const order: string[] = [];
      let now = 0;
      hub.clock = () => now;
      const note = (what: string) => () => order.push(what);
      const waits = [30, 10, 31].map((timeout) => {
        const [reader] = rig.pipe();
        const wait = () => trampoline(reader, { read: true, timeout });
        return spawn(() => wait().catch(note(`timeout ${timeout}`)));
      });
      const [reader, writer] = rig.pipe();
      const listener = hub.add(READ, reader, () => {
        order.push("descriptor");
        hub.remove(listener);
      }, never);
      await sleep();
      await rig.parked();
      for (const ms of [40, 20, 10, 5]) {
        hub.scheduleCallGlobal(ms, note(`timer ${ms}`));
      }
      rig.write(writer);
      now = 50;
      // What comes to the queue now comes after all that was due before.
      spawn(note("spawned"));
      for (const wait of waits) await wait.wait();
      await rig.passes(2);
      assert.deepEqual(order, [
        "timer 5",
        "timer 10",
        "descriptor",
        "timeout 10",
        "timer 20",
        "timeout 30",
        "timeout 31",
        "timer 40",
        "spawned",
      ]);
      rig.assertIdle();
    },
  ],

  [
    "what was put in the queue before a timeout was due is served before it",
    async (rig) => {
      const { hub } = rig;
      const order: string[] = [];
      let now = 0;
      hub.clock = () => now;
      const [reader] = rig.pipe();
      const wait = spawn(() =>
        trampoline(reader, { read: true, timeout: 10 })
          .catch(() => order.push("timeout"))
      );
      await sleep();
      await rig.parked();
      const later = [5, 15, 20].map((at) => {
        now = at;
        return spawn(() => order.push(`spawned at ${at}`));
      });
      for (const gt of [wait, ...later]) await gt.wait();
      assert.deepEqual(order, [
        "spawned at 5",
        "timeout",
        "spawned at 15",
        "spawned at 20",
      ]);
    },
  ],

  ["IOClosed goes to the oldest first", async (rig) => {
    const { hub } = rig;
    const readers = [0, 1, 2, 3].map(() => rig.pipe()[0]);
    const order: number[] = [];
    readers.forEach((fd) => hub.add(READ, fd, never, () => order.push(fd)));
    const closing = [readers[2]!, readers[0]!, readers[3]!, readers[1]!];
    closing.forEach((fd) => notifyClose(fd));
    await rig.passes(2);
    assert.deepEqual(order, closing);
  }],

  ["two greenthreads alternating sleep(0) interleave strictly", async () => {
    const order: string[] = [];
    const worker = async (name: string): Promise<void> => {
      for (let i = 1; i <= 4; i++) {
        order.push(name + i);
        await sleep();
      }
    };
    const a = spawn(worker, "a");
    const b = spawn(worker, "b");
    await a.wait();
    await b.wait();
    assert.equal(order.join(" "), "a1 b1 a2 b2 a3 b3 a4 b4");
  }],

  ["order does not depend on how many awaits deep a wait is", async () => {
    const order: string[] = [];
    const deep = async (depth: number): Promise<void> => {
      if (depth > 0) return await deep(depth - 1);
      await sleep();
    };
    const worker = async (name: string, depth: number): Promise<void> => {
      for (let i = 1; i <= 3; i++) {
        order.push(name + i);
        await deep(depth);
      }
    };
    // Some are so deep that MAINLOOP looks after them more than once.
    const all = [spawn(worker, "a", 500), spawn(worker, "b", 0)];
    all.push(spawn(worker, "c", 8));
    for (const gt of all) await gt.wait();
    assert.equal(order.join(" "), "a1 b1 c1 a2 b2 c2 a3 b3 c3");
  }],

  ["sleep(0) lets everything else that is ready run first", async (rig) => {
    const { hub } = rig;
    const [reader, writer] = rig.pipe();
    const order: string[] = [];
    spawn(() => order.push("spawned"));
    hub.scheduleCallGlobal(0, () => order.push("timer"));
    await sleep();
    assert.deepEqual(order, ["spawned", "timer"]);
    rig.write(writer);
    const gt = spawn(async () => {
      await trampoline(reader, { read: true });
      order.push("read");
    });
    await rig.passes(2);
    assert.deepEqual(order, ["spawned", "timer", "read"]);
    await gt.wait();
  }],

  [
    "sleep(0) lets descriptors that are ready go first, wherever it is begun",
    async (rig) => {
      const order: string[] = [];
      const reading = (name: string, then: () => unknown): number => {
        const [reader, writer] = rig.pipe();
        spawn(async () => {
          await trampoline(reader, { read: true });
          order.push(name);
          await then();
        });
        return writer;
      };
      const second = reading("second", () => {});
      const first = reading("first", async () => {
        // The sweep that has found this one ready knows nothing of that one.
        rig.write(second);
        await sleep();
        order.push("first again");
      });
      await rig.parked();
      // Ordinary code: MAINLOOP is in no pass.
      rig.write(first);
      await sleep();
      order.push("main");
      await rig.passes(3);
      // Who has slept longer goes on first.
      const expected = ["first", "main", "second", "first again"];
      assert.deepEqual(order, expected);
    },
  ],

  [
    "sleep(0) keeps its turn when others begin to wait for descriptors",
    async (rig) => {
      const [reader] = rig.pipe();
      const order: string[] = [];
      const other = spawn(async () => {
        await sleep(0);
        spawn(() => order.push("spawned later"));
        await trampoline(reader, { read: true });
      });
      spawn(async () => {
        await sleep(0);
        order.push("sleep(0)");
      });
      await rig.passes(4);
      assert.deepEqual(order, ["sleep(0)", "spawned later"]);
      await kill(other);
    },
  ],

  [
    "every pass sweeps: a loop of sleep(0) starves no descriptor",
    async (rig) => {
      const { hub } = rig;
      const [reader] = rig.pipe();
      const listener = hub.add(READ, reader, never, never);
      await sleep();
      const before = hub.statistics();
      await rig.passes(20);
      const after = hub.statistics();
      assert.equal(after.sweeps - before.sweeps, after.passes - before.passes);
      assert.ok(after.sweeps - before.sweeps >= 20);
      hub.remove(listener);
    },
  ],

  ["all that are ready are served in one pass", async (rig) => {
    const { hub } = rig;
    const pairs = Array.from({ length: 100 }, () => rig.pipe());
    const seen = new Map<number, number>();
    for (const [reader, writer] of pairs) {
      hub.add(READ, reader, (fd) => {
        seen.set(fd, hub.statistics().passes);
        rig.read(fd);
      }, never);
      rig.write(writer);
    }
    await rig.passes(3);
    assert.equal(seen.size, 100);
    assert.ok(new Set(seen.values()).size <= 2);
  }],

  ["what dies in a greenthread cannot end MAINLOOP", async (rig) => {
    const { hub } = rig;
    const [reader, writer] = rig.pipe();
    const errors: unknown[] = [
      new Error("boom"),
      new GreenletExit(),
      null,
      undefined,
      "text",
      Object.freeze({}),
    ];
    for (const error of errors) {
      spawnN(() => {
        throw error;
      });
      spawnN(async () => {
        await sleep();
        throw error;
      });
    }
    const gt = spawn(() => trampoline(reader, { read: true }));
    await rig.passes(4);
    assert.equal(hub.running, true);
    assert.equal(hub.getReaders().length, 1);
    // GreenletExit is no error to report.
    assert.equal(rig.takeReports().length, 10);
    rig.write(writer);
    assert.equal(await gt.wait(), reader);
  }],

  ["an error that cannot be shown cannot end MAINLOOP", async (rig) => {
    const nasty = new Proxy(new Error("nasty"), {
      get() {
        throw new Error("do not look");
      },
      getPrototypeOf() {
        throw new Error("do not ask");
      },
    });
    const gt = spawn(() => {
      throw nasty;
    });
    rig.hub.scheduleCallGlobal(0, () => {
      throw nasty;
    });
    await rig.passes(3);
    assert.equal(gt.dead, true);
    assert.equal(rig.hub.running, true);
    rig.takeReports();
  }],

  ["a stderr that takes nothing cannot end MAINLOOP", async (rig) => {
    const fails = (): never => {
      throw new Error("stderr fails");
    };
    console.error = fails;
    const odd = function (): never {
      throw new Error("odd");
    };
    Object.defineProperty(odd, "name", { value: Symbol("no string") });
    const gts = [spawn(fails), spawn(odd)];
    rig.hub.scheduleCallGlobal(0, fails);
    gts[0]!.link(fails);
    const rejected = failure(gts[1]!.wait());
    await rig.passes(3);
    assert.equal(rig.hub.running, true);
    assert.equal((await rejected).message, "odd");
    assert.equal((await failure(gts[0]!.wait())).message, "stderr fails");
  }],

  ["kill() of MAINLOOP is refused", async (rig) => {
    await sleep();
    const error = await failure(kill(rig.hub.greenlet));
    assert.equal(error.name, "HubError");
    await sleep(1);
  }],
];
