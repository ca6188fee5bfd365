/** The four queues: order, hand-over, channels, sizes, join. */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  getHub,
  GreenletExit,
  LifoQueue,
  LightQueue,
  PriorityQueue,
  Queue,
  QueueEmpty,
  QueueFull,
  sleep,
  spawn,
} from "../../mod.ts";
import { failure } from "../../hubs/conformance/rig.ts";
import { projectUrl, runProgram } from "../helpers/spawn.ts";
import { assertStarvesNobody, greenTest, Log, settle } from "./helpers.ts";

greenTest("Queue() refuses a size that is no integer", () => {
  assertThrows(() => new Queue(NaN), RangeError);
  assertThrows(() => new Queue(1.5), RangeError);
  assertThrows(() => new Queue("1" as unknown as number), TypeError);
  const queue = new Queue(1);
  assertThrows(() => queue.resize(0.5), RangeError);
  assertEquals(queue.maxSize, 1);
});

greenTest(
  "Queue() with null, undefined, Infinity or less than 0 has no limit",
  () => {
    for (const size of [null, undefined, -1, Infinity]) {
      const queue = new Queue(size);
      assertEquals(queue.maxSize, null);
      for (let i = 0; i < 5000; i++) queue.tryPut(i);
      assert(!queue.full);
      assertEquals(queue.size, 5000);
      for (let i = 0; i < 5000; i++) assertEquals(queue.tryGet(), i);
      assert(queue.empty);
    }
  },
);

greenTest("put() and get() do not yield when they can proceed", async () => {
  const queue = new Queue<number>(2);
  let passed = false;
  spawn(() => passed = true);
  await queue.put(1);
  await queue.put(2);
  assertEquals([await queue.get(), await queue.get()], [1, 2]);
  assert(!passed);
  await settle();
});

greenTest("put() and get() serve waiters in order of arrival", async () => {
  const queue = new Queue<string>(1);
  const log = new Log();
  for (const name of ["a", "b", "c"]) log.spawn(name, () => queue.get());
  await settle();
  assertEquals(queue.getting, 3);
  for (const item of ["1", "2", "3"]) queue.tryPut(item);
  await settle();
  log.expect("a 1", "b 2", "c 3");

  for (const name of ["a", "b", "c"]) log.spawn(name, () => queue.put(name));
  await settle();
  log.expect("a");
  assertEquals([queue.putting, queue.full], [2, true]);
  assertEquals(queue.tryGet(), "a");
  await settle();
  log.expect("b");
  assertEquals([queue.tryGet(), queue.tryGet()], ["b", "c"]);
  await settle();
  log.expect("c");
});

greenTest("get() by a newcomer takes nothing from who waits", async () => {
  const queue = new Queue<number>();
  const log = new Log();
  log.spawn("first", () => queue.get());
  await settle();
  queue.tryPut(1);
  assertEquals([queue.size, queue.empty], [0, true]);
  assertThrows(() => queue.tryGet(), QueueEmpty);
  log.spawn("second", () => queue.get({ block: false }));
  await settle();
  log.expect("first 1", "second QueueEmpty");
});

greenTest("put() by a newcomer does not overtake who waits", async () => {
  const queue = new Queue<number>(1);
  queue.tryPut(1);
  const log = new Log();
  log.spawn("waits", () => queue.put(2));
  await settle();
  assertEquals(queue.tryGet(), 1);
  assertThrows(() => queue.tryPut(3), QueueFull);
  assertEquals(queue.tryGet(), 2);
  await settle();
  log.expect("waits");
});

greenTest(
  "get() killed with an item in hand passes it on, in order",
  async () => {
    const queue = new Queue<number>();
    const log = new Log();
    const gts = ["a", "b", "c", "d"].map((name) =>
      log.spawn(name, () => queue.get())
    );
    await settle();
    for (const item of [1, 2, 3]) queue.tryPut(item);
    // Each of a, b, c has its item, and none has gone on yet.
    gts[0]!.throw(new GreenletExit());
    await settle();
    log.expect("a GreenletExit", "b 1", "c 2", "d 3");
  },
);

