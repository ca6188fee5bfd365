/**
 * Conformance: the hub beside Deno's own loop. Neither starves the other, and
 * a hub with nothing to do does nothing.
 *
 * @module
 */

import assert from "node:assert/strict";
import { macrotask } from "../deno_loop.ts";
import { READ } from "../poller.ts";
import { kill, sleep, spawn } from "../spawn.ts";
import { trampoline } from "../trampoline.ts";
import { type Case, never, type Rig, within } from "./rig.ts";

/** How long `setInterval(…, 10)` takes for 10 beats, ms. */
function beats(): Promise<number> {
  const start = performance.now();
  let left = 10;
  return new Promise((resolve) => {
    const timer = setInterval(() => {
      if (--left > 0) return;
      clearInterval(timer);
      resolve(performance.now() - start);
    }, 10);
  });
}

/** 10 beats take this long at most, on a machine that others use, too. */
const BEATS_MS = 2000;

/** Greenthreads that are never idle; ends them when called. */
function busy(): () => Promise<void> {
  let on = true;
  const all = Array.from(
    { length: 4 },
    () =>
      spawn(async () => {
        while (on) await sleep();
      }),
  );
  return async () => {
    on = false;
    for (const gt of all) await gt.wait();
  };
}

/** Two greenthreads that play ball over a socket; ends them when called. */
function pingPong(rig: Rig): () => Promise<number> {
  const [a, b] = rig.socketpair();
  let trips = 0;
  const gts = [a, b].map((fd) =>
    spawn(async () => {
      for (;;) {
        await trampoline(fd, { read: true });
        rig.read(fd);
        rig.write(fd);
        trips++;
      }
    })
  );
  rig.write(a);
  return async () => {
    for (const gt of gts) await kill(gt);
    return trips;
  };
}

/** One request to a server of Deno's own on this same thread. */
async function fetchOnce(): Promise<string> {
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    () => new Response("hello", { headers: { connection: "close" } }),
  );
  const client = Deno.createHttpClient({ poolMaxIdlePerHost: 0 });
  try {
    const url = `http://127.0.0.1:${server.addr.port}/`;
    const response = await fetch(url, { client });
    return await response.text();
  } finally {
    client.close();
    await server.shutdown();
  }
}

