/**
 * Conformance: `trampoline`, and that no exit of it leaves anything behind.
 *
 * @module
 */

import assert from "node:assert/strict";
import { GreenletExit, HubError } from "../errors.ts";
import { kill, sleep, spawn } from "../spawn.ts";
import { Timeout } from "../timeout.ts";
import {
  notifyClose,
  notifyOpened,
  trampoline,
  type TrampolineOptions,
} from "../trampoline.ts";
import { assertBadFd, refusesAtOnce } from "./checks.ts";
import { type Case, failure, never } from "./rig.ts";

/** The cases of this group. */
export const trampolineCases: readonly Case[] = [
  ["trampoline() resolves to the descriptor", async (rig) => {
    const [reader, writer] = rig.pipe();
    assert.equal(await trampoline(writer, { write: true }), writer);
    const gt = spawn(() => trampoline(reader, { read: true }));
    await rig.passes(2);
    assert.equal(gt.dead, false);
    rig.write(writer);
    assert.equal(await gt.wait(), reader);
    assert.equal(
      await trampoline({ fileno: () => reader }, { read: true }),
      reader,
    );
    rig.assertIdle();
  }],

  ["trampoline() waits in main as well", async (rig) => {
    const [reader, writer] = rig.pipe();
    spawn(async () => {
      await sleep(1);
      rig.write(writer);
    });
    assert.equal(await trampoline(reader, { read: true }), reader);
    rig.assertIdle();
  }],

  ["trampoline() wants exactly one of read and write", async (rig) => {
    const [reader] = rig.pipe();
    const bad = [
      {},
      { read: true, write: true },
      { read: false },
      { read: false, write: false, timeout: 5 },
    ];
    for (const options of bad) {
      assert.ok(
        await failure(trampoline(reader, options)) instanceof TypeError,
      );
    }
    for (const options of [undefined, null]) {
      const error = await failure(trampoline(reader, options as never));
      assert.ok(error instanceof TypeError);
    }
    rig.assertIdle();
  }],

  ["trampoline() refuses what is no descriptor, by rejecting", async (rig) => {
    const ask = (fd: unknown) =>
      failure(trampoline(fd as number, { read: true }));
    for (const fd of [-1, 1.5, NaN, Infinity, 2 ** 31]) {
      assert.ok(await ask(fd) instanceof RangeError, String(fd));
    }
    for (const fd of ["0", null, undefined, {}, 0n, true]) {
      assert.ok(await ask(fd) instanceof TypeError, String(fd));
    }
    assert.ok(await ask({ fileno: () => -1 }) instanceof RangeError);
    const broken = new Error("fileno");
    const error = await ask({
      fileno() {
        throw broken;
      },
    });
    assert.equal(error, broken);
    rig.assertIdle();
  }],

  ["a descriptor -0 is 0", async (rig) => {
    const { hub } = rig;
    // Whatever 0 is: open or not, ready or not.
    const ask = (fd: number | { fileno(): number }) =>
      trampoline(fd, { read: true, timeout: 0 }).catch((error) => `${error}`);
    const wanted = await ask(0);
    assert.equal(await ask(-0), wanted);
    assert.equal(await ask({ fileno: () => -0 }), wanted);
    const add = (fd: number) => {
      try {
        return hub.add(hub.READ, fd, () => {}, () => {}).fd;
      } catch (error) {
        return `${error}`;
      }
    };
    const added = add(0);
    hub.notifyClose(0);
    for (const notify of [notifyClose, notifyOpened]) {
      assert.ok(Object.is(add(-0), added), String(added));
      notify(-0);
    }
    add(-0);
    hub.notifyClose(-0);
    add(-0);
    hub.removeDescriptor(-0);
    rig.assertIdle();
    await rig.passes(2);
  }],

  ["trampoline() refuses wrong options before it registers", async (rig) => {
    const [reader] = rig.pipe();
    const ask = (options: Record<string, unknown>) =>
      failure(trampoline(reader, { read: true, ...options }));
    assert.ok(await ask({ timeout: NaN }) instanceof RangeError);
    assert.ok(await ask({ timeout: "1" }) instanceof TypeError);
    assert.ok(await ask({ timeoutError: 5, timeout: 1 }) instanceof TypeError);
    assert.ok(
      await ask({ timeoutError: Object, timeout: 1 }) instanceof TypeError,
    );
    assert.ok(await ask({ timeoutError: null }) instanceof TypeError);
    assert.ok(await ask({ markAsClosed: "x" }) instanceof TypeError);
    for (const wrong of ["no", "", 0, 1, {}]) {
      for (const what of ["read", "write"]) {
        const error = await ask({ [what]: wrong });
        assert.ok(error instanceof TypeError);
        assert.match(error.message, new RegExp(`: ${what} is no boolean`));
      }
    }
    assert.ok(await ask({ signal: {} }) instanceof TypeError);
    rig.assertIdle();
  }],

  ["trampoline() rejects with Timeout, never early", async (rig) => {
    const [reader] = rig.pipe();
    const start = rig.hub.clock();
    const error = await failure(trampoline(reader, { read: true, timeout: 5 }));
    assert.ok(error instanceof Timeout);
    assert.ok(rig.hub.clock() - start >= 5);
    rig.assertIdle();
  }],

  [
    "trampoline() with timeout 0 or less: data that is there wins",
    async (rig) => {
      const [reader, writer] = rig.pipe();
      for (const timeout of [0, -1, -Infinity]) {
        const ask = () => trampoline(reader, { read: true, timeout });
        assert.ok(await failure(ask()) instanceof Timeout);
        rig.write(writer);
        assert.equal(await ask(), reader);
        rig.read(reader);
      }
      assert.equal(
        await trampoline(writer, { write: true, timeout: 0 }),
        writer,
      );
      rig.assertIdle();
    },
  ],

  ["trampoline() with data and deadline both due resolves", async (rig) => {
    const { hub } = rig;
    let now = 0;
    hub.clock = () => now;
    const [reader, writer] = rig.pipe();
    const gt = spawn(() => trampoline(reader, { read: true, timeout: 5 }));
    await sleep();
    rig.write(writer);
    now = 50;
    assert.equal(await gt.wait(), reader);
    rig.assertIdle();
  }],

  ["trampoline() rejects with timeoutError, instance or class", async (rig) => {
    const [reader] = rig.pipe();
    class Slow extends Error {}
    const slow = new Slow();
    const ask = (timeoutError: Error | (new () => Error)) =>
      failure(trampoline(reader, { read: true, timeout: 0, timeoutError }));
    assert.equal(await ask(slow), slow);
    assert.ok(await ask(Slow) instanceof Slow);
    assert.notEqual(await ask(Slow), slow);
    rig.assertIdle();
  }],

  ["trampoline() without limit: null, undefined and Infinity", async (rig) => {
    const [reader, writer] = rig.pipe();
    for (const timeout of [null, undefined, Infinity]) {
      const options = { read: true, timeout } as TrampolineOptions;
      const gt = spawn(() => trampoline(reader, options));
      await rig.passes(2);
      assert.equal(rig.hub.getTimersCount(), 0);
      rig.write(writer);
      await gt.wait();
      rig.read(reader);
    }
  }],

  [
    "trampoline() rejects with what the class timeoutError throws when made",
    async (rig) => {
      const [reader] = rig.pipe();
      const thrown = new Error("a constructor's own");
      class Broken extends Error {
        constructor() {
          super();
          throw thrown;
        }
      }
      class Odd extends Error {
        constructor() {
          super();
          throw 7;
        }
      }
      const wait = (timeoutError: new () => Error): Promise<Error> =>
        failure(trampoline(reader, { read: true, timeout: 1, timeoutError }));
      assert.equal(await wait(Broken), thrown);
      const odd = await wait(Odd);
      assert.match(odd.message, /Odd/);
      assert.equal(odd.cause, 7);
      rig.assertIdle();
    },
  ],

  [
    "trampoline() that fails at once lets nobody run before the caller goes on",
    async (rig) => {
      const [reader] = rig.pipe();
      const first = spawn(() => trampoline(reader, { read: true }));
      await sleep();
      const closed = 54_321;
      // Another's, and one that is not open: that fails a pass later if the
      // poller tells of it in its sweep.
      const bad = refusesAtOnce(rig.hub, closed) ? [reader, closed] : [reader];
      assertBadFd(await failure(trampoline(closed, { read: true })));
      for (const fd of bad) {
        const order: string[] = [];
        const deep = async (levels: number): Promise<unknown> =>
          levels === 0
            ? await trampoline(fd, { read: true })
            : await deep(levels - 1);
        const caller = spawn(async () => {
          await failure(deep(3));
          await failure(deep(3));
          order.push("caller");
        });
        const other = spawn(() => order.push("other"));
        await caller.wait();
        await other.wait();
        assert.deepEqual(order, ["caller", "other"], `fd ${fd}`);
      }
      await kill(first);
      rig.assertIdle();
    },
  ],

  ["trampoline() ends with signal.reason", async (rig) => {
    const [reader] = rig.pipe();
    const controller = new AbortController();
    const { signal } = controller;
    const reason = new Error("enough");
    const gt = spawn(() =>
      trampoline(reader, { read: true, timeout: 60_000, signal })
    );
    await sleep();
    await rig.parked();
    controller.abort(reason);
    rig.assertIdle();
    assert.equal(await failure(gt.wait()), reason);
    rig.assertIdle();
    // One aborted before: at once, and nothing is registered.
    const late = trampoline(reader, { read: true, signal });
    rig.assertIdle();
    assert.equal(await failure(late), reason);
  }],

  [
    "trampoline() makes room for another one when it is aborted",
    async (rig) => {
      const [reader, writer] = rig.pipe();
      const controller = new AbortController();
      const { signal } = controller;
      const first = failure(trampoline(reader, { read: true, signal }));
      await rig.parked();
      controller.abort();
      const second = trampoline(reader, { read: true });
      assert.equal(await first, signal.reason);
      rig.write(writer);
      assert.equal(await second, reader);
      rig.assertIdle();
    },
  ],

  [
    "trampoline() that is aborted ends when nothing is under way any more",
    async (rig) => {
      const [reader] = rig.pipe();
      const signals = [new AbortController(), new AbortController()];
      const waits = signals.map(({ signal }, i) =>
        spawn(() =>
          trampoline(i === 0 ? reader : rig.pipe()[0], { read: true, signal })
        ).wait().catch(() => rig.hub.resting)
      );
      await sleep();
      await rig.parked();
      // The second one comes when the hub has been woken, and sleeps still.
      for (const controller of signals) controller.abort();
      assert.deepEqual(await Promise.all(waits), [false, false]);
      rig.assertIdle();
    },
  ],

  [
    "trampoline() that was ready takes no notice of a later abort",
    async (rig) => {
      const [reader, writer] = rig.pipe();
      const controller = new AbortController();
      rig.write(writer);
      const { signal } = controller;
      assert.equal(await trampoline(reader, { read: true, signal }), reader);
      controller.abort();
      await rig.passes(2);
      rig.assertIdle();
    },
  ],

  [
    "trampoline() takes its listener off the signal on every exit",
    async (rig) => {
      const [reader, writer] = rig.pipe();
      const { signal } = new AbortController();
      let listeners = 0;
      const { addEventListener, removeEventListener } = EventTarget.prototype;
      signal.addEventListener = (...args: unknown[]) => {
        listeners++;
        Reflect.apply(addEventListener, signal, args);
      };
      signal.removeEventListener = (...args: unknown[]) => {
        listeners--;
        Reflect.apply(removeEventListener, signal, args);
      };
      const wait = (timeout: number): Promise<number> =>
        trampoline(reader, { read: true, timeout, signal });
      await failure(wait(1));
      assert.equal(listeners, 0);
      rig.write(writer);
      await wait(60_000);
      assert.equal(listeners, 0);
      rig.read(reader);
      const killed = spawn(wait, 60_000);
      const refused = spawn(wait, 60_000);
      assert.ok(await failure(refused.wait()) instanceof HubError);
      assert.equal(listeners, 1);
      await kill(killed);
      assert.equal(listeners, 0);
      const closed = spawn(wait, 60_000);
      const ended = failure(closed.wait());
      await sleep();
      notifyClose(reader);
      await ended;
      assert.equal(listeners, 0);
    },
  ],

  ["trampoline() leaves nothing behind on kill and throw", async (rig) => {
    const [reader] = rig.pipe();
    const wait = (): Promise<number> =>
      trampoline(reader, { read: true, timeout: 60_000 });
    const killed = spawn(wait);
    await sleep();
    assert.equal(rig.hub.getTimersCount(), 1);
    await kill(killed);
    assert.ok(await failure(killed.wait()) instanceof GreenletExit);
    rig.assertIdle();
    const thrown = spawn(wait);
    await sleep();
    const error = new Error("thrown");
    thrown.throw(error);
    assert.equal(await failure(thrown.wait()), error);
    rig.assertIdle();
    const unstarted = spawn(wait);
    unstarted.cancel();
    assert.ok(await failure(unstarted.wait()) instanceof GreenletExit);
    rig.assertIdle();
  }],

  ["trampoline() limited by a Timeout leaves nothing behind", async (rig) => {
    const [reader] = rig.pipe();
    const gt = spawn(async () => {
      using limit = new Timeout(2);
      const error = await failure(trampoline(reader, { read: true }));
      return error === limit;
    });
    assert.equal(await gt.wait(), true);
    rig.assertIdle();
  }],

  ["trampoline() refused as the second leaves no timer", async (rig) => {
    const [reader] = rig.pipe();
    const first = spawn(() => trampoline(reader, { read: true }));
    await sleep();
    const { signal } = new AbortController();
    const error = await failure(
      trampoline(reader, { read: true, timeout: 60_000, signal }),
    );
    assert.ok(error instanceof HubError);
    assert.equal(rig.hub.getTimersCount(), 0);
    assert.equal(rig.hub.getReaders().length, 1);
    await kill(first);
    rig.assertIdle();
  }],

  ["trampoline() does not move a raw listener aside", async (rig) => {
    const { hub } = rig;
    const [reader] = rig.pipe();
    const raw = hub.add(hub.READ, reader, never, never);
    const error = await failure(trampoline(reader, { read: true }));
    assert.ok(error instanceof HubError);
    assert.deepEqual(hub.getReaders(), [raw]);
  }],
];
