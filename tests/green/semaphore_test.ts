/** Semaphore, BoundedSemaphore, CappedSemaphore: order and counts. */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  BoundedSemaphore,
  CappedSemaphore,
  getHub,
  GreenletExit,
  Semaphore,
  sleep,
  spawn,
  Timeout,
} from "../../mod.ts";
import {
  assertStarvesNobody,
  greenTest,
  Log,
  settle,
  StoppedClock,
} from "./helpers.ts";

greenTest("Semaphore() refuses what is no integer from 0", () => {
  for (const kind of [Semaphore, BoundedSemaphore]) {
    assertThrows(() => new kind(-1), RangeError);
    assertThrows(() => new kind(NaN), RangeError);
    assertThrows(() => new kind(1.5), RangeError);
    assertThrows(() => new kind("1" as unknown as number), TypeError);
    assertEquals(new kind().balance, 1);
  }
  assertThrows(() => new CappedSemaphore(-1, 1), RangeError);
  assertThrows(() => new CappedSemaphore(2, 1), RangeError);
  assertThrows(() => new CappedSemaphore(1, NaN), RangeError);
});

greenTest("Semaphore: release() wakes one, in order of waiting", async () => {
  const sem = new Semaphore(1);
  assert(await sem.acquire());
  assertEquals([sem.balance, sem.locked], [0, true]);
  const log = new Log();
  for (const name of ["a", "b", "c"]) log.spawn(name, () => sem.acquire());
  await settle();
  assertEquals(sem.balance, -3);
  sem.release();
  await settle();
  log.expect("a true");
  sem.release();
  sem.release();
  log.expect();
  await settle();
  log.expect("b true", "c true");
  sem.release();
  assertEquals([sem.balance, sem.locked], [1, false]);
});

greenTest(
  "Semaphore: a token released is its waiter's, however others ask",
  async () => {
    const sem = new Semaphore(0);
    const log = new Log();
    log.spawn("waits", () => sem.acquire());
    await settle();
    sem.release();
    assertEquals(sem.tryAcquire(), false);
    assertEquals(await sem.acquire({ block: false }), false);
    log.spawn("timed", () => sem.acquire({ timeout: 0 }));
    log.spawn("plain", () => sem.acquire());
    await settle();
    log.expect("waits true", "timed false");
    sem.release();
    await settle();
    log.expect("plain true");
  },
);

greenTest(
  "Semaphore: the holder that acquires again goes behind who waits",
  async () => {
    const sem = new Semaphore(1);
    const log = new Log();
    const work = (name: string) =>
      spawn(async () => {
        for (let i = 0; i < 3; i++) {
          await sem.acquire();
          log.lines.push(name);
          sem.release();
        }
      });
    await sem.acquire();
    const gts = ["a", "b"].map(work);
    await settle();
    sem.release();
    for (const gt of gts) await gt.wait();
    log.expect("a", "b", "a", "b", "a", "b");
  },
);

greenTest(
  "Semaphore: who is killed with a token in hand passes it on",
  async () => {
    const sem = new Semaphore(0);
    const log = new Log();
    const gts = ["a", "b"].map((name) => log.spawn(name, () => sem.acquire()));
    await settle();
    sem.release();
    gts[0]!.throw(new GreenletExit());
    await settle();
    log.expect("a GreenletExit", "b true");
    const last = log.spawn("c", () => sem.acquire());
    await settle();
    sem.release();
    last.throw(new GreenletExit());
    await settle();
    assertEquals(sem.balance, 1);
  },
);

greenTest(
  "Semaphore: tryAcquire() and release() work in callbacks of timers",
  async () => {
    const sem = new Semaphore(1);
    const gt = spawn(async () => {
      await sem.acquire();
      await sem.acquire();
    });
    await settle();
    getHub().scheduleCallGlobal(0, () => {
      assertEquals(sem.tryAcquire(), false);
      sem.release();
    });
    await gt.wait();
  },
);

