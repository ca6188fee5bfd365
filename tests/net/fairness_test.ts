/**
 * Fairness of sockets: a greenthread whose calls never have to wait lets others
 * run, other greenthreads and Deno's timers alike.
 */

import { assert, assertEquals } from "@std/assert";
import { getHub, GreenletExit, IOClosed, sleep, spawn } from "../../mod.ts";
import { connect, listen, listenDatagram } from "../../green/net.ts";
import { settled, tcpPair, temporaryPath, test, unixPair } from "./rig.ts";

getHub();

/** Of a greenthread's calls, one in 32 shall go by the hub; some leeway. */
const CALLS = 40;
/** How often Deno's timer must have fired, ... */
const BEATS = 3;
/** ... beside a loop that goes on for so long at least, ms. */
const WINDOW = 50;

/**
 * Call `step` again and again, as a greenthread that never has to wait; assert
 * that another one and Deno's timers run meanwhile. What counts is how often
 * for so many calls: how long those take depends on what else the machine does.
 */
async function assertFair(
  steps: number,
  step: () => Promise<unknown>,
): Promise<void> {
  let [ticks, beats, on] = [0, 0, true];
  const interval = setInterval(() => beats++, 1);
  const ticker = spawn(async () => {
    while (on) {
      ticks++;
      await sleep();
    }
  });
  const end = performance.now() + WINDOW;
  let made = 0;
  try {
    for (; made < steps || performance.now() < end; made++) await step();
  } finally {
    on = false;
    clearInterval(interval);
    await ticker.wait();
  }
  const least = made / CALLS;
  assert(
    ticks > least,
    `the other greenthread ran ${ticks} times, not ${least}`,
  );
  assert(beats > BEATS, `Deno's timer fired ${beats} times`);
}

test("a greenthread that writes and reads what is there lets others run", async () => {
  const [a, b] = await tcpPair();
  const p = new Uint8Array(1);
  await assertFair(1000, async () => {
    await a.write(p);
    await b.read(p);
  });
  a.close();
  b.close();
});

test("a greenthread that only reads what is there lets others run", async () => {
  const [a, b] = await tcpPair();
  await a.write(new Uint8Array(500_000));
  await a.closeWrite();
  const p = new Uint8Array(1);
  await assertFair(4000, () => b.read(p));
  // And at the end of file.
  for (const buffer = new Uint8Array(65_536); await b.read(buffer) !== null;);
  await assertFair(4000, () => b.read(p));
  a.close();
  b.close();
});

test("a greenthread whose connection always has data lets others run", async () => {
  const [a, b] = await unixPair();
  const feeder = spawn(async () => {
    const p = new Uint8Array(60_000);
    for (;;) await a.write(p);
  });
  const p = new Uint8Array(100);
  await assertFair(4000, () => b.read(p));
  b.close();
  await settled(feeder.wait());
  a.close();
});

test("a greenthread that sends and receives datagrams lets others run", async () => {
  using a = listenDatagram({
    transport: "udp",
    hostname: "127.0.0.1",
    port: 0,
  });
  const p = new Uint8Array(1);
  await assertFair(1000, async () => {
    await a.send(p, a.addr);
    await a.receive(p);
  });
});

test("a greenthread that accepts what is there lets others run", async () => {
  const path = temporaryPath();
  using listener = listen({ transport: "unix", path });
  await assertFair(500, async () => {
    using _client = await connect({ transport: "unix", path });
    using _server = await listener.accept();
  });
});

/**
 * Call `step`, which always fails at once, again and again; assert that another
 * greenthread runs before long.
 */
async function assertFairInVain(
  what: string,
  step: () => Promise<unknown>,
): Promise<void> {
  let ran = false;
  const other = spawn(() => ran = true);
  let failures = 0;
  for (let i = 0; i < 200 && !ran; i++) await step().catch(() => failures++);
  assert(ran, `${what}: the other greenthread did not run`);
  assert(failures > 0, `${what}: did not fail`);
  await other.wait();
}

