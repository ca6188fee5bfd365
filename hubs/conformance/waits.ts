/**
 * Conformance: each wait resumes once, by itself, and whoever it belongs to.
 *
 * @module
 */

import assert from "node:assert/strict";
import { getCurrent } from "../current.ts";
import { READ } from "../poller.ts";
import { kill, sleep, spawn } from "../spawn.ts";
import { notifyClose, trampoline } from "../trampoline.ts";
import { makeRandom } from "./checks.ts";
import { type Case, failure, never } from "./rig.ts";

/** The cases of this group. */
export const waitCases: readonly Case[] = [
  [
    "getCurrent() is right across trampoline, sleep and Deno's timers",
    async (rig) => {
      const [a, b] = rig.socketpair();
      const main = getCurrent();
      const gts = [a, b].map((fd, i) =>
        spawn(async () => {
          const me = getCurrent();
          assert.notEqual(me, main);
          await trampoline(fd, { write: true });
          assert.equal(getCurrent(), me);
          await new Promise((resolve) => setTimeout(resolve, i));
          assert.equal(getCurrent(), me);
          rig.write(fd);
          await Promise.all([
            sleep(1),
            trampoline(fd, { read: true }),
            Promise.resolve(),
          ]);
          assert.equal(getCurrent(), me);
          return me;
        })
      );
      for (const gt of gts) assert.equal(await gt.wait(), gt);
      assert.equal(getCurrent(), main);
    },
  ],

  ["several waits of one greenthread resume each by itself", async (rig) => {
    const [a, b] = rig.socketpair();
    rig.fill(a);
    const order: string[] = [];
    const gt = spawn(async () => {
      await Promise.all([
        trampoline(a, { read: true }).then(() => order.push("read")),
        trampoline(a, { write: true }).then(() => order.push("write")),
        sleep(2).then(() => order.push("sleep")),
      ]);
    });
    while (order.length === 0) await sleep(1);
    await rig.passes(2);
    assert.deepEqual(order, ["sleep"]);
    rig.write(b);
    await rig.passes(3);
    assert.deepEqual(order, ["sleep", "read"]);
    while (rig.read(b, 65_536) !== null);
    await gt.wait();
    assert.deepEqual(order, ["sleep", "read", "write"]);
    rig.assertIdle();
  }],

  ["kill() rejects every wait that is pending", async (rig) => {
    const [a] = rig.socketpair();
    rig.fill(a);
    const killed = new Error("killed");
    const gt = spawn(() =>
      Promise.allSettled([
        trampoline(a, { read: true }),
        trampoline(a, { write: true, timeout: 60_000 }),
        sleep(60_000),
        rig.hub.switch(),
      ])
    );
    await sleep();
    await kill(gt, killed);
    for (const result of await gt.wait()) {
      assert.equal(result.status, "rejected");
      assert.equal((result as PromiseRejectedResult).reason, killed);
    }
    rig.assertIdle();
  }],

  ["a stale event never wakes a later wait", async (rig) => {
    const [reader, writer] = rig.pipe();
    const [other] = rig.pipe();
    const gt = spawn(async () => {
      await failure(trampoline(reader, { read: true, timeout: 1 }));
      rig.write(writer);
      const error = await failure(
        trampoline(other, { read: true, timeout: 3 }),
      );
      return error.name;
    });
    assert.equal(await gt.wait(), "Timeout");
    const sleeper = spawn(async () => {
      await failure(sleep(60_000));
      const start = rig.hub.clock();
      await sleep(5);
      return rig.hub.clock() - start;
    });
    await sleep();
    await kill(sleeper, new Error("early"));
    assert.ok(await sleeper.wait() >= 5);
  }],

  ["1,000 greenthreads on 500 pipes all get through", async (rig) => {
    const [end] = rig.pipe();
    let done = 0;
    const gts = Array.from({ length: 500 }, (_, i) => {
      const [reader, writer] = rig.pipe();
      return [
        spawn(async () => {
          await trampoline(reader, { read: true });
          done += rig.read(reader) ?? 0;
        }),
        spawn(async () => {
          await sleep(i % 7);
          await trampoline(writer, { write: true });
          rig.write(writer);
        }),
      ];
    }).flat();
    for (const gt of gts) await gt.wait();
    assert.equal(done, 500);
    rig.hub.remove(rig.hub.add(READ, end, never, never));
    rig.assertIdle();
  }],

  ["12 sockets exchange at random and lose nothing", async (rig) => {
    // CPython's test of selectors: who is written to, reads, at random.
    const { hub } = rig;
    const pairs = Array.from({ length: 12 }, () => rig.socketpair());
    const random = makeRandom(12_345);
    const got = new Map<number, number>();
    for (const [a] of pairs) {
      got.set(a, 0);
      hub.add(READ, a, (fd) => {
        got.set(fd, got.get(fd)! + rig.read(fd, 1 + random(64))!);
      }, never);
    }
    const sent = new Map<number, number>();
    for (let round = 0; round < 200; round++) {
      const [a, b] = pairs[random(12)]!;
      const count = 1 + random(100);
      await trampoline(b, { write: true });
      rig.write(b, count);
      sent.set(a, (sent.get(a) ?? 0) + count);
      if (random(3) === 0) await sleep();
    }
    const total = (map: Map<number, number>): number =>
      [...map.values()].reduce((sum, n) => sum + n, 0);
    while (total(got) < total(sent)) await sleep();
    for (const [a, n] of sent) assert.equal(got.get(a), n);
    assert.equal(hub.getReaders().length, 12);
    assert.equal(hub.getWriters().length, 0);
  }],

  [
    "a storm of waits, kills, timeouts and closes leaves nothing",
    async (rig) => {
      const random = makeRandom(4711);
      const pipes = Array.from({ length: 16 }, () => rig.pipe());
      const ends = new Map<string, number>();
      let over = false;
      const work = async (): Promise<void> => {
        while (!over) {
          const [reader] = pipes[random(16)]!;
          let end = "ready";
          try {
            await trampoline(reader, { read: true, timeout: random(5) });
            rig.read(reader);
          } catch (error) {
            end = (error as Error).name;
            // Somebody else waits for it: take another one, later.
            if (end === "HubError") await sleep().catch(() => {});
          }
          ends.set(end, (ends.get(end) ?? 0) + 1);
        }
      };
      const gts = Array.from({ length: 24 }, () => spawn(work));
      for (let round = 0; round < 400; round++) {
        const at = random(16);
        const [reader, writer] = pipes[at]!;
        const what = random(8);
        if (what < 4) rig.write(writer);
        else if (what < 6) await kill(gts[random(24)]!, new Error("killed"));
        else if (what < 7) {
          notifyClose(reader);
          rig.close(reader);
          rig.close(writer);
          pipes[at] = rig.pipe();
        } else await sleep(random(3));
        if (round % 3 === 0) await sleep();
      }
      over = true;
      for (const gt of gts) await gt.wait();
      assert.deepEqual(
        [...ends.keys()].sort(),
        ["Error", "HubError", "IOClosed", "Timeout", "ready"],
      );
      rig.assertIdle();
    },
  ],
];
