/**
 * Parking by a call on another thread: calls that end at once, pollers that
 * have a descriptor and no call, and what follows a way that broke.
 */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { libc } from "../../ffi/libc.ts";
import { chooseParking, fallbackParking } from "../../hubs/choose_parking.ts";
import { type Parking, PollerParking } from "../../hubs/parking.ts";
import { macrotask } from "../../hubs/deno_loop.ts";
import type { Poller } from "../../hubs/poller.ts";
import { BaseHub } from "../../hubs/mod.ts";
import { getHub, sleep, spawn, trampoline, useHub } from "../../mod.ts";
import { within } from "../../hubs/conformance/rig.ts";
import { assertNoFdLeak } from "../helpers/fds.ts";
import { close, pipe, write } from "../helpers/pipes.ts";

getHub();

/** Park so often, a minute each, with nothing found. */
async function parkInVain(parking: Parking, times: number): Promise<void> {
  for (let i = 0; i < times; i++) await parking.park(60_000, true);
}

Deno.test("PollerParking pauses when its call ends at once, again and again", async () => {
  let calls = 0;
  const parking = new PollerParking({
    park: () => {
      calls++;
      return Promise.resolve();
    },
    wake() {},
  });
  const started = performance.now();
  await parkInVain(parking, 20);
  // The third and then each second one is a pause, from 1 to 16 ms.
  assert(performance.now() - started >= 60);
  assert(calls <= 12, `${calls} calls`);
});

Deno.test("PollerParking does not pause when something was found, or it was woken", async () => {
  let pending: (() => void) | null = null;
  let calls = 0;
  const parking = new PollerParking({
    park: () => {
      calls++;
      return new Promise<void>((resolve) => pending = resolve);
    },
    wake: () => pending?.(),
  });
  for (let i = 0; i < 20; i++) {
    const parked = parking.park(60_000, true);
    parking.wake();
    await parked;
  }
  assertEquals(calls, 20);
  for (let i = 0; i < 20; i++) {
    const parked = parking.park(60_000, false);
    pending!();
    await parked;
  }
  assertEquals(calls, 40);
});

Deno.test("PollerParking.wake() and close() end a pause", async () => {
  const parking = new PollerParking({
    park: () => Promise.resolve(),
    wake() {},
  });
  await parkInVain(parking, 30);
  // One of two is a pause, of 16 ms by now.
  const both = [parking.park(60_000, true), parking.park(60_000, true)];
  parking.wake();
  await Promise.all(both);
  assertEquals(parking.close(), null);
});

/** A poller that makes the time of its hub go by at once. */
class TimeMachine implements Poller {
  now = 0;
  parks = 0;
  watch(): void {}
  sweep(): number {
    return 0;
  }
  close(): void {}
  park(timeout: number | null): Promise<void> {
    this.parks++;
    this.now += timeout ?? 0;
    return Promise.resolve();
  }
}

for (const wakeable of [true, false]) {
  const can = wakeable ? "can" : "cannot";
  Deno.test(`a park that moves the hub's clock is none in vain (it ${can} be woken)`, async () => {
    const poller = new TimeMachine();
    if (wakeable) Object.assign(poller, { wake() {} });
    class Hub extends BaseHub {
      constructor() {
        super(poller, { clock: () => poller.now });
      }
    }
    useHub(Hub);
    const gt = spawn(() => trampoline(0, { read: true }));
    // Deno's loop has its turns all the while.
    let turns = 0;
    const beat = setInterval(() => turns++, 1);
    await within(10_000, sleep(wakeable ? 86_400_000 : 600_000));
    clearInterval(beat);
    assert(turns > 0);
    assert(getHub().statistics().parks > poller.parks);
    await gt.kill();
    await getHub().close();
    useHub();
  });
}

/** An epoll set, and nothing to park with. */
class OnlyFd implements Poller {
  readonly fd = libc().epoll_create1(0);
  readonly watch = (): void => {};
  readonly sweep = (): number => 0;
  close(): void {
    libc().close(this.fd);
  }
}

Deno.test("fallbackParking() takes the next way, never the broken one again", async () => {
  await assertNoFdLeak(() => {
    const poller = new OnlyFd();
    const ways = ["aio", "uring", "thread"] as const;
    const next = ways.map((way) => fallbackParking(poller, way));
    assertEquals(next.map(({ name }) => name), ["uring", "thread", "thread"]);
    for (const each of next) each.close();
    poller.close();
  });
});

Deno.test("a poller with a descriptor and no park is parked by a thread", async () => {
  await assertNoFdLeak(async () => {
    const poller = new OnlyFd();
    const parking = chooseParking(poller, "thread");
    assertEquals(parking.name, "thread");
    const parked = parking.park(null, true);
    parking.wake();
    await parked;
    assertEquals(parking.close(), null);
    // With a call under way, there is something to wait for.
    const another = chooseParking(poller, "thread");
    const last = another.park(null, true);
    const closed = another.close();
    assert(closed !== null);
    await Promise.all([last, closed]);
    poller.close();
  });
});

Deno.test("close() gives everything back though the poller fails to wake", async () => {
  let pollerClosed = false;
  let end = (): void => {};
  class Hub extends BaseHub {
    constructor() {
      super({
        watch() {},
        sweep: () => 0,
        close: () => pollerClosed = true,
        park: () => new Promise<void>((resolve) => end = resolve),
        wake() {
          throw new Error("cannot wake");
        },
      });
    }
  }
  await assertNoFdLeak(async () => {
    useHub(Hub);
    const hub = getHub();
    hub.scheduleCallGlobal(60_000, () => {});
    while (hub.statistics().parks === 0) await macrotask();
    await assertRejects(() => hub.close(), Error, "cannot wake");
    assertEquals(pollerClosed, true);
    end();
  });
  useHub();
});

Deno.test("a parked call that the descriptor of a poller ends is one of a hub's", async () => {
  const [reader, writer] = pipe();
  let watched = false;
  class Hub extends BaseHub {
    constructor() {
      super({
        fd: reader,
        watch: (_fd, interest) => void (watched = interest !== 0),
        sweep: (report) => {
          const pollfd = new Int32Array([reader, 1]);
          const bytes = new Uint8Array(pollfd.buffer);
          if (!watched || libc().poll(bytes, 1, 0) === 0) return 0;
          report(reader, 1);
          return 1;
        },
        close() {},
      }, { parking: "thread" });
    }
  }
  useHub(Hub);
  assertEquals(getHub().statistics().parking, "thread");
  setTimeout(() => write(writer), 20);
  await trampoline(reader, { read: true });
  await sleep(5);
  assert(getHub().statistics().parks > 0);
  await getHub().close();
  close(reader, writer);
  useHub();
});
