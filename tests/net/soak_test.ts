/**
 * A soak: many connections that open, send random sizes, half-close, reset,
 * time out and close at random; every byte is accounted for, and nothing is
 * left in the end. Seeded: `SOAK_SEED` repeats a run, `SOAK_SECONDS` is its
 * length (default 3).
 */

import { assert, assertEquals } from "@std/assert";
import {
  getCurrent,
  getHub,
  type GreenThread,
  IOClosed,
  sleep,
  spawn as spawnAny,
  SystemError,
  Timeout,
} from "../../mod.ts";
import {
  connect,
  listen,
  type Listener,
  serve,
  type StreamConn,
} from "../../green/net.ts";
import { assertNoFdLeak } from "../helpers/fds.ts";
import { generator } from "../helpers/random.ts";
import { reset, settled, temporaryPath } from "./rig.ts";

getHub();

const SECONDS = Number(Deno.env.get("SOAK_SECONDS") || 3);
const SEED = Number(Deno.env.get("SOAK_SEED") || Date.now() % 1_000_000);
const CLIENTS = 200;
const LARGEST = 200_000;

/** The greenthreads that have not ended: the test's and the handlers'. */
const alive = new Set<GreenThread>();

function watch<T extends GreenThread>(gt: T): T {
  alive.add(gt);
  gt.link(() => alive.delete(gt));
  return gt;
}

function spawn<T>(fn: () => Promise<T>): GreenThread<T> {
  const gt = spawnAny(fn);
  watch(gt as GreenThread);
  return gt;
}

/** The byte at a place of a connection's stream. */
function byteAt(key: number, at: number): number {
  return (key * 7 + at * 13 + (at >> 8) * 5) & 255;
}

function fill(p: Uint8Array, key: number, from: number): void {
  for (let i = 0; i < p.length; i++) p[i] = byteAt(key, from + i);
}

function verify(p: Uint8Array, key: number, from: number): void {
  for (let i = 0; i < p.length; i++) {
    if (p[i] !== byteAt(key, from + i)) {
      throw new Error(`Wrong byte at ${from + i} of connection ${key}`);
    }
  }
}

interface Tally {
  echoed: number;
  conns: number;
  resets: number;
  timeouts: number;
  halves: number;
  closes: number;
}

async function echo(conn: StreamConn): Promise<void> {
  watch(getCurrent());
  const p = new Uint8Array(8192);
  try {
    for (let n; (n = await conn.read(p)) !== null;) {
      await conn.write(p.subarray(0, n));
    }
  } catch (error) {
    // Clients reset and go; anything else is a failure.
    if (!(error instanceof SystemError)) throw error;
    assert(["ECONNRESET", "EPIPE"].includes(error.code), error.message);
  }
}

/** One connection's life. */
async function life(
  conn: StreamConn,
  random: () => number,
  key: number,
  tally: Tally,
): Promise<void> {
  const rounds = Math.floor(random() * 6);
  let sent = 0;
  let received = 0;
  const p = new Uint8Array(16_384);
  for (let round = 0; round < rounds; round++) {
    const data = new Uint8Array(1 + Math.floor(random() ** 4 * LARGEST));
    fill(data, key, sent);
    const writing = spawn(() => conn.write(data));
    for (let left = data.length; left > 0;) {
      const n = await conn.read(p);
      assert(n !== null, "the echo ended early");
      verify(p.subarray(0, n), key, received);
      received += n;
      left -= n;
    }
    assertEquals(await writing.wait(), data.length);
    sent += data.length;
    if (random() < 0.2) await sleep(random() * 3);
  }
  tally.echoed += received;
  const end = random();
  if (end < 0.25) {
    tally.resets++;
    reset(conn);
  } else if (end < 0.5) {
    tally.halves++;
    await conn.closeWrite();
    assertEquals(await conn.read(p), null);
    conn.close();
  } else if (end < 0.7) {
    tally.timeouts++;
    conn.readTimeout = random() * 3;
    const error = await settled(conn.read(p));
    assert(error instanceof Timeout, String(error));
    conn.close();
  } else if (end < 0.85) {
    // Closed under a reader, and sometimes under a writer too.
    tally.closes++;
    const reading = spawn(() => conn.read(p));
    const writing = random() < 0.5
      ? spawn(() => conn.write(new Uint8Array(30_000_000)))
      : null;
    const ends = [reading, writing].map((gt) =>
      gt === null ? null : settled<unknown>(gt.wait())
    );
    await sleep(random());
    conn.close();
    const [read, written] = await Promise.all(ends);
    assert(
      read instanceof IOClosed || writing !== null && typeof read === "number",
      String(read),
    );
    assert(written === null || written instanceof IOClosed, String(written));
  } else conn.close();
}

async function soak(
  listener: Listener,
  dial: () => Promise<StreamConn>,
  seconds: number,
): Promise<Tally> {
  const tally: Tally = {
    echoed: 0,
    conns: 0,
    resets: 0,
    timeouts: 0,
    halves: 0,
    closes: 0,
  };
  const failures: unknown[] = [];
  const server = spawn(() =>
    serve(listener, echo, {
      concurrency: CLIENTS - 20,
      onError: (error) => failures.push(error),
    })
  );
  const until = performance.now() + seconds * 1000;
  const clients = Array.from({ length: CLIENTS }, (_, i) =>
    spawn(async () => {
      const random = generator(SEED + i);
      await sleep(random() * 20);
      for (let key = i; performance.now() < until; key += CLIENTS) {
        using conn = await dial();
        tally.conns++;
        await life(conn, random, key, tally);
      }
    }));
  for (const client of clients) await client.wait();
  listener.close();
  await server.wait();
  assertEquals(failures, []);
  return tally;
}

for (const transport of ["tcp", "unix"] as const) {
  Deno.test(`green sockets survive a soak over ${transport} (seed ${SEED})`, async () => {
    // The hub opens what it parks with at its first park.
    while (getHub().statistics().parks === 0) await sleep(20);
    await assertNoFdLeak(async () => {
      const path = temporaryPath();
      const listener = transport === "tcp"
        ? listen({ hostname: "127.0.0.1", port: 0 })
        : listen({ transport: "unix", path });
      const { addr } = listener;
      const dial = (): Promise<StreamConn> =>
        "port" in addr
          ? connect({ port: addr.port })
          : connect({ transport: "unix", path: addr.path });
      const tally = await soak(listener, dial, SECONDS / 2);
      assert(tally.conns >= CLIENTS, JSON.stringify(tally));
      assert(tally.echoed > 100_000, JSON.stringify(tally));
      for (const count of Object.values(tally)) assert(count > 0);
    });
    // The last handlers end with their connections.
    for (let i = 0; i < 100 && alive.size > 0; i++) await sleep(5);
    assertEquals([...alive].map(String), []);
    assertEquals(getHub().getReaders(), []);
    assertEquals(getHub().getWriters(), []);
    assertEquals(getHub().getTimersCount(), 0);
  });
}
