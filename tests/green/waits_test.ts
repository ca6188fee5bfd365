/**
 * Every wait of every primitive, ended in every way: nothing may be left, and
 * nothing may be lost.
 */

import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import {
  type BlockOptions,
  BoundedSemaphore,
  CappedSemaphore,
  getCurrent,
  getHub,
  GreenEvent,
  GreenletExit,
  GreenPool,
  HubError,
  LightQueue,
  PriorityQueue,
  Queue,
  QueueEmpty,
  QueueFull,
  Semaphore,
  sleep,
  spawn,
  Timeout,
  waitFor,
} from "../../mod.ts";
import { failure } from "../../hubs/conformance/rig.ts";
import { greenTest, settle, StoppedClock } from "./helpers.ts";

interface Subject {
  /** Begin the wait. */
  readonly wait: (options?: BlockOptions) => Promise<unknown>;
  /** All that could be left: must be the same before and after. */
  readonly state: () => unknown;
  /** What expiry rejects with; null: it resolves to false. */
  readonly expiry: (new () => Error) | null;
  /** Whether it takes `block: false`. */
  readonly block: boolean;
  /** Let whoever waits go on. */
  readonly grant: () => void;
  /** End what else the subject has under way. */
  readonly end?: () => void;
  /** What a granted wait resolves to. */
  readonly value?: unknown;
}

function semaphore(sem: Semaphore): Subject {
  return {
    wait: (options) => sem.acquire(options),
    state: () => [sem.balance, sem.locked],
    expiry: null,
    block: true,
    grant: () => sem.release(),
    value: true,
  };
}

function getting(queue: LightQueue<string>): Subject {
  return {
    wait: (options) => queue.get(options),
    state: () => [queue.size, queue.getting, queue.putting],
    expiry: QueueEmpty,
    block: true,
    grant: () => queue.tryPut("item"),
    value: "item",
  };
}

function putting(queue: LightQueue<string>): Subject {
  while (!queue.full) queue.tryPut("old");
  return {
    wait: (options) => queue.put("new", options),
    state: () => [queue.size, queue.getting, queue.putting],
    expiry: QueueFull,
    block: true,
    grant: () => void queue.tryGet(),
  };
}

/** A signal, and how many listen to it. */
function countedSignal(): { signal: AbortSignal; listeners: () => number } {
  const { signal } = new AbortController();
  let count = 0;
  const { addEventListener: add, removeEventListener: remove } = signal;
  signal.addEventListener = (...args: Parameters<typeof add>) => {
    count++;
    add.apply(signal, args);
  };
  signal.removeEventListener = (...args: Parameters<typeof remove>) => {
    count--;
    remove.apply(signal, args);
  };
  return { signal, listeners: () => count };
}

const SUBJECTS: Record<string, () => Subject> = {
  "GreenEvent.wait()": () => {
    const event = new GreenEvent<number>();
    return {
      wait: (options) => event.wait(options),
      state: () => event.ready,
      expiry: Timeout,
      block: false,
      grant: () => event.send(7),
      value: 7,
    };
  },
  "Semaphore.acquire()": () => semaphore(new Semaphore(0)),
  "BoundedSemaphore.acquire()": () => {
    const sem = new BoundedSemaphore(1);
    sem.tryAcquire();
    return semaphore(sem);
  },
  "CappedSemaphore.acquire()": () => {
    const sem = new CappedSemaphore(0, 2);
    return {
      wait: (options) => sem.acquire(options),
      state: () => [sem.balance, sem.locked, sem.bounded],
      expiry: null,
      block: true,
      grant: () => void sem.release(),
      value: true,
    };
  },
  "CappedSemaphore.release()": () => {
    const sem = new CappedSemaphore(2, 2);
    return {
      wait: (options) => sem.release(options),
      state: () => [sem.balance, sem.locked, sem.bounded],
      expiry: null,
      block: true,
      grant: () => void sem.tryAcquire(),
      value: true,
    };
  },
  "LightQueue.get()": () => getting(new LightQueue<string>()),
  "Queue.get()": () => getting(new Queue<string>(1)),
  "Queue.get() of a channel": () => getting(new Queue<string>(0)),
  "PriorityQueue.get()": () => getting(new PriorityQueue<string>(1)),
  "LightQueue.put()": () => putting(new LightQueue<string>(1)),
  "Queue.put()": () => putting(new Queue<string>(2)),
  "Queue.put() of a channel": () => putting(new Queue<string>(0)),
  "PriorityQueue.put()": () => putting(new PriorityQueue<string>(1)),
  "Queue.join()": () => {
    const queue = new Queue<number>();
    queue.tryPut(1);
    return {
      wait: (options) => queue.join(options),
      state: () => [queue.size, queue.unfinishedTasks],
      expiry: Timeout,
      block: false,
      grant: () => queue.taskDone(),
    };
  },
  "GreenPool.waitAll()": () => {
    const pool = new GreenPool();
    const end = new GreenEvent();
    void pool.spawnN(() => end.wait());
    return {
      wait: (options) => pool.waitAll(options),
      state: () => [pool.running, pool.waiting],
      expiry: Timeout,
      block: false,
      grant: () => end.send(),
      end: () => end.send(),
    };
  },
  "waitFor()": () => {
    const { promise, resolve } = Promise.withResolvers<string>();
    return {
      wait: (options) => waitFor(promise, options),
      state: () => 0,
      expiry: Timeout,
      block: false,
      grant: () => resolve("late"),
      value: "late",
    };
  },
};

