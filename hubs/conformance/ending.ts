/**
 * Conformance: how a hub stops, and how it ends.
 *
 * @module
 */

import assert from "node:assert/strict";
import { macrotask } from "../deno_loop.ts";
import { GreenletExit, HubError, IOClosed } from "../errors.ts";
import type { GreenThread } from "../greenthread.ts";
import type { BaseHub } from "../hub.ts";
import { getHub } from "../registry.ts";
import { kill, sleep, spawn, spawnAfter } from "../spawn.ts";
import { trampoline } from "../trampoline.ts";
import { inMainloop } from "./checks.ts";
import { type Case, failure, never, within } from "./rig.ts";

/** The cases of this group. */
export const endingCases: readonly Case[] = [
  ["abort() of a hub that does not run does nothing", async (rig) => {
    const { hub } = rig;
    hub.abort();
    await within(5000, hub.abort({ wait: true }));
    assert.equal(hub.stopping, false);
    await sleep(1);
    assert.equal(hub.running, true);
  }],

  ["abort() ends MAINLOOP promptly while it is parked", async (rig) => {
    const { hub } = rig;
    const [reader] = rig.pipe();
    const listener = hub.add(hub.READ, reader, never, never);
    const gt = spawn(() => sleep(60_000));
    await sleep();
    await rig.parked();
    const start = performance.now();
    const ended = hub.abort({ wait: true });
    assert.equal(hub.stopping, true);
    await ended;
    assert.ok(performance.now() - start < 2000, "took too long");
    assert.deepEqual([hub.running, hub.stopping], [false, false]);
    assert.equal(listener.spent, false);
    assert.deepEqual(hub.getReaders(), [listener]);
    assert.equal(gt.dead, false);
    await kill(gt);
    assert.ok(await failure(gt.wait()) instanceof GreenletExit);
  }],

  ["abort() ends a park that nothing else would end soon", async (rig) => {
    const { hub } = rig;
    hub.scheduleCallGlobal(60_000, never);
    await rig.parked();
    await hub.abort({ wait: true });
    assert.equal(hub.running, false);
    rig.assertIdle();
  }],

  ["abort() discards timers and what has not started", async (rig) => {
    const { hub } = rig;
    await sleep();
    const timers = [0, 5, 60_000].map((ms) =>
      hub.scheduleCallGlobal(ms, never)
    );
    const unstarted = [spawn(never), spawnAfter(60_000, never)];
    const ended = hub.abort({ wait: true });
    await ended;
    assert.deepEqual(timers.map((timer) => timer.pending), [
      false,
      false,
      false,
    ]);
    assert.equal(hub.getTimersCount(), 0);
    for (const gt of unstarted) {
      assert.ok(await failure(gt.wait()) instanceof GreenletExit);
    }
    await sleep(10);
  }],

  [
    "abort() from a callback lets the next switch start MAINLOOP again",
    async (rig) => {
      const { hub } = rig;
      const [reader, writer] = rig.pipe();
      const gt = spawn(() => trampoline(reader, { read: true }));
      await sleep();
      const error = await inMainloop(hub, () => {
        const refused = failure(hub.abort({ wait: true }));
        assert.equal(hub.stopping, false);
        return refused;
      });
      assert.ok(error instanceof HubError);
      hub.scheduleCallGlobal(0, () => hub.abort());
      await within(
        5000,
        (async () => {
          while (hub.running) await macrotask();
        })(),
      );
      assert.equal(hub.getReaders().length, 1);
      rig.write(writer);
      assert.equal(await gt.wait(), reader);
      assert.equal(hub.running, true);
    },
  ],

  [
    "abort(): what is begun before MAINLOOP has left is for its next run",
    async (rig) => {
      const { hub } = rig;
      const [reader, writer] = rig.pipe();
      const begin: Record<string, () => Promise<unknown>> = {
        "sleep(0)": () => sleep(),
        "sleep(1)": () => sleep(1),
        trampoline: () => {
          setImmediate(() => rig.write(writer));
          return trampoline(reader, { read: true });
        },
        spawn: () => spawn(() => {}).wait(),
        timer: () =>
          new Promise<void>((done) => hub.scheduleCallGlobal(1, done)),
      };
      for (const [name, wait] of Object.entries(begin)) {
        for (const parked of [false, true]) {
          // By main, ...
          await sleep();
          hub.scheduleCallGlobal(60_000, never);
          if (parked) await rig.parked();
          hub.abort();
          await within(5000, wait());
          // ... and by a greenthread.
          const gt = spawn(async () => {
            hub.abort();
            await wait();
            return name;
          });
          assert.equal(await within(5000, gt.wait()), name);
          rig.read(reader, 9);
        }
      }
    },
  ],

  [
    "abort() of a parked hub: what has not started never runs, what follows does",
    async (rig) => {
      const { hub } = rig;
      for (const later of [false, true]) {
        hub.scheduleCallGlobal(60_000, never);
        await sleep();
        await rig.parked();
        const due = hub.scheduleCallGlobal(0, never);
        const before = spawn(never);
        hub.abort();
        // Several deep: it starts, and has to come to wait in the next run.
        const after = spawn(async () => {
          await sleep(1);
          return await spawn(() => sleep(later ? 1 : 0)).wait();
        });
        await within(5000, after.wait());
        assert.equal(due.pending, false);
        assert.ok(await failure(before.wait()) instanceof GreenletExit);
      }
    },
  ],

  [
    "abort(), and then kill(), throw() or switch(): whoever goes on can wait",
    async (rig) => {
      const { hub } = rig;
      const ends: Record<string, (gt: GreenThread) => unknown> = {
        "kill()": (gt) => kill(gt),
        "throw()": (gt) => gt.throw(new GreenletExit()),
        "switch()": (gt) => gt.switch(),
      };
      for (const [name, end] of Object.entries(ends)) {
        for (const parked of [false, true]) {
          let cleaned = 0;
          const gt = spawn(async () => {
            try {
              await hub.switch();
            } finally {
              await sleep(1);
              cleaned++;
            }
          });
          hub.scheduleCallGlobal(60_000, never);
          await sleep();
          if (parked) await rig.parked();
          hub.abort();
          void end(gt);
          await within(5000, gt.wait().catch(() => {}));
          assert.equal(cleaned, 1, `${name}, parked: ${parked}`);
        }
      }
    },
  ],

  [
    "abort(), and then notifyClose() or add(): told, and served",
    async (rig) => {
      const { hub } = rig;
      for (const parked of [false, true]) {
        const [reader, writer] = rig.pipe();
        const [closed] = rig.pipe();
        const told = failure(
          spawn(() => trampoline(closed, { read: true })).wait(),
        );
        hub.scheduleCallGlobal(60_000, never);
        await sleep();
        if (parked) await rig.parked();
        hub.abort();
        hub.notifyClose(closed);
        assert.ok(await within(5000, told) instanceof IOClosed);
        while (hub.running) await macrotask();
        await sleep();
        hub.abort();
        const served = Promise.withResolvers<unknown>();
        const listener = hub.add(hub.READ, reader, served.resolve, never);
        rig.write(writer);
        await within(5000, served.promise);
        hub.remove(listener);
      }
    },
  ],

  [
    "abort(): main may wait during a long last pass, whatever it has waited for",
    async (rig) => {
      const { hub } = rig;
      // One thing that main does goes on in the last pass, ...
      await sleep();
      spawn(() => hub.abort());
      for (let i = 0; i < 30; i++) spawn(() => keepThread(2));
      // ... and another comes to it when it has yielded to Deno's loop.
      const other = new Promise<boolean>((resolve) => {
        setTimeout(async () => {
          const { stopping } = hub;
          await sleep(1);
          resolve(stopping);
        });
      });
      await sleep();
      assert.equal(await within(5000, other), true);
    },
  ],

  [
    "abort(): what the last pass brings about is lost with it",
    async (rig) => {
      const { hub } = rig;
      let rounds = 0;
      const looper = spawn(async () => {
        for (;; rounds++) await sleep();
      });
      let ticks = 0;
      const tick = (): void => {
        ticks++;
        hub.scheduleCallGlobal(0, tick);
        spawn(never);
      };
      await rig.passes(3);
      hub.scheduleCallGlobal(0, () => {
        hub.abort();
        tick();
      });
      while (ticks === 0 || hub.running) await macrotask();
      const before = rounds;
      for (let i = 0; i < 10; i++) await macrotask();
      assert.deepEqual([ticks, rounds - before, hub.running], [1, 0, false]);
      assert.equal(hub.getTimersCount(), 0);
      await kill(looper);
      assert.equal(rounds, before);
    },
  ],

  [
    "kill() of what a hub has left behind resolves, whatever becomes of it",
    async () => {
      const ends: Record<string, (hub: BaseHub) => unknown> = {
        "abort()": (hub) => hub.abort(),
        "abort({ wait: true })": (hub) => hub.abort({ wait: true }),
        "close()": (hub) => hub.close(),
      };
      for (const [name, end] of Object.entries(ends)) {
        for (const killsFirst of [true, false]) {
          const hub = getHub();
          const victim = spawn(() => sleep(1e6));
          await sleep();
          const first = killsFirst ? kill(victim) : null;
          await end(hub);
          await within(5000, first ?? kill(victim));
          assert.ok(victim.dead, name);
        }
      }
    },
  ],

  [
    "close() forgets everything and the next getHub() makes a new hub",
    async (rig) => {
      const { hub } = rig;
      const [reader] = rig.pipe();
      const listener = hub.add(hub.READ, reader, never, never);
      const timer = hub.scheduleCallGlobal(60_000, never);
      const parked = [
        spawn(() => sleep(60_000)),
        spawn(() => trampoline(rig.pipe()[0], { read: true })),
        spawn(() => hub.switch()),
      ];
      await sleep();
      await rig.parked();
      await hub.close();
      await hub.close();
      assert.equal(hub.running, false);
      assert.deepEqual([listener.spent, timer.pending], [true, false]);
      assert.deepEqual(
        [hub.getReaders().length, hub.getTimersCount()],
        [0, 0],
      );
      assert.throws(() => hub.add(hub.READ, reader, never, never), HubError);
      assert.throws(() => hub.scheduleCallGlobal(1, never), HubError);
      assert.ok(await failure(hub.switch()) instanceof HubError);
      const next = getHub();
      assert.notEqual(next, hub);
      assert.equal(next.constructor, hub.constructor);
      assert.equal(next.running, false);
      for (const gt of parked) {
        assert.equal(gt.dead, false);
        await within(5000, kill(gt));
        assert.ok(await failure(gt.wait()) instanceof GreenletExit);
      }
    },
  ],

  ["close() from MAINLOOP is a HubError", async (rig) => {
    const { hub } = rig;
    const error = await inMainloop(hub, () => failure(hub.close()));
    assert.ok(error instanceof HubError);
    await sleep();
    assert.equal(getHub(), hub);
  }],

  ["[Symbol.asyncDispose]() closes", async (rig) => {
    const { hub } = rig;
    {
      await using _hub = hub;
      await sleep();
    }
    assert.notEqual(getHub(), hub);
  }],

  [
    "close() never calls a listener that was about to be called",
    async (rig) => {
      const { hub } = rig;
      const calls: number[] = [];
      const closed: Promise<void>[] = [];
      const fds = [rig.pipe(), rig.pipe()];
      for (const [reader, writer] of fds) {
        rig.write(writer);
        hub.add(hub.READ, reader, () => {
          calls.push(reader);
          // Closing is not MAINLOOP's to do: a greenthread does.
          if (calls.length === 1) waiter.switch();
        }, never);
      }
      const waiter = spawn(async () => {
        await hub.switch();
        closed.push(hub.close());
      });
      await waiter.wait().catch(() => {});
      await closed[0];
      assert.equal(calls.length, 1);
    },
  ],
];

/** Do nothing, and let nobody else do anything. */
function keepThread(ms: number): void {
  const end = performance.now() + ms;
  while (performance.now() < end);
}
