/** Timeout, withTimeout and waitFor. */

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
  HubError,
  kill,
  sleep,
  spawn,
  Timeout,
  waitFor,
  withTimeout,
} from "../../mod.ts";
import { failure, never } from "../../hubs/conformance/rig.ts";
import { projectUrl, runProgram } from "../helpers/spawn.ts";
import { greenTest, settle, StoppedClock } from "./helpers.ts";

/** A function to pass to those that want one, which waits for long. */
const long = () => sleep(60_000);

greenTest(
  "Timeout strikes where its greenthread waits, with itself",
  async () => {
    const clock = new StoppedClock();
    let limit: Timeout | undefined;
    const gt = spawn(async () => {
      using timeout = limit = new Timeout(10);
      assert(timeout.pending);
      await long();
    });
    const ended = failure(gt.wait());
    await settle();
    await clock.advance(9);
    assert(!gt.dead);
    await clock.advance(1);
    assertStrictEquals(await ended, limit);
    assert(!limit!.pending);
    assertEquals([limit!.message, limit!.name], ["10 ms", "Timeout"]);
  },
);

greenTest(
  "Timeout of a class whose constructor throws strikes with that error",
  async () => {
    const clock = new StoppedClock();
    const thrown = new Error("a constructor's own");
    class Broken extends Error {
      constructor() {
        super();
        throw thrown;
      }
    }
    const limited = spawn(async () => {
      using _timeout = new Timeout(10, Broken);
      await long();
    });
    const called = spawn(() => withTimeout(10, long, { error: Broken }));
    const ended = [limited, called].map((gt) => failure(gt.wait()));
    await settle();
    await clock.advance(10);
    for (const one of ended) assertStrictEquals(await one, thrown);
    assertEquals(getHub().getTimersCount(), 0);
  },
);

greenTest("Timeout without a limit never strikes, and has no timer", () => {
  for (const ms of [null, undefined]) {
    using timeout = new Timeout(ms);
    assertEquals([timeout.pending, timeout.message], [false, ""]);
    assertEquals(getHub().getTimersCount(), 0);
  }
});

greenTest("Timeout is cancelled at the end of its block", async () => {
  const clock = new StoppedClock();
  const gt = spawn(async () => {
    {
      using timeout = new Timeout(10);
      assert(timeout.pending);
    }
    assertEquals(getHub().getTimersCount(), 0);
    await sleep(20);
    return "undisturbed";
  });
  await settle();
  await clock.advance(20);
  assertEquals(await gt.wait(), "undisturbed");
});

greenTest("Timeout throws a given error, or one of a given class", async () => {
  const mine = new RangeError("mine");
  for (const error of [mine, RangeError]) {
    const clock = new StoppedClock();
    const gt = spawn(async () => {
      using timeout = new Timeout(10, error);
      assert(timeout.pending);
      await long();
    });
    const ended = failure(gt.wait());
    await settle();
    await clock.advance(10);
    const thrown = await ended;
    if (error === mine) assertStrictEquals(thrown, mine);
    else assert(thrown instanceof RangeError);
  }
});

greenTest("Timeout() refuses what is no time or no error", () => {
  assertThrows(() => new Timeout(NaN), RangeError);
  assertThrows(() => new Timeout("1" as unknown as number), TypeError);
  for (const bad of [true, false, "x", {}, Date]) {
    assertThrows(() => new Timeout(5, bad as unknown as Error), TypeError);
  }
});

greenTest(
  "Timeout can be used again, but not while it is pending",
  async () => {
    const clock = new StoppedClock();
    const gt = spawn(async () => {
      const timeout = new Timeout(10);
      assertThrows(() => timeout.start(), HubError);
      const first = await failure(long());
      assertStrictEquals(first, timeout);
      timeout.start();
      assert(timeout.pending);
      assertStrictEquals(await failure(long()), timeout);
      timeout.start();
      timeout.cancel();
      timeout.cancel();
      assert(!timeout.pending);
    });
    await settle();
    await clock.advance(10);
    await clock.advance(10);
    await gt.wait();
  },
);

greenTest(
  "Timeout: of nested ones the earlier strikes, and the outer goes on",
  async () => {
    const clock = new StoppedClock();
    const order: string[] = [];
    const gt = spawn(async () => {
      using outer = new Timeout(20);
      try {
        using inner = new Timeout(10);
        const error = await failure(long());
        order.push(error === inner ? "inner" : "?");
      } finally {
        assert(outer.pending);
      }
      order.push((await failure(long())) === outer ? "outer" : "?");
    });
    await settle();
    await clock.advance(10);
    await clock.advance(10);
    await gt.wait();
    assertEquals(order, ["inner", "outer"]);
  },
);

