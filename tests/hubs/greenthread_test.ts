/** Greenthreads from birth to death: results, errors, links, identity. */

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertMatch,
  assertNotEquals,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import {
  getCurrent,
  getHub,
  GreenletExit,
  GreenThread,
  HubError,
  kill,
  sleep,
  spawn,
  spawnN,
  Timeout,
  trampoline,
} from "../../mod.ts";
import { hubExceptions } from "../../hubs/debug.ts";
import { failure, never } from "../../hubs/conformance/rig.ts";
import { hubTest } from "./hub_test_case.ts";

const macrotask = (): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, 0));

hubTest(
  "GreenThread.wait() resolves to the result, now and later",
  async () => {
    const gt = spawn((a: number, b: string) => a + b, 1, "x");
    assertEquals(await gt.wait(), "1x");
    assertEquals(await gt.wait(), "1x");
    const slow = spawn(async () => {
      await sleep(1);
      return "slow";
    });
    assertEquals(await Promise.all([slow.wait(), slow.wait()]), [
      "slow",
      "slow",
    ]);
  },
);

hubTest("GreenThread.wait() of a dead one does not yield", async () => {
  const gt = spawn(() => 1);
  await gt.wait();
  const { passes } = getHub().statistics();
  for (let i = 0; i < 5; i++) await gt.wait();
  assertEquals(getHub().statistics().passes, passes);
});

hubTest(
  "GreenThread.wait() rejects with the very error, every time",
  async () => {
    const boom = new Error("boom");
    const gt = spawn(async () => {
      await sleep();
      throw boom;
    });
    const early = [failure(gt.wait()), failure(gt.wait())];
    for (const error of await Promise.all(early)) {
      assertStrictEquals(
        error,
        boom,
      );
    }
    assertStrictEquals(await failure(gt.wait()), boom);
  },
);

hubTest(
  "GreenThread.wait() wakes its waiters in order of arrival",
  async () => {
    const gt = spawn(() => sleep(1));
    const order: number[] = [];
    const waiters = [0, 1, 2, 3].map((i) =>
      spawn(async () => {
        await gt.wait();
        order.push(i);
      })
    );
    for (const waiter of waiters) await waiter.wait();
    assertEquals(order, [0, 1, 2, 3]);
  },
);

hubTest("GreenThread.wait() on oneself rejects with HubError", async () => {
  const gt: GreenThread<void> = spawn(() => gt.wait());
  const error = await failure(gt.wait());
  assertInstanceOf(error, HubError);
});

hubTest(
  "GreenThread.wait(): killing one waiter disturbs no other",
  async () => {
    const gt = spawn(() => getHub().switch());
    const waiters = [0, 1, 2].map(() => spawn(() => gt.wait()));
    await sleep();
    await kill(waiters[1]!);
    gt.switch("value");
    assertEquals(await waiters[0]!.wait(), "value");
    assertEquals(await waiters[2]!.wait(), "value");
    assertInstanceOf(await failure(waiters[1]!.wait()), GreenletExit);
    assertEquals(gt.dead, true);
  },
);

hubTest("GreenThread.dead is true only after the end", async () => {
  const gt = spawn(() => sleep());
  assertEquals(gt.dead, false);
  await sleep();
  assertEquals(gt.dead, false);
  await gt.wait();
  assertEquals(gt.dead, true);
  assertEquals(getCurrent().dead, false);
});

hubTest("GreenThread has an id, a name and a text", async () => {
  const gt = spawn(function worker() {});
  const other = spawn(() => {});
  assertEquals(String(gt), `GreenThread ${gt.id} (worker)`);
  assertNotEquals(gt.id, other.id);
  assertMatch(String(other), /^GreenThread \d+ \(\S.*\)$/);
  await other.wait();
});

hubTest("an uncaught error is reported once when nobody waits", async (rig) => {
  const boom = new Error("boom");
  const gt = spawn(() => {
    throw boom;
  });
  await rig.passes(3);
  const reports = rig.takeReports();
  assertEquals(reports.length, 1);
  assertMatch(reports[0]!, /boom/);
  // A later waiter gets it all the same, and nothing is reported again.
  assertStrictEquals(await failure(gt.wait()), boom);
  await rig.passes(2);
  assertEquals(rig.takeReports(), []);
});

hubTest(
  "an uncaught error that somebody waits for is not reported",
  async (rig) => {
    const gt = spawn(async () => {
      await sleep();
      throw new Error("boom");
    });
    await failure(gt.wait());
    await rig.passes(2);
    assertEquals(rig.takeReports(), []);
  },
);

