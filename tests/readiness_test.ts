/**
 * Waiting for either direction, and for one readiness after the other: what is
 * reported, and that no end of a wait leaves anything behind.
 */

import {
  assert,
  assertEquals,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { check } from "../ffi/errors.ts";
import { libc } from "../ffi/libc.ts";
import { macrotask } from "../hubs/deno_loop.ts";
import {
  getCurrent,
  getHub,
  GreenletExit,
  HubError,
  IOClosed,
  notifyClose,
  notifyOpened,
  readiness,
  sleep,
  spawn,
  SystemError,
  Timeout,
  trampoline,
  waitReady,
} from "../mod.ts";

getHub();

/** A pair of connected sockets: each can be read and written. */
class Pair implements Disposable {
  readonly a: number;
  readonly b: number;
  readonly #open: Set<number>;

  constructor() {
    const fds = new Int32Array(2);
    const AF_UNIX = 1;
    const SOCK_STREAM_NONBLOCK = 1 | 0o4000;
    check(
      libc().socketpair(AF_UNIX, SOCK_STREAM_NONBLOCK, 0, fds),
      "socketpair",
    );
    [this.a, this.b] = [fds[0]!, fds[1]!];
    this.#open = new Set(fds);
  }

  send(to: number): void {
    const from = to === this.a ? this.b : this.a;
    check(libc().write(from, new Uint8Array([1]), 1), "write");
  }

  /** Fill what `fd` can be written, so that it cannot any more. */
  fill(fd: number): void {
    const chunk = new Uint8Array(65_536);
    while (libc().write(fd, chunk, chunk.length) > 0);
  }

  drain(fd: number): void {
    const chunk = new Uint8Array(65_536);
    while (libc().read(fd, chunk, chunk.length) > 0);
  }

  close(fd: number): void {
    if (this.#open.delete(fd)) libc().close(fd);
  }

  [Symbol.dispose](): void {
    for (const fd of [...this.#open]) this.close(fd);
    // Every wait of the test is over by now, one way or another.
    const hub = getHub();
    assertEquals([...hub.getReaders(), ...hub.getWriters()], []);
    assertEquals(hub.getTimersCount(), 0);
  }
}

const EITHER = { read: true, write: true } as const;

Deno.test("waitReady() reports the direction that is ready", async () => {
  using pair = new Pair();
  const fd = pair.a;
  assertEquals(await waitReady(fd, EITHER), {
    fd,
    readable: false,
    writable: true,
  });
  pair.fill(fd);
  pair.send(fd);
  assertEquals(await waitReady(fd, EITHER), {
    fd,
    readable: true,
    writable: false,
  });
});

Deno.test("waitReady() reports both if both are ready", async () => {
  using pair = new Pair();
  pair.send(pair.a);
  const { readable, writable } = await waitReady(pair.a, EITHER);
  assert(readable && writable);
});

Deno.test("waitReady() reports nothing that was not asked for", async () => {
  using pair = new Pair();
  pair.send(pair.a);
  assertEquals(await waitReady(pair.a, { read: true }), {
    fd: pair.a,
    readable: true,
    writable: false,
  });
  assertEquals(await waitReady(pair.a, { write: true }), {
    fd: pair.a,
    readable: false,
    writable: true,
  });
});

Deno.test("waitReady() suspends until one of the two comes", async () => {
  using pair = new Pair();
  pair.fill(pair.a);
  const waiter = spawn(() => waitReady(pair.a, EITHER));
  await sleep();
  await sleep();
  assert(!waiter.dead);
  pair.drain(pair.b);
  assertEquals((await waiter.wait()).writable, true);
});

Deno.test("waitReady() takes a hang-up for both", async () => {
  using pair = new Pair();
  pair.fill(pair.a);
  const waiter = spawn(() => waitReady(pair.a, EITHER));
  await sleep();
  pair.close(pair.b);
  const { readable, writable } = await waiter.wait();
  assert(readable && writable);
});

Deno.test("waitReady() takes something with fileno()", async () => {
  using pair = new Pair();
  const { fd } = await waitReady({ fileno: () => pair.a }, { write: true });
  assertEquals(fd, pair.a);
});

Deno.test("waitReady() lets data win over a timeout of 0", async () => {
  using pair = new Pair();
  pair.send(pair.a);
  const { readable } = await waitReady(pair.a, { ...EITHER, timeout: 0 });
  assert(readable);
  pair.drain(pair.a);
  await assertRejects(
    () => waitReady(pair.a, { read: true, timeout: 0 }),
    Timeout,
  );
});

Deno.test("waitReady() leaves nothing behind if the hub's clock throws", async () => {
  using pair = new Pair();
  const hub = getHub();
  const { clock } = hub;
  hub.clock = () => {
    throw new Error("no time");
  };
  const wait = waitReady(pair.a, { read: true, timeout: 5 });
  hub.clock = clock;
  await assertRejects(() => wait, Error, "no time");
  assertEquals([hub.getReaders(), getCurrent().waiting], [[], false]);
});

Deno.test("waitReady() rejects with timeoutError when time is over", async () => {
  using pair = new Pair();
  pair.fill(pair.a);
  const error = new Error("too slow");
  const caught = await assertRejects(
    () => waitReady(pair.a, { ...EITHER, timeout: 2, timeoutError: error }),
  );
  assertStrictEquals(caught, error);
});

Deno.test("waitReady() takes its listener off the signal on every exit", async () => {
  using pair = new Pair();
  const { signal } = new AbortController();
  let listeners = 0;
  signal.addEventListener = () => listeners++;
  signal.removeEventListener = () => listeners--;
  const wait = (timeout: number) =>
    spawn(() => waitReady(pair.a, { read: true, timeout, signal }));
  const late = wait(0);
  await assertRejects(() => late.wait(), Timeout);
  const killed = wait(60_000);
  await sleep();
  assertEquals(listeners, 1);
  await killed.kill();
  assertEquals(listeners, 0);
  pair.send(pair.a);
  await wait(60_000).wait();
  assertEquals(listeners, 0);
});

Deno.test("waitReady() ends with the signal's reason, before and within", async () => {
  using pair = new Pair();
  pair.fill(pair.a);
  const controller = new AbortController();
  const { signal } = controller;
  const waiter = spawn(() => waitReady(pair.a, { ...EITHER, signal }));
  const end = assertRejects(() => waiter.wait(), Error, "enough");
  await sleep();
  controller.abort(new Error("enough"));
  await end;
  await assertRejects(
    () => waitReady(pair.a, { ...EITHER, signal }),
    Error,
    "enough",
  );
});

Deno.test("readiness() is left when nothing is under way any more", async () => {
  using pair = new Pair();
  pair.fill(pair.a);
  const hub = getHub();
  const steps = readiness(pair.a, EITHER);
  const step = steps.next();
  const { parks } = hub.statistics();
  while (hub.statistics().parks === parks) await macrotask();
  await steps.return!();
  assertEquals(hub.resting, false);
  assertEquals(await step, { done: true, value: undefined });
});

Deno.test("waitReady() is undone by kill", async () => {
  using pair = new Pair();
  pair.fill(pair.a);
  const waiter = spawn(() => waitReady(pair.a, { ...EITHER, timeout: 60_000 }));
  await sleep();
  assertEquals(getHub().getTimersCount(), 1);
  const end = assertRejects(() => waiter.wait(), GreenletExit);
  await waiter.kill();
  await end;
});

Deno.test("waitReady() killed in the pass that found it ready is only killed", async () => {
  using pair = new Pair();
  const waiter = spawn(() => waitReady(pair.a, EITHER));
  const end = assertRejects(() => waiter.wait(), GreenletExit);
  using other = new Pair();
  const hub = getHub();
  spawn(() => {
    other.send(other.a);
    // Called in the same sweep, before the wait is concluded.
    const killer = hub.add(hub.READ, other.a, () => {
      hub.remove(killer);
      void waiter.kill();
    }, () => {});
  });
  await end;
});

Deno.test("waitReady() rejects with IOClosed once, for both directions", async () => {
  using pair = new Pair();
  pair.fill(pair.a);
  const waiter = spawn(() => waitReady(pair.a, EITHER));
  const end = assertRejects(() => waiter.wait(), IOClosed);
  await sleep();
  notifyClose(pair.a);
  pair.close(pair.a);
  await end;
});

Deno.test("waitReady() calls markAsClosed once when the number is reused", async () => {
  using pair = new Pair();
  pair.fill(pair.a);
  let told = 0;
  const markAsClosed = () => told++;
  const waiter = spawn(() => waitReady(pair.a, { ...EITHER, markAsClosed }));
  const end = assertRejects(() => waiter.wait(), IOClosed);
  await sleep();
  notifyOpened(pair.a);
  await end;
  assertEquals(told, 1);
});

Deno.test("waitReady() rejects with EBADF for what is not open", async () => {
  const pair = new Pair();
  pair[Symbol.dispose]();
  const error = await assertRejects(
    () => waitReady(pair.a, EITHER),
    SystemError,
  );
  assertEquals(error.code, "EBADF");
  assertEquals(getHub().getReaders(), []);
});

Deno.test("waitReady() leaves no reader behind if somebody else writes", async () => {
  using pair = new Pair();
  pair.fill(pair.a);
  const writer = spawn(() => trampoline(pair.a, { write: true }));
  await sleep();
  await assertRejects(() => waitReady(pair.a, EITHER), HubError, "write");
  assertEquals(getHub().getReaders(), []);
  pair.drain(pair.b);
  assertEquals(await writer.wait(), pair.a);
});

Deno.test("waitReady() rejects wrong arguments", async () => {
  using pair = new Pair();
  await assertRejects(() => waitReady(pair.a, {}), TypeError, "at least one");
  await assertRejects(() => waitReady(-1, EITHER), RangeError);
  await assertRejects(
    () => waitReady(pair.a, { ...EITHER, timeout: NaN }),
    RangeError,
  );
  await assertRejects(
    () => waitReady("7" as unknown as number, EITHER),
    TypeError,
  );
  for (const what of ["read", "write"]) {
    await assertRejects(
      () => waitReady(pair.a, { ...EITHER, [what]: "no" }),
      TypeError,
      `${what} is no boolean`,
    );
  }
});

Deno.test("waitReady() refuses to wait in MAINLOOP", async () => {
  using pair = new Pair();
  const { promise, resolve } = Promise.withResolvers<unknown>();
  getHub().scheduleCallGlobal(0, () => {
    waitReady(pair.a, EITHER).catch(resolve);
  });
  assert(await promise instanceof HubError);
});

Deno.test("readiness() comes once per readiness", async () => {
  using pair = new Pair();
  let count = 0;
  pair.send(pair.a);
  for await (const { fd, readable } of readiness(pair.a, { read: true })) {
    assert(readable && fd === pair.a);
    pair.drain(pair.a);
    if (++count === 3) break;
    spawn(() => pair.send(pair.a));
  }
  assertEquals(count, 3);
});

Deno.test("readiness() comes again at once while nothing is taken", async () => {
  using pair = new Pair();
  pair.send(pair.a);
  let count = 0;
  for await (const _ of readiness(pair.a, EITHER)) if (++count === 5) break;
  assertEquals(count, 5);
});

Deno.test("readiness() waits for nothing between two steps", async () => {
  using pair = new Pair();
  pair.send(pair.a);
  for await (const _ of readiness(pair.a, { read: true })) {
    assertEquals(getHub().getReaders(), []);
    assertEquals(await trampoline(pair.a, { read: true }), pair.a);
    break;
  }
});

Deno.test("readiness() ends when the descriptor is closed under it", async () => {
  using pair = new Pair();
  let count = 0;
  const loop = spawn(async () => {
    for await (const _ of readiness(pair.a, { read: true })) count++;
    return "ended";
  });
  await sleep();
  notifyClose(pair.a);
  pair.close(pair.a);
  assertEquals(await loop.wait(), "ended");
  assertEquals(count, 0);
});

Deno.test("readiness() ends when fileno() says -1 between two steps", async () => {
  using pair = new Pair();
  let fd = pair.a;
  let count = 0;
  for await (const _ of readiness({ fileno: () => fd }, EITHER)) {
    if (++count === 2) fd = -1;
  }
  assertEquals(count, 2);
});

Deno.test("readiness() throws what a wait throws, and is over then", async () => {
  using pair = new Pair();
  const steps = readiness(pair.a, { read: true, timeout: 1 });
  await assertRejects(() => steps.next(), Timeout);
  assertEquals(await steps.next(), { done: true, value: undefined });
});

Deno.test("readiness() left with a step pending leaves nothing", async () => {
  using pair = new Pair();
  const steps = readiness(pair.a, { read: true });
  const pending = steps.next();
  await sleep();
  assertEquals(getHub().getReaders().length, 1);
  assertEquals(await steps.return!(), { done: true, value: undefined });
  assertEquals(await pending, { done: true, value: undefined });
});

Deno.test("readiness() passes a kill on", async () => {
  using pair = new Pair();
  const loop = spawn(async () => {
    for await (const _ of readiness(pair.a, { read: true }));
  });
  await sleep();
  const end = assertRejects(() => loop.wait(), GreenletExit);
  await loop.kill();
  await end;
});

Deno.test("readiness() throws TypeError without a direction", () => {
  assertThrows(() => readiness(0, {}), TypeError, "at least one");
  const wrong = { read: true, write: 1 as never };
  assertThrows(() => readiness(0, wrong), TypeError, "no boolean");
});