greenTest(
  "get() killed with an item in hand returns it to the front",
  async () => {
    const queue = new Queue<number>(1);
    const log = new Log();
    const gts = ["a", "b"].map((name) => log.spawn(name, () => queue.get()));
    await settle();
    for (const item of [1, 2, 3]) queue.tryPut(item);
    gts[0]!.throw(new GreenletExit());
    gts[1]!.throw(new GreenletExit());
    assertEquals([queue.size, queue.full], [3, true]);
    assertEquals([queue.tryGet(), queue.tryGet(), queue.tryGet()], [1, 2, 3]);
    await settle();
    log.expect("a GreenletExit", "b GreenletExit");
  },
);

greenTest(
  "get() killed with an item in hand passes it on past another so killed",
  async () => {
    const queue = new Queue<number>();
    const log = new Log();
    const [a, b] = ["a", "b"].map((name) => log.spawn(name, () => queue.get()));
    await settle();
    queue.tryPut(1);
    queue.tryPut(2);
    assertEquals(queue.size, 0);
    b!.throw(new GreenletExit());
    assertEquals(queue.tryGet(), 2);
    // Somebody waits anew, while a has its item and has not gone on.
    const next = queue.get();
    queue.tryPut(3);
    a!.throw(new GreenletExit());
    assertEquals([await next, queue.tryGet()], [1, 3]);
    await settle();
    log.expect("b GreenletExit", "a GreenletExit");
  },
);

greenTest(
  "LifoQueue.get() killed with an item in hand gives it back",
  async () => {
    const queue = new LifoQueue<number>();
    const gt = spawn(() => queue.get());
    await settle();
    for (const item of [1, 2, 3]) queue.tryPut(item);
    gt.throw(new GreenletExit());
    assertEquals([1, 2, 3].map(() => queue.tryGet()), [3, 2, 1]);
    await settle();
  },
);

greenTest("put() killed while it waits puts nothing", async () => {
  const queue = new Queue<number>(1);
  queue.tryPut(1);
  const gts = [2, 3].map((item) => spawn(() => queue.put(item)));
  await settle();
  await gts[0]!.kill();
  assertEquals([queue.tryGet(), queue.tryGet()], [1, 3]);
  assertEquals(queue.unfinishedTasks, 2);
  await gts[1]!.wait();
});

greenTest("Queue(0): the getter goes on before the putter", async () => {
  const channel = new Queue<string>(0);
  const events: string[] = [];
  spawn(async () => {
    events.push(await channel.get());
    events.push(await channel.get());
  });
  events.push("sending");
  await channel.put("hello");
  events.push("sent hello");
  await channel.put("world");
  events.push("sent world");
  assertEquals(
    events,
    ["sending", "hello", "sent hello", "world", "sent world"],
  );
});

greenTest(
  "Queue(0): a getter that waits goes on before the putter",
  async () => {
    const channel = new Queue<string>(0);
    const events: string[] = [];
    spawn(async () => {
      for (const word of ["hello", "world"]) {
        events.push(`sending ${word}`);
        await channel.put(word);
      }
      events.push("sent");
    });
    events.push("waiting", await channel.get(), await channel.get());
    assertEquals(
      events,
      // "waiting" is an argument of the same call as what was got.
      ["sending hello", "sending world", "waiting", "hello", "world"],
    );
    await sleep();
    assertEquals(events.at(-1), "sent");
  },
);

greenTest("Queue(0) is empty and full, and takes nothing unasked", async () => {
  const channel = new Queue<number>(0);
  assertEquals([channel.empty, channel.full, channel.size], [true, true, 0]);
  assertThrows(() => channel.tryPut(1), QueueFull);
  await assertRejects(() => channel.put(1, { block: false }), QueueFull);
  assertThrows(() => channel.tryGet(), QueueEmpty);
  assertEquals(channel.unfinishedTasks, 0);
});

