/**
 * Fairness of sockets: a greenthread whose calls never have to wait lets others
 * run, other greenthreads and Deno's timers alike.
 */

import { assert } from "@std/assert";
import { getHub, sleep, spawn } from "../../mod.ts";
import { connect, listen, listenDatagram } from "../../green/net.ts";
import { tcpPair, temporaryPath, test } from "./rig.ts";

getHub();

/** Call `step` again and again for 50 ms; what others got done meanwhile. */
async function beside(
  step: () => Promise<unknown>,
): Promise<{ ticks: number; beats: number }> {
  let [ticks, beats, on] = [0, 0, true];
  const interval = setInterval(() => beats++, 1);
  const ticker = spawn(async () => {
    while (on) {
      ticks++;
      await sleep();
    }
  });
  try {
    const end = performance.now() + 50;
    while (performance.now() < end) await step();
  } finally {
    on = false;
    clearInterval(interval);
    await ticker.wait();
  }
  return { ticks, beats };
}

function assertFair({ ticks, beats }: { ticks: number; beats: number }): void {
  assert(ticks > 10, `the other greenthread ran ${ticks} times`);
  assert(beats > 3, `Deno's timer fired ${beats} times`);
}

test("a greenthread that writes and reads what is there lets others run", async () => {
  const [a, b] = await tcpPair();
  const p = new Uint8Array(1);
  assertFair(
    await beside(async () => {
      await a.write(p);
      await b.read(p);
    }),
  );
  a.close();
  b.close();
});

test("a greenthread that only reads what is there lets others run", async () => {
  const [a, b] = await tcpPair();
  await a.write(new Uint8Array(500_000));
  await a.closeWrite();
  const p = new Uint8Array(1);
  assertFair(await beside(() => b.read(p)));
  // And at the end of file.
  for (const buffer = new Uint8Array(65_536); await b.read(buffer) !== null;);
  assertFair(await beside(() => b.read(p)));
  a.close();
  b.close();
});

test("a greenthread that sends and receives datagrams lets others run", async () => {
  using a = listenDatagram({
    transport: "udp",
    hostname: "127.0.0.1",
    port: 0,
  });
  const p = new Uint8Array(1);
  assertFair(
    await beside(async () => {
      await a.send(p, a.addr);
      await a.receive(p);
    }),
  );
});

test("a greenthread that accepts what is there lets others run", async () => {
  const path = temporaryPath();
  using listener = listen({ transport: "unix", path });
  assertFair(
    await beside(async () => {
      using _client = await connect({ transport: "unix", path });
      using _server = await listener.accept();
    }),
  );
});
