/**
 * Conformance: descriptors that are closed or reused without a word to the hub.
 * The same answer on every hub, and never a busy loop.
 *
 * @module
 */

import assert from "node:assert/strict";
import { SystemError } from "../../ffi/errors.ts";
import { IOClosed } from "../errors.ts";
import { macrotask } from "../deno_loop.ts";
import { READ, WRITE } from "../poller.ts";
import { sleep, spawn } from "../spawn.ts";
import { notifyClose, trampoline } from "../trampoline.ts";
import {
  assertBadFd,
  assertNoSpin,
  NOTICE_MS,
  refusesAtOnce,
} from "./checks.ts";
import { type Case, failure, never, within } from "./rig.ts";

/** The cases of this group. */
export const closingCases: readonly Case[] = [
  [
    "add() of a closed descriptor is EBADF and keeps nothing",
    async (rig) => {
      const { hub } = rig;
      const [reader, writer] = rig.pipe();
      rig.close(reader);
      const atOnce = refusesAtOnce(hub, reader);
      for (let i = 0; i < 2; i++) {
        for (const evtype of [READ, WRITE] as const) {
          const lost: Error[] = [];
          const add = () =>
            hub.add(evtype, reader, never, (error) => lost.push(error));
          if (atOnce) {
            assert.throws(add, (error) => (assertBadFd(error), true));
          } else {
            const listener = add();
            await sleep();
            assertBadFd(lost.pop());
            assert.equal(listener.spent, true);
          }
          await rig.passes(2);
          assert.deepEqual(lost, [], "told once more");
          rig.assertIdle();
        }
        assertBadFd(await failure(trampoline(reader, { read: true })));
        assertBadFd(
          await failure(trampoline(reader, { write: true, timeout: 1000 })),
        );
      }
      rig.assertIdle();
      // There is nothing to sweep for.
      const { sweeps } = hub.statistics();
      await rig.passes(2);
      assert.equal(hub.statistics().sweeps, sweeps);
      // Whoever gets the number next is not bothered.
      rig.reuse(reader, rig.pipe()[0]);
      hub.remove(hub.add(READ, reader, never, never));
      rig.write(writer, 0);
    },
  ],

  ["remove() after the descriptor was closed is harmless", async (rig) => {
    const { hub } = rig;
    const [reader] = rig.pipe();
    const listener = hub.add(READ, reader, never, never);
    await sleep();
    rig.close(reader);
    hub.remove(listener);
    await rig.passes(2);
    rig.assertIdle();
  }],

  ["add() after close and reuse listens to the new file", async (rig) => {
    const { hub } = rig;
    const [old, oldWriter] = rig.pipe();
    const [fresh, freshWriter] = rig.pipe();
    hub.remove(hub.add(READ, old, never, never));
    rig.reuse(old, fresh);
    const waiter = spawn(() => trampoline(old, { read: true }));
    await sleep();
    assert.throws(() => rig.write(oldWriter), SystemError);
    await rig.passes(2);
    assert.equal(waiter.dead, false);
    rig.write(freshWriter);
    assert.equal(await within(NOTICE_MS, waiter.wait()), old);
  }],

  [
    "add() after remove(), notifyClose() and reuse is not undone",
    async (rig) => {
      const { hub } = rig;
      const [old] = rig.pipe();
      const [fresh, writer] = rig.pipe();
      hub.remove(hub.add(READ, old, never, never));
      notifyClose(old);
      rig.reuse(old, fresh);
      const waiter = spawn(() => trampoline(old, { read: true }));
      await sleep();
      await rig.parked();
      rig.write(writer);
      assert.equal(await within(NOTICE_MS, waiter.wait()), old);
    },
  ],

  ["add() after reuse changes direction with the file", async (rig) => {
    const { hub } = rig;
    const [reader] = rig.pipe();
    const [, writer] = rig.pipe();
    hub.remove(hub.add(READ, reader, never, never));
    rig.reuse(reader, writer);
    assert.equal(
      await within(NOTICE_MS, trampoline(reader, { write: true })),
      reader,
    );
  }],

  [
    "a descriptor closed in silence rejects with EBADF in bounded time",
    async (rig) => {
      const { hub } = rig;
      const [reader, writer] = rig.pipe();
      const [a] = rig.socketpair();
      rig.fill(a);
      const lost: Error[] = [];
      const waiters = [
        spawn(() => failure(trampoline(reader, { read: true }))),
        spawn(() => failure(trampoline(a, { write: true, timeout: 60_000 }))),
      ];
      const raw = hub.add(READ, a, never, (error) => lost.push(error));
      await sleep();
      await rig.parked();
      rig.close(reader);
      rig.close(a);
      for (const gt of waiters) {
        assertBadFd(await within(NOTICE_MS, gt.wait()));
      }
      await sleep();
      assert.equal(lost.length, 1);
      assertBadFd(lost[0]);
      assert.equal(raw.spent, true);
      rig.assertIdle();
      rig.close(writer);
    },
  ],

  [
    "a descriptor closed in silence while the hub is busy rejects, too",
    async (rig) => {
      const [reader] = rig.pipe();
      const gt = spawn(() => trampoline(reader, { read: true }));
      await sleep();
      let busy = true;
      const beat = spawn(async () => {
        while (busy) await sleep();
      });
      rig.close(reader);
      assertBadFd(await within(NOTICE_MS, failure(gt.wait())));
      busy = false;
      await beat.wait();
      rig.assertIdle();
    },
  ],

  [
    "remove() lets a close() take effect beside a parked hub",
    async (rig) => {
      const { hub } = rig;
      const [quiet] = rig.pipe();
      const other = hub.add(READ, quiet, never, never);
      const pairs = [0, 1].map(() => rig.socketpair());
      const listeners = pairs.map(([fd]) => hub.add(READ, fd, never, never));
      // Each park in vain is followed by a longer one.
      const { parks } = hub.statistics();
      while (hub.statistics().parks < parks + 3) await rig.parked();
      for (const listener of listeners) hub.remove(listener);
      hub.notifyClose(pairs[1]![0]);
      for (const [ours] of pairs) rig.close(ours);
      const start = performance.now();
      for (const [, theirs] of pairs) {
        // The other side sees the end, though nobody else wakes the hub.
        while (rig.read(theirs) !== 0) {
          assert.ok(performance.now() - start < 500, "too late");
          await macrotask();
        }
      }
      hub.remove(other);
      await sleep();
    },
  ],

  ["a descriptor reused in silence wakes by the new file", async (rig) => {
    const [reader] = rig.pipe();
    const [fresh, writer] = rig.pipe();
    const gt = spawn(() => trampoline(reader, { read: true }));
    await sleep();
    await rig.parked();
    rig.reuse(reader, fresh);
    rig.write(writer);
    assert.equal(await within(NOTICE_MS, gt.wait()), reader);
    rig.assertIdle();
  }],

  ["a regular file closed while listened to is EBADF", async (rig) => {
    const { hub } = rig;
    const file = rig.file();
    const lost = Promise.withResolvers<Error>();
    hub.add(READ, file, () => {}, lost.resolve);
    await rig.passes(2);
    rig.close(file);
    assertBadFd(await within(NOTICE_MS, lost.promise));
    rig.assertIdle();
  }],

  ["a pipe that takes a regular file's number is a pipe", async (rig) => {
    const file = rig.file();
    await trampoline(file, { read: true });
    const [reader, writer] = rig.pipe();
    rig.reuse(file, reader);
    const gt = spawn(() => trampoline(file, { read: true }));
    await rig.passes(4);
    assert.equal(gt.dead, false);
    rig.write(writer);
    assert.equal(await gt.wait(), file);
  }],

  [
    "closed while a duplicate lives: told in bounded time, no spinning",
    async (rig) => {
      const { hub } = rig;
      const [reader, writer] = rig.pipe();
      const [quiet] = rig.pipe();
      const copy = rig.dup(reader);
      const other = hub.add(READ, quiet, never, never);
      const gt = spawn(() => trampoline(reader, { read: true }));
      await sleep();
      await rig.parked();
      const ended = gt.wait();
      rig.close(reader);
      rig.write(writer);
      // On epoll the copy's data may still wake the waiter: a last hint.
      await within(NOTICE_MS, ended.catch(assertBadFd));
      await assertNoSpin(rig);
      assert.deepEqual(hub.getReaders(), [other]);
      assert.equal(rig.read(copy), 1);
    },
  ],

  [
    "closed and told of late, while a duplicate lives: no spinning for nobody",
    async (rig) => {
      const { hub } = rig;
      const [reader, writer] = rig.pipe();
      rig.dup(reader);
      const ended = failure(
        spawn(() => trampoline(reader, { read: true })).wait(),
      );
      await sleep();
      rig.close(reader);
      notifyClose(reader);
      assert.ok(await ended instanceof IOClosed);
      // The duplicate is readable under a number that nothing is known of.
      rig.write(writer);
      const timer = hub.scheduleCallGlobal(60_000, never);
      await rig.parked();
      await assertNoSpin(rig);
      timer.cancel();
      await sleep();
    },
  ],

  ["removed, then closed while a duplicate lives: no spinning", async (rig) => {
    const { hub } = rig;
    const [reader, writer] = rig.pipe();
    const [quiet] = rig.pipe();
    rig.dup(reader);
    hub.add(READ, quiet, never, never);
    rig.write(writer);
    await trampoline(reader, { read: true });
    rig.close(reader);
    await rig.passes(2);
    await rig.parked();
    await assertNoSpin(rig);
    rig.write(writer);
    await assertNoSpin(rig);
  }],

  [
    "reused while a duplicate lives: no foreign wake-ups, no spinning",
    async (rig) => {
      const { hub } = rig;
      const [reader, writer] = rig.pipe();
      const [fresh, freshWriter] = rig.pipe();
      const [quiet] = rig.pipe();
      const copy = rig.dup(reader);
      const other = hub.add(READ, quiet, never, never);
      rig.write(writer);
      await trampoline(reader, { read: true });
      // The number names another file now; the duplicate is still readable.
      rig.reuse(reader, fresh);
      const gt = spawn(() => trampoline(reader, { read: true }));
      await rig.passes(10);
      assert.equal(gt.dead, false, "woken by the duplicate's data");
      await assertNoSpin(rig);
      assert.equal(gt.dead, false, "woken by the duplicate's data");
      rig.write(freshWriter);
      assert.equal(await within(NOTICE_MS, gt.wait()), reader);
      assert.deepEqual(hub.getReaders(), [other]);
      assert.equal(rig.read(copy), 1);
    },
  ],
];
