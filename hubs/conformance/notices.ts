/**
 * Conformance: `notifyClose` and `notifyOpened`: what a hub is told of descriptors
 * that come and go.
 *
 * @module
 */

import assert from "node:assert/strict";
import { hubPreventMultipleReaders } from "../debug.ts";
import { IOClosed } from "../errors.ts";
import { READ, WRITE } from "../poller.ts";
import { kill, sleep, spawn } from "../spawn.ts";
import { notifyClose, notifyOpened, trampoline } from "../trampoline.ts";
import { NOTICE_MS } from "./checks.ts";
import { type Case, failure, never, within } from "./rig.ts";

/** The cases of this group. */
export const noticeCases: readonly Case[] = [
  [
    "notifyClose() rejects every waiter within one pass, oldest first",
    async (rig) => {
      hubPreventMultipleReaders(false);
      const { hub } = rig;
      const [a] = rig.socketpair();
      rig.fill(a);
      const order: string[] = [];
      const waiters = ["read", "write", "queued"].map((name) =>
        spawn(async () => {
          const options = name === "write" ? { write: true } : { read: true };
          const error = await failure(trampoline(a, options));
          assert.ok(error instanceof IOClosed);
          assert.equal(error.fd, a);
          order.push(name);
        })
      );
      const sleeper = spawn(() => sleep(60_000));
      await sleep();
      await rig.parked();
      const { passes } = hub.statistics();
      notifyClose(a);
      assert.deepEqual([hub.getReaders(), hub.getWriters()], [[], []]);
      rig.close(a);
      await within(NOTICE_MS, Promise.all(waiters.map((gt) => gt.wait())));
      assert.ok(hub.statistics().passes - passes <= 4);
      assert.equal(order.length, 3);
      assert.ok(order.indexOf("read") < order.indexOf("queued"));
      await kill(sleeper);
    },
  ],

  ["notifyClose() wins over a timeout due in the same pass", async (rig) => {
    const { hub } = rig;
    let now = 0;
    hub.clock = () => now;
    const [reader] = rig.pipe();
    const closer = spawn(async () => {
      await sleep(10);
      notifyClose(reader);
    });
    const wait = spawn(() => trampoline(reader, { read: true, timeout: 20 }));
    const ended = failure(wait.wait());
    await sleep();
    await rig.parked();
    now = 20;
    hub.clock = () => now;
    assert.ok(await ended instanceof IOClosed);
    await closer.wait();
    rig.assertIdle();
  }],

  ["notifyClose() calls tb(IOClosed) of a raw listener once", async (rig) => {
    const { hub } = rig;
    const [reader] = rig.pipe();
    const lost: Error[] = [];
    const listener = hub.add(READ, reader, never, (error) => lost.push(error));
    await rig.parked();
    notifyClose(reader);
    notifyClose(reader);
    rig.close(reader);
    assert.equal(listener.spent, true);
    await rig.passes(3);
    assert.equal(lost.length, 1);
    assert.ok(lost[0] instanceof IOClosed);
    assert.throws(() => notifyClose(-1), RangeError);
    assert.throws(() => notifyOpened(0.5), RangeError);
    notifyClose(12_345);
    notifyOpened(12_345);
  }],

  [
    "remove() after notifyClose() and removeDescriptor(): no last call",
    async (rig) => {
      const { hub } = rig;
      const [reader] = rig.pipe();
      const closed = hub.add(READ, reader, never, never);
      notifyClose(reader);
      hub.remove(closed);
      const taken = hub.add(READ, reader, never, never);
      hub.removeDescriptor(reader);
      hub.remove(taken);
      await rig.passes(2);
      // The others of the descriptor are called all the same.
      const calls: string[] = [];
      const first = hub.add(READ, reader, never, never);
      hub.add(WRITE, reader, () => calls.push("cb"), never);
      hub.removeDescriptor(reader);
      hub.remove(first);
      const second = hub.add(READ, reader, never, never);
      hub.add(WRITE, reader, never, () => calls.push("tb"));
      notifyClose(reader);
      hub.remove(second);
      await rig.passes(2);
      assert.deepEqual(calls.sort(), ["cb", "tb"]);
      rig.assertIdle();
    },
  ],

  [
    "an IOClosed that nobody catches ends its greenthread alone",
    async (rig) => {
      const [reader] = rig.pipe();
      const gt = spawn(() => trampoline(reader, { read: true }));
      await sleep();
      notifyClose(reader);
      rig.close(reader);
      await rig.passes(3);
      assert.equal(gt.dead, true);
      assert.equal(rig.hub.running, true);
      assert.match(rig.takeReports().join(), /IOClosed/);
    },
  ],

  [
    "notifyOpened() marks first, then rejects, and frees the number",
    async (rig) => {
      const { hub } = rig;
      const [reader] = rig.pipe();
      const [fresh, writer] = rig.pipe();
      const order: string[] = [];
      const waiter = spawn(async () => {
        const error = await failure(trampoline(reader, {
          read: true,
          markAsClosed: () => order.push("marked"),
        }));
        order.push(error.name);
      });
      await sleep();
      rig.reuse(reader, fresh);
      notifyOpened(reader);
      assert.deepEqual(order, ["marked"]);
      assert.equal(hub.getReaders().length, 0);
      const next = spawn(() => trampoline(reader, { read: true }));
      await waiter.wait();
      assert.deepEqual(order, ["marked", "IOClosed"]);
      rig.write(writer);
      assert.equal(await next.wait(), reader);
    },
  ],

  ["notifyOpened() contains a markAsClosed that throws", async (rig) => {
    const [reader] = rig.pipe();
    const waiter = spawn(() =>
      trampoline(reader, {
        read: true,
        markAsClosed() {
          throw new Error("in markAsClosed");
        },
      })
    );
    await sleep();
    notifyOpened(reader);
    assert.ok(await failure(waiter.wait()) instanceof IOClosed);
    assert.match(rig.takeReports().join(), /in markAsClosed/);
  }],

  ["markAsClosed is called by nothing but notifyOpened()", async (rig) => {
    const [reader, writer] = rig.pipe();
    const options = { read: true, markAsClosed: never };
    await failure(trampoline(reader, { ...options, timeout: 1 }));
    const killed = spawn(() => trampoline(reader, options));
    await sleep();
    await kill(killed);
    rig.write(writer);
    await trampoline(reader, options);
    const closed = spawn(() => trampoline(reader, options));
    rig.read(reader);
    await sleep();
    notifyClose(reader);
    assert.ok(await failure(closed.wait()) instanceof IOClosed);
  }],
];