greenTest("Queue(0): tryPut() and tryGet() meet who waits", async () => {
  const channel = new Queue<number>(0);
  const log = new Log();
  log.spawn("get", () => channel.get());
  log.spawn("get too", () => channel.get());
  await settle();
  channel.tryPut(1);
  await channel.put(2, { block: false });
  await settle();
  log.expect("get 1", "get too 2");
  log.spawn("put", () => channel.put(3));
  await settle();
  assertEquals(channel.tryGet(), 3);
  assertEquals(channel.unfinishedTasks, 3);
  await settle();
  log.expect("put");
});

greenTest("tryPut() and tryGet() work in callbacks of timers", async () => {
  const queue = new Queue<number>(1);
  const seen: unknown[] = [];
  getHub().scheduleCallGlobal(0, () => {
    queue.tryPut(1);
    assertThrows(() => queue.tryPut(2), QueueFull);
    seen.push(queue.tryGet());
    assertThrows(() => queue.tryGet(), QueueEmpty);
  });
  const channel = new Queue<number>(0);
  const got = spawn(() => channel.get());
  await settle();
  getHub().scheduleCallGlobal(
    0,
    () => channel.put(7).then(() => seen.push("put")),
  );
  assertEquals(await got.wait(), 7);
  await settle();
  assertEquals(seen, [1, "put"]);
});

greenTest("resize() to more lets in who waits, in order", async () => {
  const queue = new Queue<string>(1);
  const log = new Log();
  for (const name of ["a", "b", "c", "d"]) {
    log.spawn(name, () => queue.put(name));
  }
  await settle();
  log.expect("a");
  queue.resize(3);
  assertEquals([queue.maxSize, queue.size, queue.putting], [3, 3, 1]);
  await settle();
  log.expect("b", "c");
  queue.resize(null);
  await settle();
  log.expect("d");
  assertEquals([queue.size, queue.full], [4, false]);
});

greenTest("resize() of a channel to a queue lets in who waits", async () => {
  const queue = new Queue<number>(0);
  const gt = spawn(() => queue.put(1));
  await settle();
  queue.resize(1);
  await gt.wait();
  assertEquals([queue.size, queue.putting], [1, 0]);
});

greenTest("resize() to less keeps the items", async () => {
  const queue = new Queue<number>(3);
  for (const item of [1, 2, 3]) queue.tryPut(item);
  queue.resize(1);
  const gt = spawn(() => queue.put(4));
  await settle();
  assertEquals([queue.tryGet(), queue.tryGet()], [1, 2]);
  assert(queue.full && !gt.dead);
  assertEquals([queue.tryGet(), queue.tryGet()], [3, 4]);
  await gt.wait();
});

greenTest("LifoQueue gives the newest first, also to who waited", async () => {
  const queue = new LifoQueue<number>();
  for (const item of [1, 2, 3]) queue.tryPut(item);
  assertEquals([1, 2, 3].map(() => queue.tryGet()), [3, 2, 1]);
  const log = new Log();
  for (const name of ["a", "b"]) log.spawn(name, () => queue.get());
  await settle();
  for (const item of [1, 2, 3]) queue.tryPut(item);
  await settle();
  log.expect("a 3", "b 2");
  assertEquals(queue.tryGet(), 1);
});

greenTest("PriorityQueue gives the lowest first, equal ones in order", () => {
  const queue = new PriorityQueue<[number, string]>();
  for (const [at, priority] of [2, 1, 3, 1, 2, 1].entries()) {
    queue.tryPut([priority, `${"abcdef"[at]}`]);
  }
  const order: string[] = [];
  while (!queue.empty) order.push(queue.tryGet()[1]);
  assertEquals(order.join(""), "bdfaec");

  const first = new PriorityQueue<{ at: number; name: string }>(null, {
    compare: (a, b) => a.at - b.at,
  });
  for (const name of "xyz") first.tryPut({ at: 1, name });
  assertEquals("xyz", [1, 2, 3].map(() => first.tryGet().name).join(""));
});

