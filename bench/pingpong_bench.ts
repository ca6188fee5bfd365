/**
 * One byte to and fro: two greenthreads that `trampoline` on two pipes, beside
 * two `Deno.Conn`, and beside the same pipes polled from immediates.
 *
 * One iteration is 1,000 trips.
 */

import { libc } from "../ffi/libc.ts";
import { sleep, spawn, trampoline } from "../mod.ts";
import { pipe } from "./parking/common.ts";
import { connPair, hubRows, immediate, useRow } from "./tools/rows.ts";

const TRIPS = 1000;
const group = "ping-pong: 1,000 trips of a byte";
const c = libc();
const byte = new Uint8Array(1);
const [there, thereEnd] = pipe();
const [back, backEnd] = pipe();

let conns: [Deno.TcpConn, Deno.TcpConn] | null = null;

Deno.bench({
  name: "Deno.Conn",
  group,
  baseline: true,
  async fn(b) {
    const [here, far] = conns ??= await connPair();
    const p = new Uint8Array(1);
    b.start();
    const serve = (async () => {
      const q = new Uint8Array(1);
      for (let i = 0; i < TRIPS; i++) {
        await far.read(q);
        await far.write(q);
      }
    })();
    for (let i = 0; i < TRIPS; i++) {
      await here.write(p);
      await here.read(p);
    }
    await serve;
    b.end();
  },
});

Deno.bench({
  name: "pipes, setImmediate",
  group,
  async fn() {
    const until = async (fd: number) => {
      while (c.read(fd, byte, 1) < 0) await immediate();
    };
    const serve = (async () => {
      for (let i = 0; i < TRIPS; i++) {
        await until(there);
        c.write(backEnd, byte, 1);
      }
    })();
    for (let i = 0; i < TRIPS; i++) {
      c.write(thereEnd, byte, 1);
      await until(back);
    }
    await serve;
  },
});

for (const hub of hubRows()) {
  Deno.bench({
    name: hub,
    group,
    async fn(b) {
      useRow(hub);
      await sleep(0);
      const read = { read: true };
      b.start();
      const server = spawn(async () => {
        for (let i = 0; i < TRIPS; i++) {
          await trampoline(there, read);
          c.read(there, byte, 1);
          c.write(backEnd, byte, 1);
        }
      });
      const client = spawn(async () => {
        for (let i = 0; i < TRIPS; i++) {
          c.write(thereEnd, byte, 1);
          await trampoline(back, read);
          c.read(back, byte, 1);
        }
      });
      await client.wait();
      await server.wait();
      b.end();
    },
  });
}