/** The cases of this group. */
export const coexistenceCases: readonly Case[] = [
  ["an idle hub makes no passes", async (rig) => {
    const { hub } = rig;
    const [reader] = rig.pipe();
    const gt = spawn(() => trampoline(reader, { read: true }));
    const sleeper = spawn(() => sleep(60_000));
    await sleep();
    await rig.parked();
    const before = hub.statistics();
    const start = performance.now();
    await new Promise((resolve) => setTimeout(resolve, 150));
    const elapsed = performance.now() - start;
    const passes = hub.statistics().passes - before.passes;
    // One that cannot park looks again after up to 16 ms; one that parks and
    // cannot be woken, after each of its short parks.
    const most = before.parking === "none"
      ? 10 + elapsed / 8
      : 5 + elapsed / hub.longestPark;
    assert.ok(passes <= most, `${passes} passes in ${elapsed} ms`);
    await kill(gt);
    await kill(sleeper);
  }],

  ["setInterval keeps its beat while greenthreads are parked", async (rig) => {
    const [reader] = rig.pipe();
    rig.hub.add(READ, reader, never, never);
    await rig.parked();
    const elapsed = await beats();
    assert.ok(elapsed < BEATS_MS, `10 beats took ${elapsed} ms`);
  }],

  ["setInterval keeps its beat while greenthreads are busy", async (rig) => {
    const stop = busy();
    const elapsed = await beats();
    await stop();
    assert.ok(elapsed < BEATS_MS, `10 beats took ${elapsed} ms`);
    assert.ok(rig.hub.statistics().yields > 0);
  }],

  ["setInterval keeps its beat while descriptors are busy", async (rig) => {
    const stop = pingPong(rig);
    const elapsed = await beats();
    assert.ok(await stop() > 100);
    assert.ok(elapsed < BEATS_MS, `10 beats took ${elapsed} ms`);
    rig.assertIdle();
  }],

  [
    "ordinary code that wakes the hub again and again starves nobody",
    async (rig) => {
      const { hub } = rig;
      const [reader] = rig.pipe();
      rig.hub.add(READ, reader, never, never);
      let turned = false;
      setImmediate(() => turned = true);
      for (let i = 0; i < 50_000 && !turned; i++) {
        const called = Promise.withResolvers<void>();
        hub.scheduleCallGlobal(0, called.resolve);
        await called.promise;
        // By then it is parked, if it may be so without a turn of Deno's loop.
        for (let tick = 0; tick < 10; tick++) await null;
      }
      assert.ok(turned, "Deno's loop had no turn");
    },
  ],

  ["greenthreads go on while Deno's loop is busy", async (rig) => {
    const [reader, writer] = rig.pipe();
    let on = true;
    const churn = (async () => {
      while (on) await macrotask();
    })();
    const gt = spawn(async () => {
      for (let i = 0; i < 20; i++) {
        await trampoline(reader, { read: true });
        rig.read(reader);
      }
    });
    for (let i = 0; i < 20; i++) {
      rig.write(writer);
      await sleep(0.5);
    }
    await within(5000, gt.wait());
    on = false;
    await churn;
  }],

  ["fetch and Deno.serve work while greenthreads are parked", async (rig) => {
    const [reader] = rig.pipe();
    rig.hub.add(READ, reader, never, never);
    await rig.parked();
    assert.equal(await within(10_000, fetchOnce()), "hello");
  }, "net"],

  ["fetch and Deno.serve work while greenthreads are busy", async (rig) => {
    const stop = pingPong(rig);
    assert.equal(await within(10_000, fetchOnce()), "hello");
    await stop();
  }, "net"],

  ["a greenthread may await a fetch, and stops only itself", async () => {
    let turns = 0;
    const gt = spawn(() => fetchOnce());
    const other = spawn(async () => {
      for (; !gt.dead; turns++) await sleep(1);
    });
    assert.equal(await gt.wait(), "hello");
    await other.wait();
    assert.ok(turns > 0);
  }, "net"],

  ["a signal interrupts no wait, and its handler may wake", async (rig) => {
    const { hub } = rig;
    const [reader, writer] = rig.pipe();
    const start = hub.clock();
    const sleeper = spawn(() => sleep(30));
    const waiter = spawn(() => trampoline(reader, { read: true }));
    const bare = spawn(() => hub.switch());
    await sleep();
    await rig.parked();
    let signals = 0;
    const onSignal = (): void => {
      // The second one finds MAINLOOP parked again.
      if (++signals === 2) bare.switch("signalled");
      else Deno.kill(Deno.pid, "SIGUSR1");
    };
    Deno.addSignalListener("SIGUSR1", onSignal);
    Deno.kill(Deno.pid, "SIGUSR1");
    assert.equal(await within(5000, bare.wait()), "signalled");
    Deno.removeSignalListener("SIGUSR1", onSignal);
    assert.deepEqual([signals, waiter.dead], [2, false]);
    await sleeper.wait();
    assert.ok(hub.clock() - start >= 30);
    rig.write(writer);
    assert.equal(await waiter.wait(), reader);
  }, "run"],

  ["messages between Deno's promises and greenthreads arrive", async (rig) => {
    const [reader] = rig.pipe();
    const channel = new MessageChannel();
    const got = Promise.withResolvers<unknown>();
    channel.port1.onmessage = ({ data }) => got.resolve(data);
    rig.hub.add(READ, reader, never, never);
    await rig.parked();
    channel.port2.postMessage("ping");
    const gt = spawn(() => got.promise);
    assert.equal(await within(5000, gt.wait()), "ping");
    channel.port1.close();
    channel.port2.close();
  }],

  [
    "who is woken from ordinary code is woken, however late that comes",
    async ({ hub }) => {
      const goOn: readonly (() => unknown)[] = [
        () => {}, // Ends: whoever waits for it is resumed.
        () => sleep(),
        () => spawn(() => {}).wait(),
        () => new Promise<void>((done) => hub.scheduleCallGlobal(0, done)),
      ];
      // Microtasks after MAINLOOP has let main go on: it may be anywhere
      // between the end of a pass and a park, and with nothing else to wait
      // for it would sleep for good.
      for (let late = 0; late < 60; late++) {
        for (const next of goOn) {
          const sleeper = spawn(async () => {
            await sleep(Infinity).catch(() => {});
            await next();
            return late;
          });
          const waiter = spawn(() => sleeper.wait());
          await sleep();
          const woken = waiter.wait();
          for (let tick = 0; tick < late; tick++) await null;
          sleeper.throw(new Error("woken"));
          assert.equal(await within(5000, woken), late);
        }
      }
    },
  ],
];