greenTest("Timeout does not bother who has ended", async () => {
  const clock = new StoppedClock();
  await spawn(() => void new Timeout(10)).wait();
  assertEquals(getHub().getTimersCount(), 0);
  // This one goes on, for what the greenthread has left behind; in vain.
  const plain = Promise.withResolvers<void>();
  let left: Promise<unknown>;
  const gt = spawn(() => {
    left = withTimeout(10, () => plain.promise);
  });
  await gt.wait();
  assertEquals(getHub().getTimersCount(), 1);
  await clock.advance(10);
  assertEquals(getHub().getTimersCount(), 0);
  plain.resolve();
  assertEquals(await left!, undefined);
});

greenTest("Timeout in a timer's callback strikes nobody", async () => {
  const clock = new StoppedClock();
  getHub().scheduleCallGlobal(0, () => void new Timeout(5));
  await settle();
  const gt = spawn(() => sleep(10));
  await settle();
  await clock.advance(10);
  await gt.wait();
});

greenTest("Timeout interrupts a loop of sleep(0)", async () => {
  const clock = new StoppedClock();
  const gt = spawn(async () => {
    using timeout = new Timeout(10);
    assert(timeout.pending);
    for (;;) await sleep();
  });
  const ended = failure(gt.wait());
  await settle();
  await clock.advance(10);
  assert(await ended instanceof Timeout);
});

greenTest(
  "Timeout in an ordinary await strikes at the next wait of its block",
  async () => {
    const clock = new StoppedClock();
    const outside = Promise.withResolvers<void>();
    const steps: string[] = [];
    const gt = spawn(async () => {
      using timeout = new Timeout(10);
      assert(timeout.pending);
      await outside.promise;
      steps.push("awaited");
      await sleep();
      never();
    });
    const ended = failure(gt.wait());
    await settle();
    await clock.advance(10);
    outside.resolve();
    assert(await ended instanceof Timeout);
    assertEquals(steps, ["awaited"]);
  },
);

greenTest(
  "Timeout that expired in an ordinary await does not strike after its block",
  async () => {
    const clock = new StoppedClock();
    const outside = Promise.withResolvers<void>();
    const gt = spawn(async () => {
      {
        using timeout = new Timeout(10, RangeError);
        assert(timeout.pending);
        await outside.promise;
      }
      await sleep();
      return "undisturbed";
    });
    await settle();
    await clock.advance(10);
    outside.resolve();
    assertEquals(await gt.wait(), "undisturbed");
  },
);

greenTest("Timeout in an ordinary await does not displace a kill", async () => {
  const clock = new StoppedClock();
  const outside = Promise.withResolvers<void>();
  const gt = spawn(async () => {
    {
      using timeout = new Timeout(10);
      assert(timeout.pending);
      await outside.promise;
    }
    await sleep();
  });
  await settle();
  await kill(gt);
  await clock.advance(10);
  outside.resolve();
  assert(await failure(gt.wait()) instanceof GreenletExit);
});

greenTest(
  "withTimeout() resolves to what the function does, in time",
  async () => {
    assertEquals(await withTimeout(60_000, () => Promise.resolve(7)), 7);
    assertEquals(await withTimeout(null, () => 8), 8);
    assertEquals(getHub().getTimersCount(), 0);
  },
);

greenTest(
  "withTimeout() throws, or resolves to timeoutValue, at expiry",
  async () => {
    assert(await failure(withTimeout(1, long)) instanceof Timeout);
    const options = { timeoutValue: "late" };
    assertEquals(await withTimeout(1, long, options), "late");
    assertEquals(
      await withTimeout(0, long, { timeoutValue: undefined }),
      undefined,
    );
    const error = new RangeError("late");
    assertStrictEquals(await failure(withTimeout(1, long, { error })), error);
    assert(
      await failure(withTimeout(1, long, { error: RangeError })) instanceof
        RangeError,
    );
    assertEquals(await withTimeout(1, long, { error, ...options }), "late");
  },
);

greenTest(
  "withTimeout() passes on errors and timeouts that are not its own",
  async () => {
    const clock = new StoppedClock();
    const options = { timeoutValue: "inner" };
    const error = new Error("mine");
    const thrown = withTimeout(50, () => Promise.reject(error), options);
    assertStrictEquals(await failure(thrown), error);
    const foreign = withTimeout(50, () => {
      throw new Timeout();
    }, options);
    assert(await failure(foreign) instanceof Timeout);

    let outer: Timeout | undefined;
    const gt = spawn(async () => {
      using timeout = outer = new Timeout(5);
      assert(timeout.pending);
      return await withTimeout(50, long, options);
    });
    const ended = failure(gt.wait());
    await settle();
    await clock.advance(5);
    assertStrictEquals(await ended, outer);
  },
);

