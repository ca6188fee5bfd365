/**
 * Conformance: listeners, from `add` to `remove`.
 *
 * @module
 */

import assert from "node:assert/strict";
import { macrotask } from "../deno_loop.ts";
import { hubExceptions, hubPreventMultipleReaders } from "../debug.ts";
import { HubError, IOClosed } from "../errors.ts";
import type { FdListener } from "../listeners.ts";
import { READ, WRITE } from "../poller.ts";
import { kill, sleep, spawn, spawnN } from "../spawn.ts";
import { trampoline } from "../trampoline.ts";
import { type Case, failure, never, type Rig } from "./rig.ts";

/** Add a listener that reads one byte a call, and counts. */
function reading(rig: Rig, fd: number, log: number[]): FdListener {
  return rig.hub.add(READ, fd, (ready) => {
    log.push(ready);
    rig.read(ready);
  }, never);
}

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
    rig.assertIdle();
    hub.remove(hub.add(READ, reader, never, never));
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