Deno.test("a queue holds on to no item that was taken", async () => {
  const result = await runProgram(
    `
    import { LifoQueue, PriorityQueue, Queue } from "${projectUrl("mod.ts")}";
    const kept = [];
    const queues = [Queue, LifoQueue, PriorityQueue].map((Kind) => {
      const queue = new Kind();
      for (const at of [1, 2, 3]) queue.tryPut([at]);
      kept.push(new WeakRef(queue.tryGet()));
      return queue;
    });
    setTimeout(() => {
      gc();
      console.log(kept.map((one) => one.deref() ?? null), queues.length);
    });
  `,
    { flags: ["--allow-all", "--no-check", "--v8-flags=--expose-gc"] },
  );
  assertEquals(result.stdout, "[ null, null, null ] 3\n", result.stderr);
});

greenTest(
  "PriorityQueue.get() killed with an item in hand returns it before its equals",
  async () => {
    const queue = new PriorityQueue<[number, string]>(null, {
      compare: ([a], [b]) => a - b,
    });
    const gt = spawn(() => queue.get());
    const ended = failure(gt.wait());
    await settle();
    for (const name of ["first", "second"]) queue.tryPut([1, name]);
    gt.throw(new GreenletExit());
    const names = [queue.tryGet(), queue.tryGet()].map(([, name]) => name);
    assertEquals(names, ["first", "second"]);
    assert(await ended instanceof GreenletExit);
  },
);

greenTest("PriorityQueue gives the lowest first to who waited", async () => {
  const queue = new PriorityQueue<number>();
  const log = new Log();
  for (const name of ["a", "b"]) log.spawn(name, () => queue.get());
  await settle();
  for (const item of [3, 1, 2]) queue.tryPut(item);
  await settle();
  log.expect("a 1", "b 2");
  assertEquals(queue.tryGet(), 3);
});

greenTest(
  "PriorityQueue.put() puts nothing when its comparison throws",
  async () => {
    const queue = new PriorityQueue<unknown>();
    const boom = { valueOf: () => assert(false, "boom") };
    for (const item of [5, 1, 3]) queue.tryPut(item);
    for (const item of [boom, Symbol("s"), NaN, "a", undefined]) {
      await failure(queue.put(item));
      assertThrows(() => queue.tryPut(item));
    }
    assertEquals([queue.size, queue.unfinishedTasks], [3, 3]);
    assertEquals([1, 2, 3].map(() => queue.tryGet()), [1, 3, 5]);
  },
);

greenTest(
  "PriorityQueue.put() that waits gets its own comparison's error",
  async () => {
    const queue = new PriorityQueue<unknown>(2);
    queue.tryPut(1);
    queue.tryPut(2);
    const log = new Log();
    log.spawn("bad", () => queue.put(Symbol("s")));
    log.spawn("good", () => queue.put(0));
    await settle();
    assertEquals(queue.tryGet(), 1);
    await settle();
    log.expect("bad TypeError", "good");
    assertEquals([queue.tryGet(), queue.tryGet()], [0, 2]);
    assertEquals(queue.unfinishedTasks, 3);
  },
);

greenTest(
  "PriorityQueue.get() loses nothing when its comparison throws",
  async () => {
    let broken = false;
    const queue = new PriorityQueue<number>(null, {
      compare: (a, b) => {
        if (broken) throw new Error("broken");
        return a - b;
      },
    });
    for (const item of [4, 2, 3, 1]) queue.tryPut(item);
    broken = true;
    assertEquals((await failure(queue.get())).message, "broken");
    broken = false;
    assertEquals([1, 2, 3, 4].map(() => queue.tryGet()), [1, 2, 3, 4]);
  },
);