/** An ordinary await that ends when `gate` does. */
async function ordinary(gate: Promise<void>): Promise<void> {
  await gate;
}

/** The same code as main, in a greenthread, and after one has ended. */
const PLACES: Record<string, <T>(fn: () => Promise<T>) => Promise<T>> = {
  main: (fn) => fn(),
  "a greenthread": (fn) => spawn(fn).wait(),
  "code of one that has ended": async (fn) => {
    const gate = Promise.withResolvers<void>();
    const gt = spawn(() => ({ later: ordinary(gate.promise).then(fn) }));
    const { later } = await gt.wait();
    gate.resolve();
    return await later;
  },
};

for (const [place, run] of Object.entries(PLACES)) {
  greenTest(
    `withTimeout() side by side: each strikes its own, in ${place}`,
    async () => {
      const clock = new StoppedClock();
      const late = { timeoutValue: "late" };
      const ended = run(() =>
        Promise.all([
          withTimeout(10, long, late),
          withTimeout(50, () => sleep(30).then(() => "in time")),
          sleep(20).then(() => "unlimited"),
          withTimeout(50, async () => {
            const inner = withTimeout(15, long, { timeoutValue: "inner" });
            const other = sleep(30).then(() => "other");
            return (await Promise.all([inner, other])).join();
          }),
          withTimeout(
            40,
            () => withTimeout(60, long, { timeoutValue: 0 }),
            late,
          ),
        ])
      );
      await settle();
      for (let i = 0; i < 10; i++) {
        await clock.advance(5);
      }
      const expected = ["late", "in time", "unlimited", "inner,other", "late"];
      assertEquals<unknown[]>(await ended, expected);
    },
  );

  greenTest(
    `withTimeout() in an ordinary await strikes at its next wait, in ${place}`,
    async () => {
      const clock = new StoppedClock();
      const gate = Promise.withResolvers<void>();
      const ended = run(() =>
        Promise.all([
          withTimeout(10, async () => {
            await ordinary(gate.promise);
            await long();
          }, { timeoutValue: "late" }),
          // The other one, begun after the expiry.
          ordinary(gate.promise).then(() => sleep(20)).then(() => "unlimited"),
        ])
      );
      await settle();
      await clock.advance(10);
      gate.resolve();
      await settle();
      for (let i = 0; i < 4; i++) await clock.advance(5);
      assertEquals(await ended, ["late", "unlimited"]);
    },
  );

  greenTest(
    `withTimeout() limits a wait begun before that is returned, in ${place}`,
    async () => {
      const clock = new StoppedClock();
      const ended = run(async () => {
        const begun = long();
        return await withTimeout(10, () => begun, { timeoutValue: "late" });
      });
      await settle();
      await clock.advance(10);
      assertEquals(await ended, "late");
    },
  );
}

greenTest("withTimeout() limits the one wait a greenthread is in", async () => {
  const clock = new StoppedClock();
  const gt = spawn(async () => {
    const begun = long();
    return await withTimeout(10, async () => void await begun, {
      timeoutValue: "late",
    });
  });
  await settle();
  await clock.advance(10);
  assertEquals(await gt.wait(), "late");
});

greenTest("withTimeout() leaves alone what was spawned inside", async () => {
  const clock = new StoppedClock();
  const inside = Promise.withResolvers<ReturnType<typeof spawn>>();
  const limited = withTimeout(10, async () => {
    inside.resolve(spawn(() => sleep(20).then(() => "slept")));
    await long();
  }, { timeoutValue: "late" });
  const gt = await inside.promise;
  await settle();
  for (let i = 0; i < 4; i++) await clock.advance(5);
  assertEquals([await limited, await gt.wait()], ["late", "slept"]);
});

greenTest(
  "withTimeout() of main does not strike a server of main's",
  async () => {
    const clock = new StoppedClock();
    const gate = Promise.withResolvers<void>();
    const event = new GreenEvent<string>();
    const serving = event.wait();
    // It expires in an ordinary await, and never waits again.
    const limited = withTimeout(10, () => ordinary(gate.promise));
    await settle();
    await clock.advance(10);
    gate.resolve();
    await limited;
    event.send("served");
    assertEquals(await serving, "served");
  },
);

Deno.test("withTimeout() begun inside of each other, one after the other, is let go", async () => {
  const result = await runProgram(
    `
    import { sleep, withTimeout } from "${projectUrl("mod.ts")}";
    import { Scope } from "${projectUrl("hubs/scope.ts")}";
    let first;
    // Each is begun inside of the one before, which ends while it goes on.
    function next(left) {
      return withTimeout(60_000, async () => {
        first ??= new WeakRef(Scope.current());
        await sleep();
        if (left > 0) setTimeout(next, 0, left - 1);
        else setTimeout(look);
        await sleep(3);
      });
    }
    async function look() {
      await sleep(20);
      gc();
      await sleep(1);
      gc();
      console.log(first.deref());
      Deno.exit();
    }
    next(20);
  `,
    { flags: ["--allow-all", "--no-check", "--v8-flags=--expose-gc"] },
  );
  assertEquals(result.stdout, "undefined\n", result.stderr);
});

