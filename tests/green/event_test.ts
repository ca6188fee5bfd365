/** GreenEvent and GreenLocal. */

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
  GreenLocal,
  HubError,
  sleep,
  spawn,
  Timeout,
} from "../../mod.ts";
import { failure } from "../../hubs/conformance/rig.ts";
import { greenTest, Log, settle, StoppedClock } from "./helpers.ts";

greenTest(
  "GreenEvent.send() resumes all who wait, in order, and yields to none",
  async () => {
    const event = new GreenEvent<number>();
    const log = new Log();
    for (const name of "abcdefgh") log.spawn(name, () => event.wait());
    await settle();
    event.send(1);
    log.expect();
    await settle();
    log.expect(..."abcdefgh".split("").map((name) => `${name} 1`));
  },
);

greenTest("GreenEvent.wait() does not yield after send()", async () => {
  const event = new GreenEvent<number>();
  event.send(5);
  let passed = false;
  spawn(() => passed = true);
  assertEquals(await event.wait(), 5);
  assertEquals(await event.wait({ timeout: 1 }), 5);
  assert(!passed);
  await settle();
});

greenTest("GreenEvent tells whether and what was sent", () => {
  const event = new GreenEvent();
  assertEquals([event.ready, event.hasResult, event.hasError], [
    false,
    false,
    false,
  ]);
  event.send();
  assertEquals([event.ready, event.hasResult, event.hasError], [
    true,
    true,
    false,
  ]);
  event.reset();
  event.sendError(new Error("x"));
  assertEquals([event.ready, event.hasResult, event.hasError], [
    true,
    false,
    true,
  ]);
});

greenTest(
  "GreenEvent.sendError() is thrown at present and future waiters",
  async () => {
    const event = new GreenEvent();
    const error = new Error("sent");
    const gts = [1, 2].map(() => spawn(() => event.wait()));
    const ends = gts.map((gt) => failure(gt.wait()));
    await settle();
    event.sendError(error);
    for (const end of ends) assertStrictEquals(await end, error);
    assertStrictEquals(await failure(event.wait()), error);
    event.reset();
    event.sendError(RangeError);
    const made = await failure(event.wait());
    assert(made instanceof RangeError);
    assertStrictEquals(await failure(event.wait()), made);
  },
);

greenTest(
  "GreenEvent.sendError() takes down the timers and signals of who waits",
  async () => {
    const event = new GreenEvent();
    const { signal } = new AbortController();
    let listeners = 0;
    signal.addEventListener = () => listeners++;
    signal.removeEventListener = () => listeners--;
    const gt = spawn(() => event.wait({ timeout: 60_000, signal }));
    const ended = failure(gt.wait());
    await settle();
    assertEquals([getHub().getTimersCount(), listeners], [1, 1]);
    const error = new Error("sent");
    event.sendError(error);
    assertEquals([getHub().getTimersCount(), listeners], [0, 0]);
    assertStrictEquals(await ended, error);
  },
);

greenTest(
  "GreenEvent refuses to send twice, to reset afresh, to send no error",
  () => {
    const event = new GreenEvent<number>();
    assertThrows(() => event.reset(), HubError);
    assertThrows(() => event.sendError("x" as unknown as Error), TypeError);
    assert(!event.ready);
    event.send(1);
    assertThrows(() => event.send(2), HubError);
    assertThrows(() => event.sendError(new Error()), HubError);
    event.reset();
    event.send(3);
  },
);

greenTest(
  "GreenEvent.reset() right after send() changes nothing for who waited",
  async () => {
    const event = new GreenEvent<number>();
    const log = new Log();
    log.spawn("a", () => event.wait());
    await settle();
    event.send(1);
    event.reset();
    log.spawn("b", () => event.wait());
    await settle();
    log.expect("a 1");
    event.send(2);
    await settle();
    log.expect("b 2");
  },
);

greenTest(
  "GreenEvent: one killed between send and delivery disturbs nobody",
  async () => {
    const event = new GreenEvent<number>();
    const log = new Log();
    const gts = ["a", "b", "c"].map((name) =>
      log.spawn(name, () => event.wait())
    );
    await settle();
    event.send(1);
    gts[1]!.throw(new GreenletExit());
    await settle();
    log.expect("b GreenletExit", "a 1", "c 1");
  },
);

greenTest(
  "GreenEvent: a wait that was left cannot end a later one",
  async () => {
    const clock = new StoppedClock();
    const event = new GreenEvent<number>();
    const gt = spawn(async () => {
      await event.wait({ timeout: 20 }).catch(() => {});
      return await event.wait();
    });
    await settle();
    gt.throw(new Error("out"));
    await clock.advance(30);
    assert(!gt.dead);
    event.send(9);
    assertEquals(await gt.wait(), 9);
  },
);

greenTest("GreenEvent.wait() expires with a Timeout of its own", async () => {
  const clock = new StoppedClock();
  const event = new GreenEvent();
  const error = failure(event.wait({ timeout: 3 }));
  await settle();
  await clock.advance(3);
  assert(await error instanceof Timeout);
  assertEquals((await error).message, "3 ms");
  assertEquals(getHub().getTimersCount(), 0);
});

greenTest("GreenLocal has a value per greenthread, main's too", async () => {
  const local = new GreenLocal<number>();
  assertEquals(local.get(), undefined);
  local.set(1);
  const gts = [2, 3].map((n) =>
    spawn(async () => {
      const before = local.get();
      local.set(n);
      await sleep();
      return [before, local.get()];
    })
  );
  assertEquals(await gts[0]!.wait(), [undefined, 2]);
  assertEquals(await gts[1]!.wait(), [undefined, 3]);
  assertEquals(local.get(), 1);
});

greenTest(
  "GreenLocal() makes the first value of each greenthread anew",
  async () => {
    let made = 0;
    const local = new GreenLocal(() => [++made]);
    local.get().push(7);
    assertEquals(local.get(), [1, 7]);
    assertEquals(await spawn(() => local.get()).wait(), [2]);
    local.set([]);
    assertEquals(local.get(), []);
    assertEquals(made, 2);
    const unset = new GreenLocal<undefined | number>(() => void made++);
    unset.get();
    unset.get();
    assertEquals(made, 3);
    assertThrows(() => new GreenLocal(1 as unknown as () => number), TypeError);
  },
);
