/** imap and starmap, and GreenPile: results in order, nothing hangs. */

import {
  assert,
  assertEquals,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import {
  GreenEvent,
  GreenletExit,
  GreenPile,
  GreenPool,
  type PoolMap,
  sleep,
  spawn,
  Timeout,
} from "../../mod.ts";
import { failure, never } from "../../hubs/conformance/rig.ts";
import { greenTest, Log, settle, StoppedClock } from "./helpers.ts";

const END = { done: true, value: undefined } as const;

async function collect<R>(results: AsyncIterable<R>): Promise<R[]> {
  const list: R[] = [];
  for await (const result of results) list.push(result);
  return list;
}

/** Give `n` after `n` passes. */
async function later(n: number): Promise<number> {
  for (let i = 0; i < n; i++) await sleep();
  return n;
}

/** Numbers from 1, without end; knows what was taken and whether it is closed. */
class Numbers {
  taken = 0;
  closed = 0;
  *[Symbol.iterator](): Generator<number> {
    try {
      for (;;) yield ++this.taken;
    } finally {
      this.closed++;
    }
  }
}

greenTest("imap() gives results in the order of its inputs", async () => {
  const pool = new GreenPool(3);
  assertEquals(await collect(pool.imap(later, [5, 1, 3, 0])), [5, 1, 3, 0]);
  assertEquals(pool.running, 0);
});

greenTest(
  "imap() reads several inputs, sync and async, to the shortest",
  async () => {
    const pool = new GreenPool(2);
    const numbers = new Numbers();
    async function* words(): AsyncGenerator<string> {
      for (const word of ["a", "b"]) {
        await sleep();
        yield word;
      }
    }
    const pairs = pool.imap((n, word) => `${n}${word}`, numbers, words());
    assertEquals(await collect(pairs), ["1a", "2b"]);
    assertEquals(numbers.closed, 1);
    assertEquals(await collect(pool.imap(null, [1, 2], "xyz")), [
      [1, "x"],
      [2, "y"],
    ]);
    assertEquals(await collect(pool.imap(() => 1)), []);
  },
);

greenTest("imap() awaits promises of a sync input", async () => {
  const pool = new GreenPool(2);
  const results = pool.imap((n) => n, [Promise.resolve(1), 2]);
  assertEquals(await collect(results) as unknown[], [1, 2]);
});

greenTest("starmap() calls with each row as arguments", async () => {
  const pool = new GreenPool(2);
  const rows = [[1, 2], [3, 4]];
  const sums = pool.starmap((a: number, b: number) => a + b, rows);
  assertEquals(await collect(sums), [3, 7]);
  assertEquals(await collect(pool.starmap(null, rows)), rows);
});

greenTest("imap() runs no more at a time than the pool has slots", async () => {
  const pool = new GreenPool(3);
  let [now, most] = [0, 0];
  const work = async (n: number) => {
    most = Math.max(most, ++now);
    await sleep();
    now--;
    return n;
  };
  const inputs = Array.from({ length: 20 }, (_, i) => i);
  assertEquals(await collect(pool.imap(work, inputs)), inputs);
  assertEquals(most, 3);
});

greenTest(
  "imap() produces only as far ahead as the pool is large",
  async () => {
    const pool = new GreenPool(3);
    const numbers = new Numbers();
    let started = 0;
    const results = pool.imap((n) => (started++, n), numbers);
    for (let i = 0; i < 10; i++) await settle();
    assertEquals([numbers.taken, started], [4, 3]);
    await results.next();
    await results.next();
    for (let i = 0; i < 10; i++) await settle();
    assertEquals([numbers.taken, started], [6, 5]);
    await results.return();
  },
);

greenTest(
  "imap(): a call that fails does so at its place, and is not reported",
  async () => {
    const pool = new GreenPool(2);
    const error = new Error("two");
    const results = pool.imap((n) => {
      if (n === 2) throw error;
      return n;
    }, [1, 2, 3]);
    assertEquals(await results.next(), { done: false, value: 1 });
    assertStrictEquals(await failure(results.next()), error);
    assertEquals(await results.next(), { done: false, value: 3 });
    assertEquals(await results.next(), END);
  },
);

greenTest(
  "imap(): an input that fails does so after all results, and ends",
  async () => {
    const pool = new GreenPool(2);
    const error = new Error("input");
    const other = new Numbers();
    function* failing(): Generator<number> {
      yield 1;
      yield 2;
      throw error;
    }
    for (const input of [failing(), slowly(failing())]) {
      const results = pool.imap(later, input, other);
      assertEquals((await results.next()).value, 1);
      assertEquals((await results.next()).value, 2);
      assertStrictEquals(await failure(results.next()), error);
      assertEquals(await results.next(), END);
      assertEquals(await results.next(), END);
    }
    assertEquals(other.closed, 2);
  },
);

async function* slowly<T>(items: Iterable<T>): AsyncGenerator<T> {
  for (const item of items) {
    await sleep();
    yield item;
  }
}

greenTest(
  "imap(): exhausted, it stays exhausted, for several who ask at once",
  async () => {
    const pool = new GreenPool(2);
    const results = pool.imap(later, [1]);
    const asked = [1, 2, 3].map(() => results.next());
    assertEquals(await Promise.all(asked), [
      { done: false, value: 1 },
      END,
      END,
    ]);
    assertEquals(await results.next(), END);
  },
);

greenTest("imap(): next() called ahead gets the results in order", async () => {
  const pool = new GreenPool(3);
  const results = pool.imap(later, [3, 1, 2]);
  const asked = await Promise.all([1, 2, 3].map(() => results.next()));
  assertEquals(asked.map(({ value }) => value), [3, 1, 2]);
  await results.return();
});

greenTest(
  "imap(): return() kills what runs and closes the inputs",
  async () => {
    const pool = new GreenPool(3);
    const numbers = new Numbers();
    let killed = 0;
    const results = pool.imap(async () => {
      try {
        await sleep(60_000);
      } catch (error) {
        if (error instanceof GreenletExit) killed++;
        throw error;
      }
    }, numbers);
    await settle();
    const waiting = results.next();
    await settle();
    assertEquals(await results.return(), END);
    assertEquals([killed, numbers.closed, pool.running], [3, 1, 0]);
    assertEquals(await waiting, END);
    assertEquals(await results.next(), END);
    assertEquals(await results.return(), END);
    const { taken } = numbers;
    await settle();
    assertEquals(numbers.taken, taken);
  },
);

greenTest(
  "imap(): return() while it waits for a slot spawns no more",
  async () => {
    const pool = new GreenPool(2);
    const go = new GreenEvent();
    for (let i = 0; i < 2; i++) await pool.spawnN(() => go.wait());
    const numbers = new Numbers();
    const results = pool.imap(never, numbers);
    const waiting = results.next();
    await settle();
    assertEquals(pool.waiting, 1);
    assertEquals(await results.return(), END);
    assertEquals([pool.waiting, numbers.closed], [0, 1]);
    assertEquals([await waiting, await results.next()], [END, END]);
    go.send();
    await pool.waitAll();
  },
);

greenTest(
  "imap(): return() with calls under way closes an input that is being read",
  async () => {
    const pool = new GreenPool(2);
    let reads = 0;
    let closed = 0;
    const results = pool.imap(() => sleep(60_000), {
      [Symbol.asyncIterator]: () => ({
        next: () =>
          ++reads === 1
            ? Promise.resolve({ done: false, value: reads })
            : new Promise<never>(() => {}),
        return: () => Promise.resolve({ done: ++closed > 0, value: reads }),
      }),
    });
    await settle();
    assertEquals([reads, pool.running], [2, 1]);
    assertEquals(await results.return(), END);
    assertEquals([closed, pool.running], [1, 0]);
  },
);

greenTest(
  "imap(): return() between any two of its steps leaves nothing running",
  async () => {
    for (let deep = 0; deep < 20; deep++) {
      const pool = new GreenPool(2);
      const begun = Promise.withResolvers<void>();
      const results = pool.imap(() => sleep(60_000), {
        *[Symbol.iterator]() {
          begun.resolve();
          yield 1;
          yield 2;
        },
      });
      // So many microtasks after the first item was asked for.
      let step = begun.promise;
      for (let i = 0; i < deep; i++) step = step.then(() => {});
      assertEquals(await step.then(() => results.return()), END);
      await settle();
      assertEquals([pool.running, pool.waiting], [0, 0], `${deep} deep`);
    }
  },
);

greenTest("imap(): return() by the last to wait for a lent slot", async () => {
  const pool = new GreenPool(1);
  let killed = false;
  const gt = await pool.spawn(async () => {
    const results = pool.imap(async () => {
      killed = await failure(sleep(60_000)) instanceof GreenletExit;
    }, [1, 2]);
    await settle();
    await results.return();
    return await results.next();
  });
  assertEquals(await gt.wait(), END);
  assert(killed);
  await pool.waitAll();
});

greenTest("imap(): leaving a for await stops it", async () => {
  const pool = new GreenPool(2);
  const numbers = new Numbers();
  for await (const n of pool.imap((n) => n, numbers)) if (n === 3) break;
  assertEquals(numbers.closed, 1);
  await pool.waitAll();
});

greenTest("imap(): return() before it began closes the inputs", async () => {
  const pool = new GreenPool(2);
  const input = {
    closed: false,
    next: (): IteratorResult<number> => never(),
    return(): IteratorResult<number> {
      this.closed = true;
      return { done: true, value: undefined };
    },
    [Symbol.iterator]() {
      return this;
    },
  };
  {
    await using results = pool.imap(never, input);
    assert(!input.closed && results !== undefined);
  }
  assert(input.closed);
});

greenTest(
  "imap(): return() does not wait for an input that never answers",
  async () => {
    const pool = new GreenPool(2);
    const never = {
      [Symbol.asyncIterator]: () => ({
        next: () => new Promise<IteratorResult<number>>(() => {}),
        return: () => new Promise<IteratorResult<number>>(() => {}),
      }),
    };
    const results = pool.imap((n) => n, never);
    await settle();
    assertEquals(await results.return(), END);
  },
);

greenTest(
  "imap(): who is killed or out of time in next() takes no result along",
  async () => {
    const clock = new StoppedClock();
    const pool = new GreenPool(2);
    const go = new GreenEvent();
    const results = pool.imap(async (n) => {
      await go.wait();
      return n;
    }, [1, 2]);
    const log = new Log();
    const victim = log.spawn("killed", () => results.next());
    log.spawn("late", async () => {
      using timeout = new Timeout(5);
      assert(timeout.pending);
      await results.next();
    });
    await settle();
    await victim.kill();
    await clock.advance(5);
    log.expect("killed GreenletExit", "late Timeout");
    go.send();
    assertEquals(await collect(results), [1, 2]);
  },
);

greenTest(
  "imap() by a member of the full pool lends the member's slot",
  async () => {
    const pool = new GreenPool(1);
    const gt = await pool.spawn(() => collect(pool.imap(later, [2, 1])));
    assertEquals(await gt.wait(), [2, 1]);
    assertEquals(pool.running, 0);
  },
);

greenTest(
  "imap(): a kill kept until return() does not keep the inputs open",
  async () => {
    const numbers = new Numbers();
    const map = new GreenPool(2).imap(() => sleep(1e6), numbers);
    const consumer = spawn(async () => {
      await settle();
      try {
        await new Promise((resolve) => setImmediate(resolve));
      } finally {
        // It was killed in an ordinary await: here it is told so.
        await map.return(undefined);
      }
    });
    await settle();
    await sleep();
    await consumer.kill();
    assertEquals((await failure(consumer.wait())).name, "GreenletExit");
    assertEquals(numbers.closed, 1);
  },
);

greenTest(
  "imap(): the slot of a member that was killed is free when it is",
  async () => {
    const pool = new GreenPool(1);
    let active = 0;
    let most = 0;
    const gates = [1, 2, 3].map(() => new GreenEvent<void>());
    const call = async (gate: GreenEvent<void>): Promise<void> => {
      most = Math.max(most, ++active);
      await gate.wait();
      active--;
    };
    const member = await pool.spawn(async () => {
      await collect(pool.imap(call, gates));
    });
    await settle();
    await member.kill();
    assertEquals([active, pool.running], [1, 1]);
    const next = spawn(() => pool.spawn(() => active));
    let idle = false;
    const idler = spawn(async () => {
      await pool.waitAll();
      idle = true;
    });
    await settle();
    assertEquals([active, most, pool.running, idle], [1, 1, 1, false]);
    for (const gate of gates) gate.send();
    await next.wait();
    await idler.wait();
    assertEquals([most, pool.running], [1, 0]);
  },
);

greenTest("imap() of an imap in the same pool goes through", async () => {
  const pool = new GreenPool(1);
  const inner: PoolMap<number> = pool.imap(later, [1, 2, 3]);
  assertEquals(await collect(pool.imap((n) => n * 10, inner)), [10, 20, 30]);
});

greenTest("imap() throws at once what it cannot call or iterate over", () => {
  const pool = new GreenPool(2);
  const numbers = new Numbers();
  const bad = 7 as unknown as [];
  assertThrows(() => pool.imap(bad as unknown as () => void, [1]), TypeError);
  assertThrows(() => pool.imap(never, numbers, bad), TypeError);
  assertThrows(() => pool.starmap(never, bad), TypeError);
  assertThrows(() => pool.imap(never, null as unknown as []), TypeError);
});

greenTest(
  "starmap(): a row that cannot be spread fails at its place",
  async () => {
    const pool = new GreenPool(2);
    const rows = [[1], 2] as Iterable<number>[];
    const results = pool.starmap((n: number) => n, rows);
    assertEquals((await results.next()).value, 1);
    assert(await failure(results.next()) instanceof TypeError);
    assertEquals(await results.next(), END);
  },
);

greenTest("GreenPile gives results in the order of spawning", async () => {
  const pile = new GreenPile<number>(2);
  assertEquals(await collect(pile), []);
  for (const n of [4, 1, 3]) await pile.spawn(later, n);
  assertEquals(await collect(pile), [4, 1, 3]);
  await pile.spawn(later, 2);
  assertEquals(await collect(pile), [2]);
  assertEquals([pile.running, pile.free, pile.waiting, pile.size], [
    0,
    2,
    0,
    2,
  ]);
});

greenTest(
  "GreenPile: a call that fails does so at its place, and is not reported",
  async () => {
    const pile = new GreenPile<number>(3);
    await pile.spawn(later, 1);
    await pile.spawn(() => Promise.reject(new Error("mine")));
    await pile.spawn(later, 2);
    assertEquals((await pile.next()).value, 1);
    assertEquals((await failure(pile.next())).message, "mine");
    assertEquals((await pile.next()).value, 2);
    assertEquals(await pile.next(), END);
  },
);

greenTest("GreenPile: a spawn that fails leaves no hole", async () => {
  const pile = new GreenPile<string>(1);
  const go = new GreenEvent();
  await pile.spawn(async () => {
    await go.wait();
    return "first";
  });
  const broken = spawn(() => pile.spawn(() => "broken off"));
  const last = spawn(() => pile.spawn(() => "last"));
  await settle();
  const all = collect(pile);
  await broken.kill();
  assert(await failure(broken.wait()) instanceof GreenletExit);
  go.send();
  await last.wait();
  assertEquals(await all, ["first", "last"]);
});

greenTest(
  "GreenPile: who waits for a result of a spawn that fails sees the end",
  async () => {
    const pile = new GreenPile<number>(0);
    const gt = spawn(() => pile.spawn(later, 1));
    await settle();
    const next = pile.next();
    await settle();
    await gt.kill();
    assertEquals(await next, END);
  },
);

greenTest("GreenPile over a pool shares its slots", async () => {
  const pool = new GreenPool(1);
  const pile = new GreenPile<number>(pool);
  await pile.spawn(later, 1);
  assertEquals([pool.running, pile.free], [1, 0]);
  await pile.spawnN(later, 1);
  await pile.waitAll();
  pile.resize(2);
  assertEquals(pool.size, 2);
  assertEquals(await collect(pile), [1]);
  assertEquals(await collect(pile.imap(later, [1, 0])), [1, 0]);
  assertEquals(await collect(pile.starmap(later, [[2]])), [2]);
  assertThrows(() => new GreenPile(-1), RangeError);
});
