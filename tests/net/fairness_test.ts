/**
 * Fairness of sockets: a greenthread whose calls never have to wait lets others
 * run, other greenthreads and Deno's timers alike.
 */

import { assert } from "@std/assert";
import { getHub, sleep, spawn } from "../../mod.ts";
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