hubTest(
  "an uncaught error is reported if the only waiter was killed",
  async (rig) => {
    const gt = spawn(async () => {
      await getHub().switch();
      throw new Error("boom");
    });
    const waiter = spawn(() => gt.wait());
    await sleep();
    await kill(waiter);
    gt.switch();
    await rig.passes(2);
    assertEquals(gt.dead, true);
    assertEquals(rig.takeReports().length, 1);
  },
);

hubTest(
  "spawnN() errors are reported, and hubExceptions(false) is silence",
  async (rig) => {
    const boom = (): never => {
      throw new Error("boom");
    };
    assertEquals(spawnN(boom), undefined);
    await rig.passes(2);
    assertEquals(rig.takeReports().length, 1);
    hubExceptions(false);
    spawnN(boom);
    await rig.passes(2);
    hubExceptions(true);
    assertEquals(rig.takeReports(), []);
  },
);

hubTest("GreenletExit ends a greenthread without a report", async (rig) => {
  const gt = spawn(() => {
    throw new GreenletExit();
  });
  await rig.passes(2);
  assertEquals(gt.dead, true);
  assertInstanceOf(await failure(gt.wait()), GreenletExit);
});

hubTest("GreenThread.link() calls in order, before the waiters", async () => {
  const order: unknown[] = [];
  const gt = spawn(async () => {
    await sleep();
    order.push("end");
    return 7;
  });
  gt.link(
    (dead, ...args) => {
      assertEquals(dead.dead, true);
      order.push(["first", dead === gt, ...args]);
    },
    1,
    2,
  );
  gt.link(() => order.push("second"));
  const waiter = spawn(async () => {
    await gt.wait();
    order.push("waiter");
  });
  await waiter.wait();
  assertEquals(order, ["end", ["first", true, 1, 2], "second", "waiter"]);
});

hubTest(
  "GreenThread.link(): what links bring about comes after the waiters",
  async () => {
    const order: string[] = [];
    const gt = spawn(() => sleep());
    gt.link(() => spawn(() => order.push("spawned by a link")));
    await gt.wait();
    order.push("waiter");
    await sleep();
    assertEquals(order, ["waiter", "spawned by a link"]);
  },
);

hubTest("GreenThread.link() of a dead one calls at once", async () => {
  const gt = spawn(() => 1);
  await gt.wait();
  const calls: unknown[] = [];
  gt.link((dead, arg) => calls.push(dead === gt, arg), "x");
  assertEquals(calls, [true, "x"]);
});

hubTest(
  "GreenThread.link() inside a link is run by the same loop",
  async () => {
    const order: string[] = [];
    const gt = spawn(() => {});
    gt.link(() => {
      gt.link(() => order.push("inner"));
      order.push("outer");
    });
    gt.link(() => order.push("last"));
    await gt.wait();
    assertEquals(order, ["outer", "last", "inner"]);
  },
);

hubTest(
  "GreenThread.link(): one that throws is reported, the rest run",
  async (rig) => {
    const order: string[] = [];
    const gt = spawn(() => "result");
    gt.link(() => {
      throw new Error("in link");
    });
    gt.link(() => order.push("second"));
    // deno-lint-ignore require-await
    gt.link(async () => {
      throw new Error("in async link");
    });
    gt.link(() => order.push("last"));
    assertEquals(await gt.wait(), "result");
    assertEquals(order, ["second", "last"]);
    await rig.passes(1);
    const reports = rig.takeReports();
    assertEquals(reports.length, 2);
    assertMatch(reports.join(), /in link[^]*in async link/);
    assertThrows(() => gt.link(5 as never), TypeError);
  },
);

hubTest(
  "GreenThread.unlink() needs the same function and arguments",
  async () => {
    const gt = spawn(() => {});
    assertEquals(gt.unlink(never), false);
    gt.link(never, 1);
    assertEquals(gt.unlink(never), false);
    assertEquals(gt.unlink(never, 2), false);
    assertEquals(gt.unlink(never, 1), true);
    assertEquals(gt.unlink(never, 1), false);
    await gt.wait();
  },
);