greenTest("join() resolves when all that was put is done", async () => {
  const queue = new Queue<number>();
  await queue.join();
  queue.tryPut(1);
  queue.tryPut(2);
  const log = new Log();
  log.spawn("join", () => queue.join());
  log.spawn("join too", () => queue.join());
  await settle();
  assertEquals([queue.tryGet(), queue.tryGet()], [1, 2]);
  queue.taskDone();
  await settle();
  log.expect();
  queue.taskDone();
  queue.tryPut(3);
  await settle();
  log.expect("join", "join too");
  log.spawn("again", () => queue.join());
  await settle();
  log.expect();
  queue.taskDone();
  await settle();
  log.expect("again");
});

greenTest("taskDone() more often than items were put is a RangeError", () => {
  const queue = new Queue<number>();
  assertThrows(() => queue.taskDone(), RangeError);
  queue.tryPut(1);
  queue.taskDone();
  assertThrows(() => queue.taskDone(), RangeError);
  assertEquals(queue.unfinishedTasks, 0);
});

greenTest("Queue: a pair of put and get does not starve others", async () => {
  const queue = new Queue<number>(0);
  let stop = false;
  const echo = spawn(async () => {
    while (!stop) await queue.put(await queue.get());
  });
  const other = spawn(async () => {
    while (!stop) {
      await queue.put(1);
      await queue.get();
    }
  });
  // A timer of Deno's own and one of the hub's both get their turn.
  await new Promise((resolve) => setTimeout(resolve, 1));
  await sleep(1);
  stop = true;
  await settle();
  await echo.kill();
  await other.kill();
});

greenTest("Queue: who always finds something starves nobody", async (rig) => {
  const queue = new Queue<number>();
  queue.tryPut(1);
  const step = async () => await queue.put(await queue.get());
  await assertStarvesNobody(rig, step);
  assertEquals([queue.size, queue.getting, queue.tryGet()], [1, 0, 1]);
});

greenTest("Queue: who always finds room starves nobody", async (rig) => {
  const queue = new LightQueue<number>();
  await assertStarvesNobody(rig, async () => {
    await queue.put(1);
    queue.tryGet();
  });
  assertEquals([queue.size, queue.putting], [0, 0]);
});

greenTest("Queue: 900 gets in a row are no switch point", async () => {
  const queue = new Queue<number>();
  for (let i = 0; i < 900; i++) queue.tryPut(i);
  let ran = false;
  spawn(() => ran = true);
  for (let i = 0; i < 900; i++) assertEquals(await queue.get(), i);
  assert(!ran);
});

for (const Kind of [LightQueue, PriorityQueue, LifoQueue]) {
  greenTest(
    `${Kind.name}: a get killed in its turn loses nothing`,
    async () => {
      const queue = new Kind<number>();
      for (let i = 0; i < 2000; i++) queue.tryPut(i);
      const got: number[] = [];
      const hog = spawn(async () => {
        for (;;) got.push(await queue.get());
      });
      // It goes by the hub in the midst of it: then it is killed.
      await sleep();
      assert(got.length < 2000, `${got.length}`);
      await hog.kill();
      assertEquals(got.length + queue.size, 2000);
      while (!queue.empty) got.push(queue.tryGet());
      assertEquals(got.toSorted((a, b) => a - b)[1999], 1999);
      assertEquals(new Set(got).size, 2000);
    },
  );
}

greenTest("LightQueue has no join(), and keeps what is undefined", async () => {
  const queue = new LightQueue<undefined>();
  assert(!("join" in queue));
  queue.tryPut(undefined);
  assertEquals(await queue.get(), undefined);
  const gt = spawn(() => queue.get());
  await settle();
  queue.tryPut(undefined);
  assertEquals(await gt.wait(), undefined);
});