greenTest("withTimeout() refuses bad arguments by rejecting", async () => {
  assert(await failure(withTimeout(NaN, long)) instanceof RangeError);
  assert(
    await failure(withTimeout(1, 7 as unknown as () => void)) instanceof
      TypeError,
  );
  const error = "x" as unknown as Error;
  assert(await failure(withTimeout(1, long, { error })) instanceof TypeError);
});

greenTest(
  "waitFor() resolves to what the promise does, and takes any value",
  async () => {
    assertEquals(await waitFor(Promise.resolve(1)), 1);
    assertEquals(await waitFor(2), 2);
    assertEquals(await waitFor(null), null);
    const thenable = { then: (resolve: (n: number) => void) => resolve(3) };
    assertEquals(await waitFor(thenable as PromiseLike<number>), 3);
    const error = new Error("rejected");
    assertStrictEquals(await failure(waitFor(Promise.reject(error))), error);
    const bad = {
      get then(): never {
        throw error;
      },
    };
    assertStrictEquals(await failure(waitFor(bad)), error);
  },
);

greenTest("waitFor() leaves nothing with a promise that goes on", async () => {
  const { promise, resolve } = Promise.withResolvers<number>();
  let reactions = 0;
  // deno-lint-ignore no-explicit-any
  promise.then = (...args: any[]): any => {
    reactions++;
    return Reflect.apply(Promise.prototype.then, promise, args);
  };
  for (let i = 0; i < 10; i++) {
    assert(await failure(waitFor(promise, { timeout: 0 })) instanceof Timeout);
  }
  assertEquals(reactions, 1);
  // It serves all who wait later, oldest first, and those who come when it has.
  const log: string[] = [];
  const both = ["a", "b"].map((name) =>
    spawn(async () => {
      log.push(`${name} ${await waitFor(promise)}`);
    })
  );
  await settle();
  resolve(7);
  for (const gt of both) await gt.wait();
  assertEquals(log, ["a 7", "b 7"]);
  assertEquals(await waitFor(promise), 7);
});

greenTest(
  "withTimeout() ends when nothing is under way any more",
  async (rig) => {
    // The hub parks for its limit alone.
    await withTimeout(60_000, () => rig.parked());
    assertEquals(rig.hub.resting, false);
  },
);

greenTest(
  "waitFor() is left at once by a kill, and a late rejection harms nobody",
  async () => {
    const { promise, reject } = Promise.withResolvers<void>();
    const gt = spawn(() => waitFor(promise));
    await settle();
    await kill(gt);
    assert(gt.dead);
    assert(await failure(gt.wait()) instanceof GreenletExit);
    // Were it unhandled, the test would fail.
    reject(new Error("too late"));
    await new Promise((resolve) => setTimeout(resolve));
  },
);

greenTest(
  "waitFor() that could not begin does not leave a rejection unhandled",
  async () => {
    const { signal } = new AbortController();
    const bad = { timeout: NaN, signal };
    const waits: ((promise: PromiseLike<void>) => void)[] = [
      (promise) => void failure(waitFor(promise, bad)),
      (promise) =>
        void getHub().scheduleCallGlobal(0, () => failure(waitFor(promise))),
    ];
    const rejects: ((error: Error) => void)[] = [];
    for (const wait of waits) {
      const native = Promise.withResolvers<void>();
      wait(native.promise);
      rejects.push(native.reject);
      // Each look at such a thing makes a promise of its own.
      const { promise, reject } = Promise.withResolvers<void>();
      wait({ then: promise.then.bind(promise) });
      rejects.push(reject);
    }
    await settle();
    for (const reject of rejects) reject(new Error("too late"));
    await new Promise((resolve) => setTimeout(resolve));
  },
);

greenTest("waitFor(): a late result cannot end a later wait", async () => {
  const { promise, resolve } = Promise.withResolvers<string>();
  const gt = spawn(async () => {
    await failure(waitFor(promise));
    return await waitFor(
      new Promise<string>((done) => setTimeout(done, 1, "own")),
    );
  });
  await settle();
  gt.throw(new Error("out"));
  resolve("late");
  assertEquals(await gt.wait(), "own");
});

greenTest("waitFor() lets others run", async () => {
  const order: string[] = [];
  spawn(() => order.push("other"));
  await waitFor(Promise.resolve());
  assertEquals(order, ["other"]);
});
