/**
 * Several connections are received from before the first reader goes on. What
 * has been received is not lost, whatever the first reader does to the others.
 */

import { assertEquals, assertRejects } from "@std/assert";
import { READ } from "../../hubs/poller.ts";
import { getHub, IOClosed, sleep, spawn, useHub } from "../../mod.ts";
import {
  connect,
  listen,
  serve,
  StopServe,
  type TcpConn,
} from "../../green/net.ts";
import { tcpPair, test } from "./rig.ts";

// Open libc before anybody counts libraries.
getHub();

const ONE = new Uint8Array([1, 2, 3]);

/** One message there, and one read of it, which waits. */
async function readOne(
  client: TcpConn,
  conn: TcpConn,
  p: Uint8Array,
): Promise<void> {
  const reading = spawn(() => conn.read(p));
  await sleep(0);
  await client.write(ONE);
  assertEquals(await reading.wait(), 3);
}

/** How many read beside the two: each is received from alone, or all at once. */
const BESIDE = [0, 6];

/**
 * Two readers whose data comes at once. The first to go on does `what` to the
 * other and then reads once more; returns what the other has seen.
 */
async function meddle(
  beside: number,
  what: (other: number, conns: TcpConn[], gts: { kill(): void }[]) => void,
): Promise<unknown[]> {
  const pairs = [await tcpPair(), await tcpPair()];
  const more: [TcpConn, TcpConn][] = [];
  while (more.length < beside) more.push(await tcpPair());
  const conns = pairs.map(([, conn]) => conn);
  const seen: unknown[] = [];
  let first = true;
  const read = async (i: number): Promise<void> => {
    const conn = conns[i]!;
    const p = new Uint8Array(8);
    const n = await conn.read(p);
    if (first) {
      first = false;
      what(1 - i, conns, gts);
      return;
    }
    seen.push(n, [...p.subarray(0, n ?? 0)]);
    try {
      seen.push(await conn.read(p));
    } catch (error) {
      seen.push((error as Error).name);
      throw error;
    }
  };
  const gts = [spawn(read, 0), spawn(read, 1)];
  const others = more.map(([, conn]) =>
    spawn(() => conn.read(new Uint8Array(8)))
  );
  const ended = [...gts, ...others].map((gt) => gt.wait().catch(() => {}));
  await sleep(0);
  await sleep(0);
  for (const [client] of [...pairs, ...more]) void client.write(ONE);
  const results = await Promise.all(ended);
  // Those of a hub that was closed wait for ever: they are received from first.
  assertEquals(results.slice(2), new Array(beside).fill(3));
  for (const conn of [...pairs, ...more].flat()) conn.close();
  return seen;
}

test("readers of one sweep go on in the kernel's order", async () => {
  const pairs: [TcpConn, TcpConn][] = [];
  for (let i = 0; i < 40; i++) pairs.push(await tcpPair());
  const seen: number[] = [];
  const gts = pairs.map(([, conn], i) =>
    spawn(async () => {
      await conn.read(new Uint8Array(8));
      seen.push(i);
    })
  );
  await sleep(0);
  await sleep(0);
  for (const [client] of pairs) void client.write(ONE);
  for (const gt of gts) await gt.wait();
  for (const conn of pairs.flat()) conn.close();
  const all = pairs.map((_, i) => i);
  // For epoll that is the order in which the data came; poll(2) has its own.
  if (getHub().name === "epolls") assertEquals(seen, all);
  else assertEquals(seen.toSorted((a, b) => a - b), all);
});

for (const beside of BESIDE) {
  test(`a reader whose data was received gets it, though its socket is closed meanwhile, ${beside} beside it`, async () => {
    const seen = await meddle(beside, (other, conns) => conns[other]!.close());
    assertEquals(seen, [3, [...ONE], "IOClosed"]);
  });
}