greenTest(
  "Semaphore.permit() gives back at the end of its block, once",
  async () => {
    const clock = new StoppedClock();
    const sem = new BoundedSemaphore(1);
    {
      using permit = await sem.permit();
      assert(sem.locked);
      permit[Symbol.dispose]();
      assert(!sem.locked);
    }
    assertEquals(sem.balance, 1);
    using _held = await sem.permit();
    const late = assertRejects(() => sem.permit({ timeout: 5 }), Timeout);
    await settle();
    await clock.advance(5);
    await late;
  },
);

greenTest(
  "BoundedSemaphore: release() above the initial value is a RangeError",
  async () => {
    const sem = new BoundedSemaphore(2);
    assertThrows(() => sem.release(), RangeError);
    assertEquals(sem.balance, 2);
    await sem.acquire();
    sem.release();
    assertThrows(() => sem.release(), RangeError);
    assertEquals(sem.balance, 2);
  },
);

greenTest(
  "BoundedSemaphore: who waits for a token does not raise the bound",
  async () => {
    const sem = new BoundedSemaphore(0);
    const gt = spawn(() => sem.acquire());
    await settle();
    assertThrows(() => sem.release(), RangeError);
    assertEquals(sem.balance, -1);
    await gt.kill();
  },
);

greenTest("CappedSemaphore: release() waits at the limit", async () => {
  const sem = new CappedSemaphore(2, 3);
  assert(await sem.acquire());
  assert(await sem.acquire());
  const first = spawn(() => sem.release());
  assert(await sem.acquire());
  assertEquals(sem.balance, -3);
  for (let i = 0; i < 3; i++) assert(await sem.release());
  const second = spawn(() => sem.acquire());
  assert(await sem.release());
  assertEquals(sem.balance, 3);
  await first.wait();
  await second.wait();
});

greenTest("CappedSemaphore(0, 0) passes tokens from hand to hand", async () => {
  const sem = new CappedSemaphore(0, 0);
  const gt = spawn(() => sem.acquire());
  assertEquals(await sem.release({ block: false }), false);
  assert(await sem.release());
  assert(await gt.wait());
  const giver = spawn(() => sem.release());
  await settle();
  assert(!giver.dead && sem.tryAcquire());
  assert(await giver.wait());
  assertEquals([sem.locked, sem.bounded], [true, true]);
});

greenTest("CappedSemaphore serves both sides in order of waiting", async () => {
  const sem = new CappedSemaphore(1, 1);
  const log = new Log();
  for (const name of ["a", "b"]) log.spawn(name, () => sem.release());
  await settle();
  assert(sem.tryAcquire());
  await settle();
  log.expect("a true");
  assert(sem.tryAcquire());
  await settle();
  log.expect("b true");
  assert(sem.tryAcquire());
  for (const name of ["c", "d"]) log.spawn(name, () => sem.acquire());
  await settle();
  await sem.release();
  await sem.release();
  await settle();
  log.expect("c true", "d true");
});

greenTest(
  "CappedSemaphore: who is killed with a token in hand passes it on",
  async () => {
    const sem = new CappedSemaphore(0, 1);
    const gts = [1, 2].map(() => spawn(() => sem.acquire()));
    await settle();
    await sem.release();
    gts[0]!.throw(new GreenletExit());
    assert(await gts[1]!.wait());
    assert(sem.locked);
  },
);

greenTest(
  "Semaphores: who always finds a token starves nobody",
  async (rig) => {
    for (const semaphore of [new Semaphore(), new CappedSemaphore(1, 1)]) {
      await assertStarvesNobody(rig, async () => {
        await semaphore.acquire();
        await semaphore.release();
      });
      assertEquals(semaphore.locked, false);
    }
  },
);

greenTest("Semaphores: a token killed in its turn comes back", async () => {
  for (const semaphore of [new Semaphore(), new CappedSemaphore(1, 1)]) {
    let count = 0;
    const hog = spawn(async () => {
      for (;; count++) {
        await semaphore.acquire();
        await semaphore.release();
      }
    });
    await sleep();
    await hog.kill();
    assert(count > 0);
    assertEquals(semaphore.locked, false);
  }
});
