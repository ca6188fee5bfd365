/**
 * Conformance: listeners, from `add` to `remove`.
 *
 * @module
 */

import assert from "node:assert/strict";
import { macrotask } from "../deno_loop.ts";
import { IOClosed } from "../errors.ts";
import type { BaseHub } from "../hub.ts";
import type { FdListener } from "../listeners.ts";
import { READ, WRITE } from "../poller.ts";
import { kill, sleep, spawn } from "../spawn.ts";
import { trampoline } from "../trampoline.ts";
import { NOTICE_MS } from "./checks.ts";
import { type Case, never, type Rig, within } from "./rig.ts";

/** Add a listener that reads one byte a call, and counts. */
function reading(rig: Rig, fd: number, log: number[]): FdListener {
  return rig.hub.add(READ, fd, (ready) => {
    log.push(ready);
    rig.read(ready);
  }, never);
}

/** The cases of this group. */
export const listenerCases: readonly Case[] = [
  ["add() calls cb(fd) once in each pass while ready", async (rig) => {
    const { hub } = rig;
    const [reader, writer] = rig.pipe();
    const calls: number[] = [];
    const listener = hub.add(READ, reader, (fd) => calls.push(fd), never);
    await rig.passes(3);
    assert.deepEqual(calls, []);
    rig.write(writer);
    await sleep();
    calls.length = 0;
    const { passes } = hub.statistics();
    await rig.passes(5);
    assert.equal(calls.length, hub.statistics().passes - passes);
    assert.ok(calls.length >= 5 && calls.every((fd) => fd === reader));
    rig.read(reader);
    calls.length = 0;
    await rig.passes(3);
    assert.deepEqual(calls, []);
    hub.remove(listener);
    rig.assertIdle();
  }],

  ["add() returns a listener that says what it is for", async (rig) => {
    const { hub } = rig;
    const [a] = rig.socketpair();
    const tb = (): void => {};
    const cb = (): void => {};
    const listener = hub.add(WRITE, a, cb, tb);
    assert.deepEqual(
      [listener.evtype, listener.fd, listener.cb, listener.tb, listener.spent],
      [WRITE, a, cb, tb, false],
    );
    assert.deepEqual(hub.getWriters(), [listener]);
    assert.deepEqual(hub.getReaders(), []);
    hub.remove(listener);
    assert.equal(listener.spent, true);
    await sleep();
  }],

  ["add() wakes MAINLOOP that is parked", async (rig) => {
    const { hub } = rig;
    const [quiet] = rig.pipe();
    const [reader, writer] = rig.pipe();
    hub.add(READ, quiet, never, never);
    await rig.parked();
    rig.write(writer);
    const called = Promise.withResolvers<number>();
    hub.add(READ, reader, (fd) => {
      rig.read(fd);
      called.resolve(fd);
    }, never);
    assert.equal(await called.promise, reader);
  }],

  ["add() serves a descriptor that becomes ready while parked", async (rig) => {
    const { hub } = rig;
    const pairs = [rig.pipe(), rig.pipe(), rig.pipe()];
    const log: number[] = [];
    for (const [reader] of pairs) reading(rig, reader, log);
    for (const [reader, writer] of pairs) {
      await rig.parked();
      rig.write(writer);
      while (log.at(-1) !== reader) await macrotask();
    }
    assert.deepEqual(log, pairs.map(([reader]) => reader));
    assert.equal(hub.getReaders().length, 3);
  }],

  ["add() refuses wrong arguments and keeps nothing", (rig) => {
    const { hub } = rig;
    const [reader] = rig.pipe();
    const bad =
      (evtype: unknown, fd: unknown, cb: unknown, tb: unknown) => () =>
        hub.add(evtype as 1, fd as number, cb as () => void, tb as () => void);
    assert.throws(bad(READ, -1, never, never), RangeError);
    assert.throws(bad(READ, 1.5, never, never), RangeError);
    assert.throws(bad(READ, NaN, never, never), RangeError);
    assert.throws(bad(READ, 2 ** 31, never, never), RangeError);
    assert.throws(bad(READ, `${reader}`, never, never), TypeError);
    assert.throws(bad(READ, null, never, never), TypeError);
    assert.throws(bad(3, reader, never, never), RangeError);
    assert.throws(bad(0, reader, never, never), RangeError);
    assert.throws(bad(READ, reader, null, never), TypeError);
    assert.throws(bad(READ, reader, never, undefined), TypeError);
    for (const evtype of ["read", "1", null, undefined]) {
      assert.throws(bad(evtype, reader, never, never), TypeError);
    }
    for (const mark of [5, "x", {}]) {
      assert.throws(
        () => hub.add(READ, reader, never, never, mark as never),
        TypeError,
        "markAsClosed",
      );
    }
    rig.assertIdle();
    hub.remove(hub.add(READ, reader, never, never));
    hub.remove(hub.add(READ, reader, never, never, null));
  }],

  ["add() takes a reader and a writer of one descriptor", async (rig) => {
    const { hub } = rig;
    const [a, b] = rig.socketpair();
    const log: string[] = [];
    hub.add(READ, a, () => {
      log.push("read");
      rig.read(a);
    }, never);
    const writer = hub.add(WRITE, a, () => {
      log.push("write");
      hub.remove(writer);
    }, never);
    await rig.passes(2);
    assert.deepEqual(log, ["write"]);
    rig.write(b);
    await rig.passes(2);
    assert.deepEqual(log, ["write", "read"]);
    const again = hub.add(WRITE, a, () => {
      log.push("again");
      hub.remove(again);
    }, never);
    await rig.passes(2);
    assert.deepEqual(log, ["write", "read", "again"]);
  }],

  ["remove() is idempotent and spares whoever came later", async (rig) => {
    const { hub } = rig;
    const [reader, writer] = rig.pipe();
    const log: number[] = [];
    const first = hub.add(READ, reader, never, never);
    hub.remove(first);
    hub.remove(first);
    const second = reading(rig, reader, log);
    hub.remove(first);
    assert.deepEqual(hub.getReaders(), [second]);
    rig.write(writer);
    await rig.passes(2);
    assert.deepEqual(log, [reader]);
  }],

  ["remove() of the last listener ends the sweeping", async (rig) => {
    const { hub } = rig;
    const [reader] = rig.pipe();
    const listener = hub.add(READ, reader, never, never);
    await rig.parked();
    hub.remove(listener);
    const far = hub.scheduleCallGlobal(60_000, never);
    await rig.passes(1);
    await rig.parked();
    const { sweeps } = hub.statistics();
    await rig.passes(3);
    assert.equal(hub.statistics().sweeps, sweeps);
    far.cancel();
  }],

  ["remove() leaves the listeners of another hub alone", async (rig) => {
    const { hub } = rig;
    const [reader, writer] = rig.pipe();
    const other = new (hub.constructor as new () => BaseHub)();
    const called = [hub, other].map((one) => {
      const { promise, resolve } = Promise.withResolvers<number>();
      const listener = one.add(READ, reader, (fd) => {
        one.remove(listener);
        resolve(fd);
      }, never);
      return { listener, promise };
    });
    try {
      const [mine, others] = called.map(({ listener }) => listener);
      hub.remove(others!);
      other.remove(mine!);
      assert.deepEqual(hub.getReaders(), [mine]);
      assert.deepEqual(other.getReaders(), [others]);
      rig.write(writer);
      for (const { promise } of called) {
        assert.equal(await within(NOTICE_MS, promise), reader);
      }
      // The last call is not another hub's to take, either.
      const lost = Promise.withResolvers<Error>();
      const closed = hub.add(READ, reader, never, lost.resolve);
      hub.notifyClose(reader);
      other.remove(closed);
      assert.ok(await within(NOTICE_MS, lost.promise) instanceof IOClosed);
    } finally {
      await other.close();
    }
  }],

  [
    "remove() in a callback spares the removed one in that very pass",
    async (rig) => {
      const { hub } = rig;
      const pairs = [rig.pipe(), rig.pipe()];
      const calls: number[] = [];
      const listeners = pairs.map(([reader, writer], i) => {
        rig.write(writer);
        return hub.add(READ, reader, () => {
          calls.push(i);
          listeners.forEach((listener) => hub.remove(listener));
        }, never);
      });
      await rig.passes(3);
      assert.equal(calls.length, 1);
    },
  ],

  [
    "a listener added in a pass is not called for an older event",
    async (rig) => {
      const { hub } = rig;
      const pairs = [rig.pipe(), rig.pipe()];
      let first = true;
      const listeners: FdListener[] = pairs.map(([reader, writer], i) => {
        rig.write(writer);
        return hub.add(READ, reader, () => {
          assert.ok(first, "the removed one was called");
          first = false;
          const [other] = pairs[1 - i]!;
          hub.remove(listeners[0]!);
          hub.remove(listeners[1]!);
          rig.read(other);
          hub.add(READ, other, never, never);
        }, never);
      });
      await rig.passes(4);
      assert.equal(first, false);
      assert.equal(hub.getReaders().length, 1);
    },
  ],

  [
    "a waiter killed in the pass that made it ready gets only the kill",
    async (rig) => {
      const pairs = [rig.pipe(), rig.pipe()];
      const log: string[] = [];
      const all = pairs.map(([reader], i) =>
        spawn(async () => {
          try {
            await trampoline(reader, { read: true });
            log.push("ready");
            void kill(all[1 - i]!);
          } catch {
            await sleep(5);
            log.push("slept");
          }
        })
      );
      await sleep();
      for (const [, writer] of pairs) rig.write(writer);
      const start = rig.hub.clock();
      for (const gt of all) await gt.wait();
      assert.deepEqual(log, ["ready", "slept"]);
      assert.ok(rig.hub.clock() - start >= 5);
      rig.assertIdle();
    },
  ],
];
