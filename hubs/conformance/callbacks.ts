/**
 * Conformance: callbacks that throw, and greenthreads that die, lose what is
 * theirs and nothing else.
 *
 * @module
 */

import assert from "node:assert/strict";
import { hubExceptions } from "../debug.ts";
import { IOClosed } from "../errors.ts";
import type { FdListener } from "../listeners.ts";
import { READ, WRITE } from "../poller.ts";
import { sleep, spawn, spawnN } from "../spawn.ts";
import { trampoline } from "../trampoline.ts";
import { type Case, never, type Rig } from "./rig.ts";

/** Add a listener that reads one byte a call, and counts. */
function reading(rig: Rig, fd: number, log: number[]): FdListener {
  return rig.hub.add(READ, fd, (ready) => {
    log.push(ready);
    rig.read(ready);
  }, never);
}

/** The cases of this group. */
export const callbackCases: readonly Case[] = [
  [
    "a callback that throws is reported once and loses its own listener",
    async (rig) => {
      const { hub } = rig;
      const [a, b] = rig.socketpair();
      const [other, otherWriter] = rig.pipe();
      const log: number[] = [];
      hub.add(READ, a, () => {
        throw new Error("boom");
      }, never);
      const writer = hub.add(WRITE, a, () => {}, never);
      const third = reading(rig, other, log);
      rig.write(b);
      rig.write(otherWriter);
      await rig.passes(4);
      const reports = rig.takeReports();
      assert.equal(reports.length, 1, reports.join("\n"));
      assert.match(reports[0]!, /boom/);
      assert.deepEqual(hub.getReaders(), [third]);
      assert.deepEqual(hub.getWriters(), [writer]);
      assert.deepEqual(log, [other]);
      assert.equal(hub.running, true);
    },
  ],

  [
    "an async callback that rejects is reported and loses its listener",
    async (rig) => {
      const { hub } = rig;
      const [reader, writer] = rig.pipe();
      // deno-lint-ignore require-await
      hub.add(READ, reader, async () => {
        throw new Error("in async cb");
      }, never);
      rig.write(writer);
      await rig.passes(5);
      const reports = rig.takeReports();
      assert.equal(reports.length, 1, reports.join("\n"));
      assert.match(reports[0]!, /in async cb/);
      rig.assertIdle();
    },
  ],

  [
    "hubExceptions(false) silences callbacks, timers and greenthreads",
    async (rig) => {
      const { hub } = rig;
      const boom = (): never => {
        throw new Error("boom");
      };
      const [reader, writer] = rig.pipe();
      hubExceptions(false);
      hub.add(READ, reader, boom, never);
      rig.write(writer);
      hub.scheduleCallGlobal(0, boom);
      spawnN(boom);
      await rig.passes(3);
      assert.deepEqual(rig.takeReports(), []);
      rig.assertIdle();
    },
  ],

  [
    "a greenthread that dies after its wait touches no descriptor",
    async (rig) => {
      const { hub } = rig;
      const [a, b] = rig.socketpair();
      rig.fill(a);
      const writer = hub.add(WRITE, a, never, never);
      const gt = spawn(async () => {
        await trampoline(a, { read: true });
        throw new Error("died");
      });
      await sleep();
      rig.write(b);
      await rig.passes(3);
      assert.equal(gt.dead, true);
      assert.deepEqual(hub.getWriters(), [writer]);
      assert.equal(rig.takeReports().length, 1);
    },
  ],

  ["removeDescriptor() detaches all and keeps who waits anew", async (rig) => {
    const { hub } = rig;
    const [a, b] = rig.socketpair();
    rig.fill(a);
    const raw = hub.add(WRITE, a, () => {}, () => {});
    const gt = spawn(async () => {
      let waits = 0;
      do {
        await trampoline(a, { read: true });
        waits++;
      } while (rig.read(a) === null);
      return waits;
    });
    await sleep();
    hub.removeDescriptor(a);
    assert.equal(raw.spent, true);
    rig.assertIdle();
    await rig.passes(2);
    assert.equal(hub.getReaders().length, 1);
    rig.write(b);
    assert.equal(await gt.wait(), 2);
    hub.removeDescriptor(a);
    hub.removeDescriptor(12_345);
  }],

  ["a tb that throws is contained", async (rig) => {
    const { hub } = rig;
    const [one] = rig.pipe();
    const [two] = rig.pipe();
    const lost: Error[] = [];
    hub.add(READ, one, never, () => {
      throw new Error("in tb");
    });
    hub.add(READ, two, never, (error) => lost.push(error));
    hub.notifyClose(one);
    hub.notifyClose(two);
    await rig.passes(2);
    assert.ok(lost[0] instanceof IOClosed);
    assert.match(rig.takeReports().join(), /in tb/);
    rig.assertIdle();
  }],
];