test("a greenthread whose writes and sends fail at once lets others run", async () => {
  const [a, b] = await tcpPair();
  await a.closeWrite();
  const p = new Uint8Array(1);
  await assertFairInVain("write()", () => a.write(p));
  a.close();
  b.close();
  const udp = { transport: "udp", hostname: "127.0.0.1", port: 0 } as const;
  using c = listenDatagram(udp);
  const large = new Uint8Array(70_000);
  await assertFairInVain("send() over UDP", () => c.send(large, c.addr));
  const transport = "unixpacket";
  using d = listenDatagram({ transport });
  const nobody = { transport, path: temporaryPath() } as const;
  await assertFairInVain("send()", () => d.send(p, nobody));
});

test("a greenthread whose connects fail at once lets others run", async () => {
  const path = temporaryPath();
  const unix = { transport: "unix", path } as const;
  await assertFairInVain("nobody", () => connect(unix));
  const signal = AbortSignal.abort();
  await assertFairInVain("aborted", () => connect({ port: 1, signal }));
});

test("a greenthread that uses what is closed lets others run", async () => {
  const [a, b] = await tcpPair();
  const udp = { transport: "udp", hostname: "127.0.0.1", port: 0 } as const;
  const c = listenDatagram(udp);
  const listener = listen({ hostname: "127.0.0.1", port: 0 });
  for (const one of [a, b, c, listener]) one.close();
  const p = new Uint8Array(1);
  await assertFairInVain("read()", () => a.read(p));
  await assertFairInVain("write()", () => a.write(p));
  await assertFairInVain("closeWrite()", () => a.closeWrite());
  await assertFairInVain("accept()", () => listener.accept());
  await assertFairInVain("receive()", () => c.receive());
  await assertFairInVain("send()", () => c.send(p, c.addr));
});

test("what fails at once comes back in order, by the hub or not", async () => {
  using a = listenDatagram({
    transport: "udp",
    hostname: "127.0.0.1",
    port: 0,
  });
  const large = new Uint8Array(70_000);
  const order: number[] = [];
  const sends = Array.from({ length: 100 }, (_, i) => {
    const sent = a.send(i % 2 === 0 ? large : new Uint8Array(1), a.addr);
    return sent.then(() => order.push(i), () => order.push(i));
  });
  await Promise.all(sends);
  assertEquals(order, sends.map((_, i) => i));
});

test("who is killed while a failure comes back by the hub learns of that", async () => {
  const [a, b] = await tcpPair();
  a.close();
  b.close();
  const p = new Uint8Array(1);
  const gt = spawn(async () => {
    const writes = Array.from({ length: 100 }, () => a.write(p));
    return (await Promise.allSettled(writes)).map((one) =>
      (one as PromiseRejectedResult).reason
    );
  });
  const killer = spawn(() => gt.kill());
  const reasons = await gt.wait();
  await killer.wait();
  assert(reasons.some((one) => one instanceof IOClosed));
  assert(reasons.some((one) => one instanceof GreenletExit));
});

test("greenthreads resumed together may each make a call that needs no wait", async () => {
  const pairs = await Promise.all(Array.from({ length: 30 }, () => tcpPair()));
  const byte = new Uint8Array(1);
  const turns: [before: number, after: number][] = [];
  const gts = pairs.map(([, conn]) =>
    spawn(async () => {
      for (let round = 0; round < 3; round++) {
        await conn.read(new Uint8Array(1));
        const before = getHub().statistics().passes;
        await conn.write(byte);
        turns.push([before, getHub().statistics().passes]);
      }
    })
  );
  for (let round = 0; round < 3; round++) {
    // They wait by then, and are ready all at once.
    await sleep(0);
    await sleep(0);
    for (const [client] of pairs) void client.write(byte);
    for (const [client] of pairs) await client.read(new Uint8Array(1));
  }
  await Promise.all(gts.map((gt) => gt.wait()));
  assertEquals(turns.length, 90);
  assertEquals(turns.filter(([before, after]) => after !== before), []);
  for (const conn of pairs.flat()) conn.close();
});