test("a reader of a later batch learns of the close, whatever its number names by then", async () => {
  const pairs: [TcpConn, TcpConn][] = [];
  for (let i = 0; i < 40; i++) pairs.push(await tcpPair());
  const seen: unknown[] = [];
  let first = true;
  const gts = pairs.map(([, conn]) =>
    spawn(async () => {
      try {
        await conn.read(new Uint8Array(8));
        // All others: those that were received from keep what they have.
        if (first) pairs.forEach(([, other]) => other.close());
        first = false;
        seen.push("data");
      } catch (error) {
        seen.push((error as Error).name);
      }
    })
  );
  await sleep(0);
  await sleep(0);
  for (const [client] of pairs) void client.write(ONE);
  for (const gt of gts) await gt.wait();
  for (const [client] of pairs) client.close();
  assertEquals(seen.length, 40);
  const others = seen.filter((what) => what !== "data");
  assertEquals(others, new Array(others.length).fill("IOClosed"));
  assertEquals(others.length > 0, true);
});

for (const beside of BESIDE) {
  test(`a reader whose data was received gets it, though it is killed meanwhile, ${beside} beside it`, async () => {
    const seen = await meddle(
      beside,
      (other, _conns, gts) => gts[other]!.kill(),
    );
    assertEquals(seen, [3, [...ONE], "GreenletExit"]);
  });
}

for (const beside of BESIDE) {
  test(`what was received is delivered by the hub that follows, ${beside} beside it`, async () => {
    let next = Promise.resolve();
    const seen = await meddle(beside, (other, conns) => {
      // The listener of the second read is the new hub's.
      next = Promise.resolve(getHub().close()).then(() => {
        conns[other]!.close();
      });
    });
    await next;
    assertEquals(seen.slice(0, 2), [3, [...ONE]]);
  });
}

for (const beside of BESIDE) {
  test(`what was received is delivered though the hub is told to stop, ${beside} beside it`, async () => {
    const seen = await meddle(beside, (other, conns) => {
      getHub().abort();
      conns[other]!.closeWrite();
      setTimeout(() => conns[other]!.close(), 5);
    });
    assertEquals(seen, [3, [...ONE], "IOClosed"]);
  });
}

test("StopServe while another connection was being accepted: that one is served", async () => {
  using listener = listen({ hostname: "127.0.0.1", port: 0 });
  const served: number[] = [];
  const server = spawn(() =>
    serve(listener, async (conn) => {
      const p = new Uint8Array(1);
      await conn.read(p);
      served.push(p[0]!);
      if (p[0] === 1) throw new StopServe();
    })
  );
  using one = await connect({ port: listener.addr.port });
  await sleep(1);
  // Both in one sweep: the byte that stops it, and a connection.
  await one.write(new Uint8Array([1]));
  using two = await connect({ port: listener.addr.port });
  await two.write(new Uint8Array([2]));
  await server.wait();
  // Either it was accepted, and then its handler runs to its end, or not.
  two.close();
  await sleep(1);
  assertEquals(served[0], 1);
  assertEquals(listener.fileno() >= 0, true);
});

test("a listener of the user's own may come between two reads of a connection", async () => {
  const [client, conn] = await tcpPair();
  const p = new Uint8Array(8);
  for (let round = 0; round < 3; round++) {
    await readOne(client, conn, p);
    assertEquals(getHub().getReaders(), []);
    const ready = Promise.withResolvers<number>();
    const listener = getHub().add(
      READ,
      conn.fileno(),
      ready.resolve,
      ready.reject,
    );
    assertEquals(getHub().getReaders(), [listener]);
    await client.write(ONE);
    assertEquals(await ready.promise, conn.fileno());
    getHub().remove(listener);
    assertEquals(await conn.read(p), 3);
  }
  client.close();
  conn.close();
});

test("data that comes while nobody reads stirs the hub once, not in every pass", async () => {
  const [client, conn] = await tcpPair();
  const p = new Uint8Array(8);
  await readOne(client, conn, p);
  await client.write(ONE);
  const { sweeps } = getHub().statistics();
  await sleep(20);
  const more = getHub().statistics().sweeps - sweeps;
  assertEquals(more < 50, true, `${more} sweeps`);
  assertEquals(await conn.read(p), 3);
  client.close();
  conn.close();
});

test("a connection is read on by the hub that follows", async () => {
  const [client, conn] = await tcpPair();
  const p = new Uint8Array(8);
  for (let round = 0; round < 3; round++) {
    await readOne(client, conn, p);
    await getHub().close();
    useHub(null);
  }
  client.close();
  await assertRejects(() => {
    conn.close();
    return conn.read(p);
  }, IOClosed);
});
