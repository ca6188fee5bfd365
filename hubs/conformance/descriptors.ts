/**
 * Conformance: descriptors that close, come back, hang up, or cannot be
 * polled. The same answer on every hub, and never a busy loop.
 *
 * @module
 */

import assert from "node:assert/strict";
import { SystemError } from "../../ffi/errors.ts";
import { hubPreventMultipleReaders } from "../debug.ts";
import { IOClosed } from "../errors.ts";
import { READ, WRITE } from "../poller.ts";
import { kill, sleep, spawn } from "../spawn.ts";
import { notifyClose, notifyOpened, trampoline } from "../trampoline.ts";
import { type Case, failure, never, type Rig, within } from "./rig.ts";

/** A hub notices within this time that a descriptor was closed in silence. */
const NOTICE_MS = 5000;

function assertBadFd(error: unknown): void {
  assert.ok(error instanceof SystemError, String(error));
  assert.equal(error.code, "EBADF");
}

/** Assert that MAINLOOP does next to nothing during some 50 ms. */
async function assertNoSpin(rig: Rig): Promise<void> {
  const before = rig.hub.statistics();
  const start = performance.now();
  await new Promise((resolve) => setTimeout(resolve, 50));
  const elapsed = performance.now() - start;
  const after = rig.hub.statistics();
  // A hub that cannot park sweeps once a millisecond at most.
  const most = 10 + (before.parking === "none" ? elapsed : elapsed / 10);
  assert.ok(after.passes - before.passes <= most, "too many passes");
  assert.ok(after.sweeps - before.sweeps <= most, "too many sweeps");
}

export const descriptorCases: readonly Case[] = [
  [
    "add() of a closed descriptor throws EBADF and keeps nothing",
    async (rig) => {
      const { hub } = rig;
      const [reader, writer] = rig.pipe();
      rig.close(reader);
      for (let i = 0; i < 2; i++) {
        for (const evtype of [READ, WRITE] as const) {
          assert.throws(
            () => hub.add(evtype, reader, never, never),
            (error) => (assertBadFd(error), true),
          );
        }
        assertBadFd(await failure(trampoline(reader, { read: true })));
        assertBadFd(
          await failure(trampoline(reader, { write: true, timeout: 1000 })),
        );
      }
      rig.assertIdle();
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

  ["a regular file is always ready", async (rig) => {
    const { hub } = rig;
    const file = rig.file();
    for (let i = 0; i < 3; i++) {
      assert.equal(await trampoline(file, { read: true }), file);
      assert.equal(await trampoline(file, { write: true }), file);
    }
    const calls = [0, 0];
    const listeners = [
      hub.add(READ, file, () => calls[0]!++, never),
      hub.add(WRITE, file, () => calls[1]!++, never),
    ];
    await rig.passes(4);
    assert.ok(calls[0]! >= 3 && calls[1] === calls[0], `${calls}`);
    listeners.forEach((listener) => hub.remove(listener));
    rig.assertIdle();
  }],

  [
    "a regular file wakes a hub that is parked, and only as asked",
    async (rig) => {
      const { hub } = rig;
      const [quiet] = rig.pipe();
      hub.add(READ, quiet, never, never);
      await rig.parked();
      const file = rig.file();
      assert.equal(
        await within(NOTICE_MS, trampoline(file, { read: true })),
        file,
      );
      await assertNoSpin(rig);
    },
  ],

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

  ["descriptors above 1,023 work", async (rig) => {
    const [reader, writer] = rig.pipe();
    const [a] = rig.socketpair();
    const high = rig.dup(reader, 1500);
    const higher = rig.dup(a, 3000);
    assert.ok(high >= 1500 && higher >= 3000);
    assert.equal(await trampoline(higher, { write: true }), higher);
    const gt = spawn(() => trampoline(high, { read: true }));
    await sleep();
    await rig.parked();
    rig.write(writer);
    assert.equal(await gt.wait(), high);
    await failure(trampoline(higher, { read: true, timeout: 1 }));
    rig.assertIdle();
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

  ["an event nobody waits for any more is forgotten", async (rig) => {
    const { hub } = rig;
    const [reader, writer] = rig.pipe();
    const [quiet] = rig.pipe();
    hub.add(READ, quiet, never, never);
    const gt = spawn(() => trampoline(reader, { read: true }));
    await sleep();
    await kill(gt);
    rig.write(writer);
    await rig.parked();
    await assertNoSpin(rig);
  }],

  ["one direction left: the other's readiness does not spin", async (rig) => {
    const { hub } = rig;
    const [a, b] = rig.socketpair();
    const reader = spawn(() => trampoline(a, { read: true }));
    // Writable at once, and from then on nobody asks.
    assert.equal(await trampoline(a, { write: true }), a);
    await rig.parked();
    await assertNoSpin(rig);
    assert.equal(hub.getReaders().length, 1);
    rig.write(b);
    assert.equal(await reader.wait(), a);
  }],

  ["a hang-up wakes a reader and a writer", async (rig) => {
    const [a, b] = rig.socketpair();
    rig.fill(a);
    const waiters = [
      spawn(() => trampoline(a, { read: true })),
      spawn(() => trampoline(a, { write: true })),
    ];
    await sleep();
    await rig.parked();
    assert.deepEqual(waiters.map((gt) => gt.dead), [false, false]);
    rig.close(b);
    for (const gt of waiters) {
      assert.equal(await within(NOTICE_MS, gt.wait()), a);
    }
    rig.assertIdle();
  }],

  ["a hang-up wakes a lone writer, and a lone reader", async (rig) => {
    const [reader, writer] = rig.pipe();
    rig.fill(writer);
    const blocked = spawn(() => trampoline(writer, { write: true }));
    await sleep();
    await rig.parked();
    rig.close(reader);
    assert.equal(await within(NOTICE_MS, blocked.wait()), writer);
    const [end, closing] = rig.pipe();
    const waiting = spawn(() => trampoline(end, { read: true }));
    await sleep();
    await rig.parked();
    rig.close(closing);
    assert.equal(await within(NOTICE_MS, waiting.wait()), end);
    assert.equal(rig.read(end), 0);
  }],

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