/** Their grants arrive a pass later: somebody else must act first. */
const INDIRECT: ReadonlySet<string> = new Set([
  "GreenPool.waitAll()",
  "waitFor()",
]);

for (const [name, make] of Object.entries(SUBJECTS)) {
  greenTest(
    `${name} leaves nothing when killed, and others wait on`,
    async () => {
      const subject = make();
      const before = subject.state();
      const { signal, listeners } = countedSignal();
      const gt = spawn(() => subject.wait({ timeout: 60_000, signal }));
      await settle();
      assertEquals([getHub().getTimersCount(), listeners()], [1, 1]);
      const other = spawn(() => subject.wait());
      await settle();
      await gt.kill();
      assertEquals([getHub().getTimersCount(), listeners()], [0, 0]);
      assert(await failure(gt.wait()) instanceof GreenletExit);
      assert(!other.dead);
      await other.kill();
      assertEquals(subject.state(), before);
      subject.end?.();
      await settle();
    },
  );

  greenTest(
    `${name} leaves nothing behind if the hub's clock throws`,
    async () => {
      const subject = make();
      const before = subject.state();
      const hub = getHub();
      const boom = new Error("no time");
      const gt = spawn(async () => {
        const error = await failure(subject.wait({ timeout: 5 }));
        return [error, getCurrent().waiting];
      });
      hub.clock = () => {
        throw boom;
      };
      assertEquals(await gt.wait(), [boom, false]);
      hub.clock = () => performance.now();
      assertEquals([hub.getTimersCount(), subject.state()], [0, before]);
      subject.end?.();
      await settle();
    },
  );

  greenTest(`${name} is left at once when a Timeout strikes`, async () => {
    const clock = new StoppedClock();
    const subject = make();
    const before = subject.state();
    let limit: Timeout | undefined;
    const gt = spawn(async () => {
      using timeout = limit = new Timeout(10);
      assert(timeout.pending);
      await subject.wait();
    });
    const ended = failure(gt.wait());
    await settle();
    await clock.advance(9);
    assert(!gt.dead);
    await clock.advance(1);
    assertStrictEquals(await ended, limit);
    assertEquals(subject.state(), before);
    subject.end?.();
    await settle();
  });

  greenTest(`${name} rejects with the reason of its signal`, async () => {
    const subject = make();
    const before = subject.state();
    const controller = new AbortController();
    const reason = new Error("enough");
    const gt = spawn(() => subject.wait({ signal: controller.signal }));
    const ended = failure(gt.wait());
    await settle();
    controller.abort(reason);
    assertStrictEquals(await ended, reason);
    assertEquals(subject.state(), before);
    const { signal } = controller;
    assertStrictEquals(await failure(subject.wait({ signal })), reason);
    subject.end?.();
    await settle();
  });

  greenTest(`${name} is out of it as soon as it is aborted`, async (rig) => {
    const subject = make();
    const before = subject.state();
    const controller = new AbortController();
    const { signal } = controller;
    const gt = spawn(() => subject.wait({ signal }));
    const ended = failure(gt.wait());
    const timer = getHub().scheduleCallGlobal(60_000, () => {});
    await settle();
    await rig.parked();
    controller.abort();
    assertEquals(subject.state(), before);
    assertStrictEquals(await ended, signal.reason);
    timer.cancel();
    subject.end?.();
    await settle();
  });

  greenTest(`${name} ends when its timeout is over, not before`, async () => {
    const clock = new StoppedClock();
    const subject = make();
    const before = subject.state();
    const { signal, listeners } = countedSignal();
    const gt = spawn(() => subject.wait({ timeout: 10, signal }));
    const ended = gt.wait().catch((error: Error) => error);
    await settle();
    await clock.advance(9);
    assert(!gt.dead);
    await clock.advance(1);
    assert(gt.dead);
    assertEquals(listeners(), 0);
    if (subject.expiry === null) assertEquals(await ended, false);
    else assert(await ended instanceof subject.expiry);
    assertEquals(subject.state(), before);
    subject.end?.();
    await settle();
  });

  greenTest(
    `${name} with a timeout or signal leaves no timer when granted`,
    async () => {
      const subject = make();
      const { signal, listeners } = countedSignal();
      const gt = spawn(() => subject.wait({ timeout: 60_000, signal }));
      await settle();
      assertEquals([getHub().getTimersCount(), listeners()], [1, 1]);
      subject.grant();
      await settle();
      assertEquals(await gt.wait(), subject.value);
      assertEquals([getHub().getTimersCount(), listeners()], [0, 0]);
    },
  );

  if (!INDIRECT.has(name)) {
    greenTest(
      `${name}: a grant beats a timeout due before delivery`,
      async () => {
        const clock = new StoppedClock();
        const subject = make();
        // Made first, so it is due first: it grants, then the time is over.
        getHub().scheduleCallGlobal(10, () => subject.grant());
        const gt = spawn(() => subject.wait({ timeout: 10 }));
        await settle();
        await clock.advance(20);
        assertEquals(await gt.wait(), subject.value);
      },
    );
  }

  greenTest(`${name} with timeout 0 or less waits one pass`, async () => {
    for (const timeout of [0, -5]) {
      const subject = make();
      if (!INDIRECT.has(name)) {
        spawn(() => subject.grant());
        assertEquals(await subject.wait({ timeout }), subject.value);
      }
      subject.end?.();
      await settle();
      const { wait, expiry, end } = make();
      const ended = await wait({ timeout }).catch((error: Error) => error);
      if (expiry === null) assertEquals(ended, false);
      else assert(ended instanceof expiry);
      end?.();
      await settle();
    }
  });

  greenTest(`${name} rejects bad options and changes nothing`, async () => {
    const subject = make();
    const before = subject.state();
    const bad: [unknown, new () => Error][] = [
      [{ timeout: NaN }, RangeError],
      [{ timeout: "1" }, TypeError],
      [{ signal: {} }, TypeError],
      [7, TypeError],
    ];
    if (subject.block) {
      bad.push([{ block: false, timeout: 1 }, TypeError]);
      bad.push([{ block: false, timeout: 0 }, TypeError]);
      bad.push([{ block: 1 }, TypeError]);
    }
    for (const [options, expected] of bad) {
      const error = await failure(subject.wait(options as BlockOptions));
      assert(error instanceof expected, `${JSON.stringify(options)}: ${error}`);
    }
    assertEquals(subject.state(), before);
    subject.end?.();
    await settle();
  });

  greenTest(`${name} rejects with HubError in a timer's callback`, async () => {
    const subject = make();
    const before = subject.state();
    const ended = Promise.withResolvers<Error>();
    getHub().scheduleCallGlobal(0, () => {
      failure(subject.wait()).then(ended.resolve, ended.reject);
    });
    await settle();
    assert(await ended.promise instanceof HubError);
    assertEquals(subject.state(), before);
    subject.end?.();
    await settle();
  });

  greenTest(`${name} serves main as well, several times at once`, async () => {
    const [a, b] = [make(), make()];
    const both = Promise.all([a.wait(), b.wait()]);
    // Not the hub's doing: an ordinary event.
    setTimeout(() => {
      b.grant();
      a.grant();
    });
    assertEquals(await both, [a.value, b.value]);
  });
}

greenTest("block: false never waits", async () => {
  for (const make of Object.values(SUBJECTS)) {
    const subject = make();
    if (!subject.block) continue;
    let passed = false;
    spawn(() => passed = true);
    const ended = await subject.wait({ block: false })
      .catch((error: Error) => error);
    if (subject.expiry === null) assertEquals(ended, false);
    else assert(ended instanceof subject.expiry);
    assert(!passed);
    await sleep();
  }
});