hubTest("GreenThread.throw() breaks off every wait, now", async (rig) => {
  const [reader] = rig.pipe();
  const boom = new Error("boom");
  const gt = spawn(async () => {
    const results = await Promise.allSettled([
      sleep(60_000),
      trampoline(reader, { read: true }),
      getHub().switch(),
    ]);
    return results.map((result) =>
      (result as PromiseRejectedResult).reason === boom
    );
  });
  await sleep();
  assertEquals(gt.throw(boom), undefined);
  rig.assertIdle();
  assertEquals(await gt.wait(), [true, true, true]);
  gt.throw(boom);
});

hubTest(
  "GreenThread.throw() of one in an ordinary await comes at its next wait",
  async () => {
    const plain = Promise.withResolvers<string>();
    const boom = new Error("boom");
    const gt = spawn(async () => {
      const value = await plain.promise;
      const error = await failure(sleep());
      await sleep();
      return [value, error === boom];
    });
    await sleep();
    gt.throw(boom);
    await sleep();
    plain.resolve("plain");
    assertEquals(await gt.wait(), ["plain", true]);
  },
);

hubTest("GreenThread.throw() ends one that has not started", async () => {
  const boom = new Error("boom");
  const gt = spawn(never);
  const ended = failure(gt.wait());
  gt.throw(boom);
  assertStrictEquals(await ended, boom);
  assertEquals(gt.dead, true);
});

hubTest("getCurrent() is right across any await", async () => {
  const main = getCurrent();
  assertInstanceOf(main, GreenThread);
  assertEquals(main.dead, false);
  const checks = async (me: GreenThread): Promise<void> => {
    const same = (): void => assertStrictEquals(getCurrent(), me);
    same();
    await null;
    same();
    await sleep();
    same();
    await macrotask();
    same();
    await new Promise<void>((resolve) => {
      setTimeout(() => {
        same();
        resolve();
      }, 1);
    });
    same();
    await Promise.all([
      sleep(1),
      macrotask(),
      (async () => {
        await sleep();
        same();
      })(),
    ]);
    same();
    queueMicrotask(same);
    for await (const _ of [sleep(), sleep()]) same();
    await crypto.subtle.digest("SHA-256", new Uint8Array(8));
    same();
  };
  const all: GreenThread<void>[] = [0, 1, 2].map(() =>
    spawn(() => checks(getCurrent()))
  );
  await checks(main);
  for (const gt of all) await gt.wait();
  const inner = await spawn(() => {
    const mine = getCurrent();
    const child = spawn(() => getCurrent());
    return child.wait().then((other) => [mine, other, child] as const);
  }).wait();
  assertNotEquals(inner[0], inner[1]);
  assertStrictEquals<unknown>(inner[1], inner[2]);
});

hubTest("getCurrent() is right across a fetch", async () => {
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    () => new Response("x", { headers: { connection: "close" } }),
  );
  const client = Deno.createHttpClient({ poolMaxIdlePerHost: 0 });
  const url = `http://127.0.0.1:${server.addr.port}`;
  const all = [0, 1, 2].map(() =>
    spawn(async () => {
      const me = getCurrent();
      const response = await fetch(url, { client });
      assertStrictEquals(getCurrent(), me);
      await response.text();
      assertStrictEquals(getCurrent(), me);
      return me;
    })
  );
  for (const gt of all) assertStrictEquals<unknown>(await gt.wait(), gt);
  client.close();
  await server.shutdown();
});

hubTest("an ordinary await stops only its own greenthread", async () => {
  const plain = Promise.withResolvers<void>();
  const order: string[] = [];
  const stuck = spawn(async () => {
    order.push("stuck");
    await plain.promise;
    order.push("freed");
  });
  const other = spawn(async () => {
    for (let i = 0; i < 3; i++) await sleep();
    order.push("other");
    plain.resolve();
  });
  await other.wait();
  await stuck.wait();
  assertEquals(order, ["stuck", "other", "freed"]);
});

hubTest("at most one resume per suspension", async (rig) => {
  const [reader, writer] = rig.pipe();
  const hub = getHub();
  let resumes = 0;
  const gt = spawn(async () => {
    await hub.switch();
    resumes++;
    await failure(sleep(60_000));
    resumes++;
  });
  await sleep();
  gt.switch();
  assertThrows(() => gt.switch(), HubError);
  await rig.passes(3);
  assertEquals(resumes, 1);
  await kill(gt, new Error("enough"));
  await gt.wait();
  assertEquals(resumes, 2);
  // Ready and killed in the same pass: one of them wins, once.
  const outcomes: string[] = [];
  const raced = spawn(async () => {
    try {
      await trampoline(reader, { read: true });
      outcomes.push("ready");
    } catch {
      outcomes.push("killed");
    }
  });
  await sleep();
  rig.write(writer);
  void kill(raced);
  await rig.passes(3);
  assertEquals(outcomes, ["killed"]);
  rig.assertIdle();
});

