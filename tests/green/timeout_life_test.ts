/**
 * The life of a Timeout beyond its block: started again, with a shared error,
 * in a hub that stops, in a greenthread that ends.
 */

import { assertEquals, assertStrictEquals } from "@std/assert";
import {
  getHub,
  sleep,
  spawn,
  Timeout,
  useHub,
  withTimeout,
} from "../../mod.ts";
import { failure } from "../../hubs/conformance/rig.ts";
import { greenTest, settle, StoppedClock } from "./helpers.ts";

const long = () => sleep(60_000);

greenTest("Timeout.start() drops what is left of the last time", async () => {
  const clock = new StoppedClock();
  const plain = Promise.withResolvers<void>();
  const gt = spawn(async () => {
    const timeout = new Timeout(10);
    await plain.promise;
    timeout.start();
    timeout.cancel();
    await sleep();
    return "undisturbed";
  });
  await settle();
  await clock.advance(10);
  plain.resolve();
  assertEquals(await gt.wait(), "undisturbed");
});

greenTest(
  "Timeout.cancel() leaves alone another that throws the same error",
  async () => {
    const clock = new StoppedClock();
    const plain = Promise.withResolvers<void>();
    const same = new Error("same");
    const gt = spawn(async () => {
      const one = new Timeout(10, same);
      using _other = new Timeout(10, same);
      await plain.promise;
      one.cancel();
      const error = await failure(long());
      await sleep();
      return error;
    });
    await settle();
    await clock.advance(10);
    plain.resolve();
    assertStrictEquals(await gt.wait(), same);
  },
);

greenTest("Timeout is pending no more in a hub that was stopped", async () => {
  const timeout = new Timeout(60_000);
  await sleep();
  await getHub().abort({ wait: true });
  assertEquals([timeout.pending, getHub().getTimersCount()], [false, 0]);
  timeout.start();
  assertEquals(timeout.pending, true);
  useHub();
  assertEquals([timeout.pending, getHub().getTimersCount()], [false, 0]);
  timeout.start();
  timeout.cancel();
});

greenTest("Timeout is cancelled when its greenthread ends", async () => {
  const kept: Timeout[] = [];
  const ends = [
    spawn(() => kept.push(new Timeout(60_000))),
    spawn(async () => {
      kept.push(new Timeout(60_000), new Timeout(50_000));
      kept.at(-1)!.cancel();
      await sleep();
      throw kept;
    }),
  ];
  for (const gt of ends) await gt.wait().catch(() => {});
  assertEquals(kept.map((timeout) => timeout.pending), [false, false, false]);
  assertEquals(getHub().getTimersCount(), 0);
});

greenTest(
  "Timeout goes on if code of its greenthread still waits at the end",
  async () => {
    const clock = new StoppedClock();
    let error: Promise<Error>;
    const gt = spawn(() => {
      error = (async () => {
        using _limit = new Timeout(10);
        return await failure(long());
      })();
    });
    await gt.wait();
    await clock.advance(10);
    assertEquals((await error!).message, "10 ms");
  },
);

greenTest(
  "withTimeout() limits code that outlives its greenthread",
  async () => {
    const clock = new StoppedClock();
    const plain = Promise.withResolvers<void>();
    let begun: Promise<Error>;
    let later: Promise<Error>;
    const gt = spawn(() => {
      begun = failure(withTimeout(10, async () => {
        await plain.promise;
        await long();
      }));
      later = (async () => {
        await plain.promise;
        return await failure(withTimeout(10, long));
      })();
    });
    await gt.wait();
    plain.resolve();
    await settle();
    await clock.advance(10);
    assertEquals((await begun!).message, "10 ms");
    assertEquals((await later!).message, "10 ms");
  },
);

greenTest(
  "GreenThread.throw() reaches what a dead one has left behind",
  async () => {
    let left: Promise<Error>;
    const gt = spawn(() => {
      left = failure(long());
    });
    await gt.wait();
    const boom = new Error("boom");
    gt.throw(boom);
    assertStrictEquals(await left!, boom);
    // Nothing is kept for the next wait of one that has none.
    gt.throw(boom);
    assertEquals(await gt.wait(), undefined);
  },
);

greenTest(
  "withTimeout() passes on an error of fn's own that is options.error",
  async () => {
    const mine = new Error("mine");
    for (const ms of [null, 60_000]) {
      const ended = withTimeout(ms, () => Promise.reject(mine), {
        error: mine,
        timeoutValue: "expired",
      });
      assertStrictEquals(await failure(ended), mine);
    }
  },
);
