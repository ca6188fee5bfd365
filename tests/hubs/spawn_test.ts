/** spawn and its kin, sleep, kill and cancel: order above all. */

import {
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import {
  BaseHub,
  getCurrent,
  getHub,
  GreenletExit,
  GreenThread,
  HubError,
  kill,
  sleep,
  spawn,
  spawnAfter,
  spawnAfterLocal,
  spawnN,
  trampoline,
  useHub,
} from "../../mod.ts";
import { failure, never } from "../../hubs/conformance/rig.ts";
import { hubTest } from "./hub_test_case.ts";

hubTest("spawn() runs nothing before it returns, then FIFO", async () => {
  const order: string[] = [];
  const gts = ["a", "b", "c"].map((name) => spawn(() => order.push(name)));
  spawnN(() => order.push("n"));
  gts.push(spawnAfter(0, () => order.push("after")));
  order.push("main");
  await sleep();
  assertEquals(order, ["main", "a", "b", "c", "n", "after"]);
});

hubTest("spawn() never yields", () => {
  const order: number[] = [];
  for (let i = 0; i < 1000; i++) spawn(() => order.push(i));
  assertEquals(order, []);
  assertEquals(getHub().running, false);
});

hubTest("spawn() inside a greenthread starts in the next pass", async () => {
  const passes: number[] = [];
  const note = (): unknown => passes.push(getHub().statistics().passes);
  const outer = spawn(() => {
    note();
    return spawn(note);
  });
  await (await outer.wait()).wait();
  assertEquals(passes.length, 2);
  assertEquals(passes[1], passes[0]! + 1);
});

hubTest(
  "spawn() takes synchronous and asynchronous functions and thenables",
  async () => {
    assertEquals(await spawn(() => 1).wait(), 1);
    assertEquals(await spawn(() => Promise.resolve(2)).wait(), 2);
    const thenable = {
      then(resolve: (value: number) => void) {
        resolve(3);
      },
    };
    assertEquals(await spawn(() => thenable as PromiseLike<number>).wait(), 3);
  },
);

hubTest(
  "spawn() keeps the caller's async context but not its identity",
  async () => {
    const { AsyncLocalStorage } = await import("node:async_hooks");
    const storage = new AsyncLocalStorage<string>();
    const seen = await storage.run("mine", () => {
      const gt: GreenThread<unknown[]> = spawn(async () => {
        const before = storage.getStore();
        await sleep();
        return [before, storage.getStore(), getCurrent() === gt];
      });
      return gt;
    }).wait();
    assertEquals(seen, ["mine", "mine", true]);
  },
);

hubTest("spawnAfter() waits its time, on the hub's clock", async (rig) => {
  let now = 0;
  getHub().clock = () => now;
  const order: string[] = [];
  spawnAfter(20, (x: string) => order.push(x), "20");
  spawnAfter(10, (x: string) => order.push(x), "10");
  spawnAfterLocal(10, (x: string) => order.push(x), "10 local");
  now = 9.99;
  await rig.passes(2);
  assertEquals(order, []);
  now = 20;
  await rig.passes(2);
  assertEquals(order, ["10", "10 local", "20"]);
});

hubTest("spawnAfter() refuses wrong delays", () => {
  assertThrows(() => spawnAfter(NaN, never), RangeError);
  assertThrows(() => spawnAfter("1" as never, never), TypeError);
  assertThrows(() => spawnAfterLocal(NaN, never), RangeError);
  assertThrows(() => spawnAfter(1, null as never), TypeError);
  assertEquals(getHub().getTimersCount(), 0);
});

hubTest(
  "sleep() resolves to nothing and refuses what is no delay",
  async () => {
    assertEquals(await sleep(), undefined);
    assertEquals(await sleep(0.5), undefined);
    assertEquals(await sleep(-5), undefined);
    await assertRejects(() => sleep(NaN), RangeError);
    await assertRejects(() => sleep("1" as never), TypeError);
    assertEquals(getHub().getTimersCount(), 0);
  },
);

hubTest("sleep(0): main and greenthreads take turns", async () => {
  const order: string[] = [];
  const gt = spawn(async () => {
    for (let i = 0; i < 3; i++) {
      order.push(`g${i}`);
      await sleep();
    }
  });
  for (let i = 0; i < 3; i++) {
    order.push(`m${i}`);
    await sleep();
  }
  await gt.wait();
  assertEquals(order.join(" "), "m0 g0 m1 g1 m2 g2");
});

hubTest("sleep() of different lengths wakes in order of time", async (rig) => {
  let now = 0;
  getHub().clock = () => now;
  const order: number[] = [];
  for (const ms of [30, 10, 20, 10]) {
    spawn(async () => {
      await sleep(ms);
      order.push(ms);
    });
  }
  await sleep();
  now = 30;
  await rig.passes(2);
  assertEquals(order, [10, 10, 20, 30]);
});

hubTest(
  "kill(): victim's cleanup, links, what was scheduled, then the killer",
  async () => {
    const order: string[] = [];
    const victim = spawn(async () => {
      try {
        await sleep(60_000);
      } finally {
        order.push("cleanup");
      }
    });
    victim.link(() => order.push("link"));
    await sleep();
    spawn(() => order.push("other"));
    await kill(victim);
    order.push("killer");
    assertEquals(order, ["cleanup", "link", "other", "killer"]);
    assertInstanceOf(await failure(victim.wait()), GreenletExit);
  },
);

hubTest("kill(): a cleanup many awaits deep still comes first", async () => {
  const order: string[] = [];
  const deep = async (depth: number): Promise<void> => {
    try {
      if (depth === 0) await sleep(60_000);
      else await deep(depth - 1);
    } finally {
      order.push(`cleanup ${depth}`);
    }
  };
  const victim = spawn(deep, 200);
  await sleep();
  await kill(victim);
  order.push("killer");
  assertEquals(order.length, 202);
  assertEquals(order.at(-1), "killer");
  assertEquals(victim.dead, true);
});

hubTest("kill() of one that catches and goes on", async () => {
  const victim = spawn(async () => {
    const error = await failure(sleep(60_000));
    await getHub().switch();
    return error.name;
  });
  await sleep();
  await kill(victim);
  assertEquals(victim.dead, false);
  victim.switch();
  assertEquals(await victim.wait(), "GreenletExit");
});

hubTest("kill() delivers the very error that is given", async () => {
  const boom = new Error("boom");
  const victim = spawn(() => sleep(60_000));
  const ended = spawn(() => failure(victim.wait()));
  await sleep();
  await kill(victim, boom);
  assertStrictEquals(await ended.wait(), boom);
});

hubTest("kill() of an uncaught error is reported once", async (rig) => {
  const victim = spawn(() => sleep(60_000));
  await sleep();
  await kill(victim, new Error("boom"));
  await rig.passes(2);
  assertEquals(rig.takeReports().length, 1);
});

hubTest("kill() of a dead one resolves without yielding", async () => {
  const gt = spawn(() => 5);
  await gt.wait();
  const { passes } = getHub().statistics();
  await kill(gt);
  await gt.kill();
  assertEquals(getHub().statistics().passes, passes);
  assertEquals(await gt.wait(), 5);
});

hubTest("kill() of one that has not started: it never runs", async () => {
  const order: string[] = [];
  spawn(() => order.push("before"));
  const gt = spawn(never);
  gt.link(() => order.push("link"));
  const killed = kill(gt);
  order.push("killer");
  await killed;
  order.push("later");
  assertEquals(order, ["link", "killer", "before", "later"]);
  assertEquals(gt.dead, true);
  assertInstanceOf(await failure(gt.wait()), GreenletExit);
  const boom = new Error("boom");
  const other = spawn(never);
  const ended = failure(other.wait());
  await kill(other, boom);
  assertStrictEquals(await ended, boom);
  await sleep();
});

hubTest("kill() before MAINLOOP ever ran", async () => {
  const gt = spawn(never);
  assertEquals(getHub().running, false);
  await kill(gt);
  assertEquals(gt.dead, true);
});

hubTest(
  "kill() of one in an ordinary await resolves in the next pass",
  async () => {
    const plain = Promise.withResolvers<void>();
    const victim = spawn(async () => {
      await plain.promise;
      await sleep();
      return never();
    });
    await sleep();
    const before = getHub().statistics().passes;
    await kill(victim);
    assertEquals(getHub().statistics().passes - before <= 2, true);
    assertEquals(victim.dead, false);
    plain.resolve();
    assertInstanceOf(await failure(victim.wait()), GreenletExit);
  },
);

hubTest(
  "kill() of oneself rejects at once and leaves no stale resume",
  async (rig) => {
    const gt = spawn(async () => {
      const error = await failure(kill(getCurrent()));
      const start = getHub().clock();
      await sleep(3);
      return [error.name, getHub().clock() - start >= 3];
    });
    assertEquals(await gt.wait(), ["GreenletExit", true]);
    rig.assertIdle();
  },
);

hubTest("kill() from MAINLOOP throws directly", async () => {
  const victim = spawn(() => sleep(60_000));
  await sleep();
  const killed = Promise.withResolvers<void>();
  getHub().scheduleCallGlobal(0, () => killed.resolve(kill(victim)));
  await killed.promise;
  await sleep();
  assertEquals(victim.dead, true);
});

hubTest(
  "kill() from a callback of MAINLOOP resolves once the victim has unwound",
  async () => {
    const victim = spawn(async () => {
      try {
        await sleep(60_000);
      } finally {
        for (let i = 0; i < 5; i++) await null;
      }
    });
    await sleep();
    const dead = Promise.withResolvers<boolean>();
    getHub().scheduleCallGlobal(0, async () => {
      await kill(victim);
      dead.resolve(victim.dead);
    });
    assertEquals(await dead.promise, true);
  },
);

hubTest(
  "kill() from a callback of MAINLOOP resolves if the hub stops first",
  async () => {
    const victim = spawn(() => sleep(60_000));
    await sleep();
    const killed = Promise.withResolvers<void>();
    getHub().scheduleCallGlobal(0, () => {
      getHub().abort();
      killed.resolve(kill(victim));
    });
    await killed.promise;
    assertEquals(victim.dead, true);
  },
);

hubTest(
  "kill() from an event handler of the victim's own interrupts it",
  async () => {
    const killed = Promise.withResolvers<boolean>();
    const victim = spawn(async () => {
      const me = getCurrent();
      setTimeout(async () => {
        assertStrictEquals(getCurrent(), me);
        await kill(me);
        killed.resolve(me.dead);
      }, 0);
      await sleep(60_000);
    });
    assertInstanceOf(await failure(victim.wait()), GreenletExit);
    assertEquals(await killed.promise, true);
  },
);

hubTest("kill() where no hub can be made kills all the same", async () => {
  const victim = spawn(() => sleep(60_000));
  await sleep();
  const boom = new Error("boom");
  const broken = (): never => {
    throw boom;
  };
  useHub(
    class extends BaseHub {
      constructor() {
        super(broken());
      }
    },
  );
  try {
    const other = new GreenThread(() => sleep(60_000));
    await kill(other);
    assertEquals(other.dead, true);
    assertStrictEquals(await failure(kill(victim)), boom);
    assertInstanceOf(await failure(kill(getCurrent())), GreenletExit);
  } finally {
    useHub(null);
  }
  assertInstanceOf(await failure(victim.wait()), GreenletExit);
});

hubTest("kill() of main reaches main's wait", async () => {
  const main = getCurrent();
  const boom = new Error("boom");
  spawn(() => kill(main, boom));
  assertStrictEquals(await failure(sleep(60_000)), boom);
  assertEquals(main.dead, false);
  assertEquals(getHub().getTimersCount(), 0);
});

hubTest("kill() of a killer that waits for its victim", async () => {
  const victim = spawn(async () => {
    try {
      await sleep(60_000);
    } finally {
      await getHub().switch();
    }
  });
  const killer = spawn(() => kill(victim));
  await killer.wait();
  assertEquals(victim.dead, false);
  victim.switch();
  assertInstanceOf(await failure(victim.wait()), GreenletExit);
});

hubTest("two that kill each other both end", async () => {
  const gts = [0, 1].map((i) =>
    spawn(async () => {
      await sleep(1);
      await kill(gts[1 - i]!);
    })
  );
  const results = await Promise.allSettled(gts.map((gt) => gt.wait()));
  assertEquals(gts.map((gt) => gt.dead), [true, true]);
  assertEquals(results.length, 2);
});

hubTest("GreenThread.cancel() kills only what has not started", async () => {
  const unstarted = spawn(never);
  unstarted.cancel();
  assertEquals(unstarted.dead, true);
  assertInstanceOf(await failure(unstarted.wait()), GreenletExit);
  const started = spawn(async () => {
    await sleep(1);
    return "went on";
  });
  await sleep();
  started.cancel();
  assertEquals(await started.wait(), "went on");
  started.cancel();
  assertEquals(await started.wait(), "went on");
  const later = spawnAfter(60_000, never);
  later.cancel();
  assertEquals(getHub().getTimersCount(), 0);
  assertEquals(later.dead, true);
});

hubTest("GreenThread.kill() undoes a wait for another", async () => {
  const other = spawn(() => getHub().switch());
  const waiter = spawn(() => other.wait());
  await sleep();
  await waiter.kill();
  assertInstanceOf(await failure(waiter.wait()), GreenletExit);
  other.switch();
  await other.wait();
});

hubTest("kill() leaves no listener and no timer in any state", async (rig) => {
  const [a] = rig.socketpair();
  rig.fill(a);
  const states = [
    () => sleep(60_000),
    () => trampoline(a, { read: true, timeout: 60_000 }),
    () =>
      trampoline(a, {
        write: true,
        signal: AbortSignal.any([]),
      }),
    () => getHub().switch(),
    () => Promise.all([sleep(60_000), sleep(50_000)]),
  ];
  const gts = states.map((state) => spawn<[], unknown>(state));
  await sleep();
  for (const gt of gts) await kill(gt);
  for (const gt of gts) {
    assertInstanceOf(await failure(gt.wait()), GreenletExit);
  }
  rig.assertIdle();
});

hubTest("waiting inside a link that MAINLOOP runs fails fast", async (rig) => {
  const errors: unknown[] = [];
  const gt = spawnAfter(60_000, never);
  gt.link(() => sleep(5).catch((error) => errors.push(error)));
  getHub().scheduleCallGlobal(0, () => gt.cancel());
  await rig.passes(3);
  assertInstanceOf(errors[0], HubError);
  rig.assertIdle();
});
