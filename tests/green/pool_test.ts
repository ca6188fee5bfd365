/** GreenPool: slots, whoever holds and whoever waits for them. */

import {
  assert,
  assertEquals,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import {
  getHub,
  GreenEvent,
  GreenletExit,
  GreenPile,
  GreenPool,
  type GreenThread,
  HubError,
  kill,
  sleep,
  spawn,
  Timeout,
} from "../../mod.ts";
import { hubExceptions } from "../../hubs/debug.ts";
import { failure } from "../../hubs/conformance/rig.ts";
import { projectUrl, runProgram } from "../helpers/spawn.ts";
import { greenTest, Log, settle, StoppedClock } from "./helpers.ts";

function counts(pool: GreenPool): number[] {
  return [pool.running, pool.free, pool.waiting];
}

greenTest("GreenPool() refuses a size that is no integer from 0", () => {
  assertThrows(() => new GreenPool(-1), RangeError);
  assertThrows(() => new GreenPool(NaN), RangeError);
  assertThrows(() => new GreenPool("2" as unknown as number), TypeError);
  assertEquals(new GreenPool().size, 1000);
  const pool = new GreenPool(2);
  assertThrows(() => pool.resize(-1), RangeError);
  assertEquals(pool.size, 2);
});

greenTest("GreenPool.spawn() does not yield when there is a slot", async () => {
  const pool = new GreenPool(2);
  let ran = false;
  const gt = await pool.spawn(
    (a: number, b: number) => {
      ran = true;
      return a + b;
    },
    1,
    2,
  );
  assert(!ran);
  assertEquals(counts(pool), [1, 1, 0]);
  assertEquals(await gt.wait(), 3);
  assertEquals(counts(pool), [0, 2, 0]);
});

greenTest(
  "GreenPool.spawn() waits for a slot, first come, first served",
  async () => {
    const pool = new GreenPool(1);
    const log = new Log();
    const ends = [new GreenEvent(), new GreenEvent(), new GreenEvent()];
    for (const [i, end] of ends.entries()) {
      log.spawn(`spawned ${i}`, async () => {
        await pool.spawnN(async () => {
          log.lines.push(`run ${i}`);
          await end.wait();
        });
      });
    }
    await settle();
    log.expect("spawned 0", "run 0");
    assertEquals(counts(pool), [1, 0, 2]);
    ends[0]!.send();
    await settle();
    log.expect("spawned 1", "run 1");
    ends[1]!.send();
    ends[2]!.send();
    await pool.waitAll();
    log.expect("spawned 2", "run 2");
  },
);

greenTest(
  "GreenPool.spawn() broken off leaves the counts and the order",
  async () => {
    const clock = new StoppedClock();
    const pool = new GreenPool(1);
    const end = new GreenEvent();
    await pool.spawnN(() => end.wait());
    const log = new Log();
    const ran: string[] = [];
    const run = (name: string) => pool.spawnN(() => ran.push(name));
    const a = log.spawn("a", () => run("a"));
    log.spawn("b", async () => {
      using timeout = new Timeout(5);
      assert(timeout.pending);
      await run("b");
    });
    log.spawn("c", () => run("c"));
    await settle();
    assertEquals(pool.waiting, 3);
    await kill(a);
    await clock.advance(5);
    assertEquals(counts(pool), [1, 0, 1]);
    end.send();
    await pool.waitAll();
    log.expect("a GreenletExit", "b Timeout", "c");
    assertEquals(ran, ["c"]);
    assertEquals(counts(pool), [0, 1, 0]);
  },
);

greenTest(
  "GreenPool.spawn() killed with a slot in hand passes it on",
  async () => {
    const pool = new GreenPool(1);
    const ran: string[] = [];
    const first = await pool.spawn(() => sleep(60_000));
    const gts = ["a", "b"].map((name) =>
      spawn(() => pool.spawnN(() => ran.push(name)))
    );
    await settle();
    first.throw(new GreenletExit()); // ends a moment later, in this pass
    for (let i = 0; pool.waiting === 2 && i < 50; i++) await Promise.resolve();
    assertEquals(counts(pool), [1, 0, 1]);
    gts[0]!.throw(new GreenletExit());
    await pool.waitAll();
    assertEquals(ran, ["b"]);
    assertEquals(counts(pool), [0, 1, 0]);
  },
);

greenTest(
  "GreenPool: a member killed before it started frees its slot",
  async () => {
    const pool = new GreenPool(1);
    let ran = false;
    const gt = await pool.spawn(() => ran = true);
    await kill(gt);
    assertEquals(pool.running, 0);
    await pool.waitAll();

    await sleep();
    await pool.spawnN(() => ran = true);
    // The hub ends it before it starts.
    await getHub().abort({ wait: true });
    await pool.waitAll();
    assert(!ran);
    assertEquals(counts(pool), [0, 1, 0]);
  },
);

greenTest(
  "GreenPool.spawnN(): an uncaught error is reported once",
  async (rig) => {
    const pool = new GreenPool(2);
    await pool.spawnN(function broken() {
      throw new Error("boom");
    });
    await pool.waitAll();
    const reports = rig.takeReports();
    assertEquals(reports.length, 1);
    assert(reports[0]!.includes("broken") && reports[0]!.includes("boom"));
    hubExceptions(false);
    await pool.spawnN(() => Promise.reject(new Error("silent")));
    await pool.waitAll();
  },
);

greenTest(
  "GreenPool.spawn() refuses what is no function, and keeps its slot",
  async () => {
    const pool = new GreenPool(1);
    assert(
      await failure(pool.spawn(7 as unknown as () => void)) instanceof
        TypeError,
    );
    assertEquals(counts(pool), [0, 1, 0]);
  },
);

greenTest(
  "GreenPool: a member that spawns into the full pool lends its slot",
  async () => {
    const pool = new GreenPool(1);
    const error = new Error("inner");
    let most = 0;
    const gt = await pool.spawn(async () => {
      const good = await pool.spawn((n: number) => {
        most = Math.max(most, pool.running);
        return n + 1;
      }, 1);
      const bad = await pool.spawn(async () => {
        await (await pool.spawn(() => sleep())).wait();
        throw error;
      });
      assert(good.dead && bad.dead);
      return [await good.wait(), await failure(bad.wait())];
    });
    const [value, thrown] = await gt.wait();
    assertEquals([value, most], [2, 1]);
    assertStrictEquals(thrown, error);
    assertEquals(counts(pool), [0, 1, 0]);
  },
);

greenTest(
  "GreenPool: a member that spawns several at once lends to one at a time",
  async (rig) => {
    const pool = new GreenPool(1);
    let [now, most] = [0, 0];
    const work = async (n: number) => {
      most = Math.max(most, ++now);
      await sleep();
      now--;
      return n;
    };
    const gt = await pool.spawn(async () => {
      const gts = await Promise.all([1, 2, 3].map((n) => pool.spawn(work, n)));
      return await Promise.all(gts.map((gt) => gt.wait()));
    });
    assertEquals(await gt.wait(), [1, 2, 3]);
    assertEquals(most, 1);
    // Of one that nobody will ask for, the error is reported, once.
    const last = await pool.spawn(() =>
      pool.spawnN(() => {
        throw new Error("lent");
      })
    );
    await last.wait();
    assertEquals(rig.takeReports().length, 1);
  },
);

greenTest(
  "GreenPool: a borrower's error nobody asks for is reported, once",
  async (rig) => {
    const pool = new GreenPool(1);
    const fail = () => {
      throw new Error("boom");
    };
    const silent = await pool.spawn(async () => {
      const gt = await pool.spawn(fail);
      assertEquals((await failure(gt.wait())).message, "boom");
      await sleep();
    });
    await silent.wait();
    assertEquals(rig.takeReports().length, 0);
    const careless = await pool.spawn(async () => {
      await pool.spawn(fail);
      await sleep();
    });
    await careless.wait();
    await settle();
    assertEquals(rig.takeReports().length, 1);
    const pile = new GreenPile(pool);
    const piled = await pool.spawn(async () => {
      await pile.spawn(fail);
      await settle();
      return (await failure(pile.next())).message;
    });
    assertEquals(await piled.wait(), "boom");
    assertEquals(rig.takeReports().length, 0);
  },
);

greenTest(
  "GreenPool: a member killed while its slot is lent ends the borrower",
  async () => {
    const pool = new GreenPool(1);
    let inner: Error | undefined;
    const gt = await pool.spawn(() =>
      pool.spawnN(async () => {
        inner = await failure(sleep(60_000));
      })
    );
    await settle();
    await kill(gt);
    await settle();
    assert(inner instanceof GreenletExit);
    assert(await failure(gt.wait()) instanceof GreenletExit);
    await pool.waitAll();
  },
);

greenTest("GreenPool.resize() to more lets in who waits", async () => {
  const pool = new GreenPool(0);
  const ran: number[] = [];
  for (const n of [1, 2, 3]) {
    spawn(() =>
      pool.spawnN(async () => {
        ran.push(n);
        await sleep();
      })
    );
  }
  await settle();
  assertEquals(counts(pool), [0, 0, 3]);
  pool.resize(2);
  assertEquals(counts(pool), [2, 0, 1]);
  await pool.waitAll();
  assertEquals(ran, [1, 2, 3]);
});

greenTest(
  "GreenPool.resize() to less lets run who runs; nobody waits",
  async () => {
    const pool = new GreenPool(2);
    const end = new GreenEvent();
    for (let i = 0; i < 2; i++) await pool.spawnN(() => end.wait());
    pool.resize(1);
    assertEquals(counts(pool), [2, -1, 0]);
    let last: GreenThread | undefined;
    const gt = spawn(async () => {
      last = await pool.spawn(() => 1);
    });
    await settle();
    assertEquals(counts(pool), [2, -1, 1]);
    end.send();
    await pool.waitAll();
    await gt.wait();
    assert(last!.dead);
    assertEquals(counts(pool), [0, 1, 0]);
  },
);

greenTest("GreenPool.waitAll() waits for who waits to spawn, too", async () => {
  const pool = new GreenPool(1);
  await pool.waitAll();
  const ran: number[] = [];
  for (const n of [1, 2, 3]) {
    spawn(() =>
      pool.spawnN(async () => {
        await sleep();
        ran.push(n);
      })
    );
  }
  await sleep();
  await pool.waitAll();
  assertEquals(ran, [1, 2, 3]);
});

greenTest(
  "GreenPool.waitAll() ends when the last who waits gives up",
  async () => {
    const pool = new GreenPool(0);
    const gt = spawn(() => pool.spawnN(() => {}));
    await settle();
    const all = spawn(() => pool.waitAll());
    await settle();
    assert(!all.dead);
    await kill(gt);
    await all.wait();
  },
);

greenTest("GreenPool.waitAll() by a member is a HubError", async () => {
  const pool = new GreenPool(2);
  const gt = await pool.spawn(() => pool.waitAll());
  assert(await failure(gt.wait()) instanceof HubError);
  await pool.waitAll();
});

greenTest(
  "GreenPool.spawn() in a timer's callback takes a slot or fails",
  async () => {
    const pool = new GreenPool(1);
    const ends: Promise<unknown>[] = [];
    getHub().scheduleCallGlobal(0, () => {
      ends.push(pool.spawn(() => "ran"));
      ends.push(failure(pool.spawn(() => "not")));
    });
    await settle();
    assertEquals(await (await ends[0] as GreenThread).wait(), "ran");
    assert(await ends[1] instanceof HubError);
    assertEquals(counts(pool), [0, 1, 0]);
  },
);

Deno.test("GreenPool.spawn() without a hub takes no slot", async () => {
  const result = await runProgram(
    `
    import { GreenPool, useHub } from "${projectUrl("mod.ts")}";
    const pool = new GreenPool(1);
    const refusals = [];
    for (const spawn of [pool.spawn, pool.spawnN]) {
      await spawn.call(pool, () => 1).catch((e) => refusals.push(e.name));
    }
    console.log(refusals.join(), pool.running, pool.free);
    useHub("epolls");
    console.log(await (await pool.spawn(() => 7)).wait());
    await pool.waitAll();
  `,
    { env: { EVENTLET_HUB: "none" }, flags: ["--allow-all"] },
  );
  const lines = ["HubError,HubError 0 1", "7", ""];
  assertEquals(result.stdout.split("\n"), lines, result.stderr);
});
