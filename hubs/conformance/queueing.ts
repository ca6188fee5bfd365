/**
 * Conformance: a second reader or writer is refused, or queues up.
 *
 * @module
 */

import assert from "node:assert/strict";
import { hubPreventMultipleReaders } from "../debug.ts";
import { HubError } from "../errors.ts";
import type { FdListener } from "../listeners.ts";
import { READ, WRITE } from "../poller.ts";
import { sleep, spawn } from "../spawn.ts";
import { trampoline } from "../trampoline.ts";
import { type Case, failure, never } from "./rig.ts";

/** The cases of this group. */
export const queueingCases: readonly Case[] = [
  ["add() refuses a second reader and names both", async (rig) => {
    const { hub } = rig;
    const [reader, writer] = rig.pipe();
    const first = spawn(function theFirst() {
      return trampoline(reader, { read: true });
    });
    const second = spawn(function theSecond() {
      return trampoline(reader, { read: true });
    });
    const error = await failure(second.wait());
    assert.ok(error instanceof HubError);
    assert.ok(
      error.message.startsWith(
        `Second simultaneous read on fileno ${reader} detected`,
      ),
      error.message,
    );
    assert.ok(error.message.includes(`GreenThread ${first.id} (theFirst)`));
    assert.ok(error.message.includes(`GreenThread ${second.id} (theSecond)`));
    assert.equal(hub.getReaders().length, 1);
    rig.write(writer);
    assert.equal(await first.wait(), reader);
  }],

  ["add() refuses a second writer and keeps the first", async (rig) => {
    const { hub } = rig;
    const [a] = rig.socketpair();
    rig.fill(a);
    const first = hub.add(WRITE, a, never, never);
    assert.throws(
      () => hub.add(WRITE, a, never, never),
      (error: Error) =>
        error instanceof HubError &&
        error.message.includes(
          `Second simultaneous write on fileno ${a} detected`,
        ),
    );
    assert.deepEqual(hub.getWriters(), [first]);
    await sleep();
  }],

  [
    "add() behind another one finds out that the number was reused in silence",
    async (rig) => {
      hubPreventMultipleReaders(false);
      const [reader] = rig.pipe();
      const [fresh, writer] = rig.pipe();
      const wait = () => trampoline(reader, { read: true });
      const first = spawn(wait);
      await sleep();
      await rig.parked();
      rig.reuse(reader, fresh);
      rig.write(writer);
      const second = spawn(wait);
      await rig.passes(4);
      assert.deepEqual([first.dead, second.dead], [true, true]);
    },
  ],

  [
    "hubPreventMultipleReaders(false) queues, one woken per readiness",
    async (rig) => {
      hubPreventMultipleReaders(false);
      const [reader, writer] = rig.pipe();
      const log: number[] = [];
      const all = [0, 1, 2, 3].map((i) =>
        spawn(async () => {
          await trampoline(reader, { read: true });
          assert.equal(rig.read(reader), 1);
          log.push(i);
        })
      );
      await sleep();
      assert.equal(rig.hub.getReaders().length, 4);
      rig.write(writer);
      await rig.passes(5);
      assert.deepEqual(log, [0]);
      rig.write(writer, 2);
      await rig.passes(5);
      assert.deepEqual(log, [0, 1, 2]);
      rig.write(writer);
      await Promise.all(all.map((gt) => gt.wait()));
      assert.deepEqual(log, [0, 1, 2, 3]);
      rig.assertIdle();
    },
  ],

  ["remove() of a queued listener leaves the primary alone", async (rig) => {
    hubPreventMultipleReaders(false);
    const { hub } = rig;
    const [reader, writer] = rig.pipe();
    const log: string[] = [];
    const add = (name: string): FdListener =>
      hub.add(READ, reader, () => {
        log.push(name);
        rig.read(reader);
      }, never);
    const [first, second, third] = [add("a"), add("b"), add("c")];
    hub.remove(second);
    assert.deepEqual(hub.getReaders(), [first, third]);
    rig.write(writer);
    await rig.passes(3);
    assert.deepEqual(log, ["a"]);
    hub.remove(first);
    assert.deepEqual(hub.getReaders(), [third]);
    rig.write(writer);
    await rig.passes(3);
    assert.deepEqual(log, ["a", "c"]);
    hub.remove(third);
    rig.assertIdle();
  }],

  ["a queued waiter that times out leaves the primary alone", async (rig) => {
    hubPreventMultipleReaders(false);
    const [reader, writer] = rig.pipe();
    const first = spawn(() => trampoline(reader, { read: true }));
    const second = spawn(() => trampoline(reader, { read: true, timeout: 1 }));
    await failure(second.wait());
    assert.equal(rig.hub.getReaders().length, 1);
    rig.write(writer);
    assert.equal(await first.wait(), reader);
    rig.assertIdle();
  }],
];
