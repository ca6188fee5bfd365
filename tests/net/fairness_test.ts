/**
 * Fairness of sockets: a greenthread whose calls never have to wait lets others
 * run, other greenthreads and Deno's timers alike.
 */

import { assert } from "@std/assert";
import { getHub, sleep, spawn } from "../../mod.ts";
import { connect, listen, listenDatagram } from "../../green/net.ts";
import { settled, tcpPair, temporaryPath, test, unixPair } from "./rig.ts";

getHub();

/** Others must have got so much done, ... */
const TICKS = 10;
const BEATS = 3;
/** ... beside a loop that goes on for so long, ms. */
const WINDOW = 50;

/**
 * Call `step` again and again, as a greenthread that never has to wait; assert
 * that another one and Deno's timers run meanwhile.
 */
async function assertFair(step: () => Promise<unknown>): Promise<void> {
  let [ticks, beats, on] = [0, 0, true];
  const interval = setInterval(() => beats++, 1);
  const ticker = spawn(async () => {
    while (on) {
      ticks++;
      await sleep();
    }
  });
  try {
    const end = performance.now() + WINDOW;
    while (performance.now() < end) await step();
  } finally {
    on = false;
    clearInterval(interval);
    await ticker.wait();
  }
  assert(ticks > TICKS, `the other greenthread ran ${ticks} times`);
  assert(beats > BEATS, `Deno's timer fired ${beats} times`);
}

test("a greenthread that writes and reads what is there lets others run", async () => {
  const [a, b] = await tcpPair();
  const p = new Uint8Array(1);
  await assertFair(async () => {
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
  await assertFair(() => b.read(p));
  // And at the end of file.
  for (const buffer = new Uint8Array(65_536); await b.read(buffer) !== null;);
  await assertFair(() => b.read(p));
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
  await assertFair(() => b.read(p));
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
  await assertFair(async () => {
    await a.send(p, a.addr);
    await a.receive(p);
  });
});

test("a greenthread that accepts what is there lets others run", async () => {
  const path = temporaryPath();
  using listener = listen({ transport: "unix", path });
  await assertFair(async () => {
    using _client = await connect({ transport: "unix", path });
    using _server = await listener.accept();
  });
});