hubTest("100,000 greenthreads at once", async () => {
  let done = 0;
  for (let i = 0; i < 100_000; i++) {
    spawnN(async () => {
      await sleep();
      done++;
    });
  }
  const last = spawn(() => sleep());
  await last.wait();
  assertEquals(done, 100_000);
});

hubTest("100,000 greenthreads parked at once, by timers", async () => {
  const gts = Array.from({ length: 100_000 }, () => spawn(() => sleep(20)));
  await sleep();
  assertEquals(getHub().getTimersCount(), 100_000);
  await gts.at(-1)!.wait();
  await sleep();
  assert(gts.every((gt) => gt.dead));
  assertEquals(getHub().getTimersCount(), 0);
});

hubTest("GreenThread is refused what is no function", async () => {
  for (const bad of [undefined, null, 5, "f", {}]) {
    assertThrows(() => spawn(bad as never), TypeError);
    assertThrows(() => spawnN(bad as never), TypeError);
  }
  await assertRejects(() => kill({} as never), TypeError);
});

hubTest("a Timeout rejects every wait that is pending", async (rig) => {
  const [reader] = rig.pipe();
  const gt = spawn(async () => {
    using limit = new Timeout(1);
    const results = await Promise.allSettled([
      sleep(60_000),
      trampoline(reader, { read: true }),
      getHub().switch(),
    ]);
    return results.map((result) =>
      (result as PromiseRejectedResult).reason === limit
    );
  });
  assertEquals(await gt.wait(), [true, true, true]);
  rig.assertIdle();
});

hubTest(
  "GreenThread.switch() of one that has not started or is dead",
  async () => {
    const gt = spawn(() => {});
    assertThrows(() => gt.switch(), HubError);
    await gt.wait();
    assertThrows(() => gt.switch(), HubError);
  },
);

hubTest(
  "a wait that is awaited later is no unhandled rejection on kill",
  async (rig) => {
    const [a] = rig.socketpair();
    const boom = new Error("boom");
    const gt = spawn(async () => {
      const later = trampoline(a, { read: true });
      const other = sleep(60_000);
      const first = await failure(sleep(50_000));
      // A turn of Deno's loop in between: it would have ended the process.
      await macrotask();
      const rest = [await failure(later), await failure(other)];
      return [first, ...rest].every((error) => error === boom);
    });
    await sleep();
    await kill(gt, boom);
    assertEquals(await gt.wait(), true);
    rig.assertIdle();
  },
);

hubTest(
  "GreenThread.wait() awaited after the failure is no unhandled rejection",
  async () => {
    const boom = new Error("boom");
    const slow = spawn(() => sleep(1));
    const gt = spawn(async () => {
      await sleep();
      throw boom;
    });
    const later = gt.wait();
    await slow.wait();
    // A turn of Deno's loop in between: it would have ended the process.
    await macrotask();
    assertStrictEquals(await failure(later), boom);
    const again = gt.wait();
    await macrotask();
    assertStrictEquals(await failure(again), boom);
  },
);

hubTest(
  "whoever is hundreds of awaits deep costs no turn of Deno's loop",
  async () => {
    let quick = 0;
    // It may be time for a turn in any case: not every time.
    for (let round = 0; round < 20; round++) {
      const order: string[] = [];
      const deep = spawn(async () => {
        await sleep();
        setImmediate(() => order.push("turn"));
        for (let i = 0; i < 200; i++) await null;
        order.push("deep");
        await sleep();
      });
      const next = spawn(async () => {
        await sleep();
        order.push("next");
      });
      for (const gt of [deep, next]) await gt.wait();
      while (order.length < 3) await macrotask();
      assert(order.indexOf("deep") < order.indexOf("next"));
      if (order[2] === "turn") quick++;
    }
    assert(quick > 0);
  },
);

hubTest(
  "whoever is off in an ordinary await is waited for no longer than a turn",
  async () => {
    let done = false;
    const off = spawn(async () => {
      await sleep();
      await new Promise((resolve) => setTimeout(resolve, 50));
      done = true;
    });
    await sleep();
    await sleep();
    await sleep();
    assertEquals(done, false);
    await off.wait();
    assertEquals(done, true);
  },
);
