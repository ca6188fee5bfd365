/**
 * Where several connections have something, MAINLOOP receives from all of them
 * in one system call. Nobody notices: whatever is sent arrives as it would
 * otherwise, also where the kernel refuses.
 */

import { assert, assertEquals } from "@std/assert";
import { AioReceive, MOST, ROOM } from "../../ffi/aio_receive.ts";
import { EAGAIN, EFD_NONBLOCK, EINTR } from "../../ffi/constants.ts";
import { libc } from "../../ffi/libc.ts";
import { closeSocket, openSocketPair, transmit } from "../../ffi/socket.ts";
import type { TcpConn, UnixConn } from "../../green/net.ts";
import { getHub, sleep, spawn } from "../../mod.ts";
import { LIBC_ONLY } from "../helpers/grants.ts";
import { testWith } from "../helpers/need.ts";
import { generator } from "../helpers/random.ts";
import { projectUrl, runProgram } from "../helpers/spawn.ts";
import {
  canTrace,
  countInjected,
  faults,
  type Trace,
  traceModule,
} from "../helpers/strace.ts";
import {
  pattern,
  readAll,
  reset,
  settled,
  tcpPair,
  test,
  unixPair,
} from "./rig.ts";

type Pair = [client: TcpConn | UnixConn, server: TcpConn | UnixConn];

// Open libc before anybody counts libraries.
const hubName = getHub().name;

/** Enough for all to be received from together, and for two batches. */
const MANY = MOST + 8;

async function pairsOf(count: number, make: () => Promise<Pair>) {
  const pairs: Pair[] = [];
  for (let i = 0; i < count; i++) pairs.push(await make());
  return pairs;
}

function close(pairs: readonly Pair[]): void {
  for (const conn of pairs.flat()) conn.close();
}

/** What `reading` comes to for each, if all wait before `sending` begins. */
async function together<T>(
  pairs: readonly Pair[],
  reading: (conn: Pair[1], i: number) => Promise<T>,
  sending: (conn: Pair[0], i: number) => unknown,
): Promise<T[]> {
  const gts = pairs.map(([, conn], i) => spawn(reading, conn, i));
  // All wait, and the hub has looked in vain.
  await sleep(0);
  await sleep(0);
  const sent = pairs.map(([conn], i) => sending(conn, i));
  const results: T[] = [];
  for (const gt of gts) results.push(await gt.wait());
  await Promise.all(sent);
  return results;
}

for (const [kind, make] of [["TCP", tcpPair], ["Unix", unixPair]] as const) {
  test(`messages of all sizes arrive in buffers of all sizes over ${kind}`, async () => {
    const sizes = [1, 64, ROOM - 1, ROOM, ROOM + 1, 3 * ROOM, 20_000];
    const rooms = [1, 63, ROOM - 1, ROOM, ROOM + 1, 2 * ROOM, 65_536];
    const pairs = await pairsOf(sizes.length * rooms.length, make);
    const got = await together(pairs, async (conn, i) => {
      // A view into the midst of a buffer, of which nothing else changes.
      const room = rooms[i % rooms.length]!;
      const buffer = new Uint8Array(room + 2).fill(7);
      const p = buffer.subarray(1, room + 1);
      const chunks: number[][] = [];
      for (let n; (n = await conn.read(p)) !== null;) {
        assert(n > 0 && n <= room);
        chunks.push([...p.subarray(0, n)]);
      }
      assertEquals([buffer[0], buffer[room + 1]], [7, 7]);
      return chunks.flat();
    }, async (conn, i) => {
      const size = sizes[Math.floor(i / rooms.length)]!;
      await conn.write(pattern(size, i));
      await conn.closeWrite();
    });
    got.forEach((bytes, i) => {
      const size = sizes[Math.floor(i / rooms.length)]!;
      assertEquals(new Uint8Array(bytes), pattern(size, i));
    });
    close(pairs);
  });
}

test("a message that fits the buffer is read whole, however many have one", async () => {
  const pairs = await pairsOf(MANY, unixPair);
  const size = 5 * ROOM + 1;
  const got = await together(
    pairs,
    (conn) => conn.read(new Uint8Array(65_536)),
    (conn, i) => conn.write(pattern(size, i)),
  );
  assertEquals(got, new Array(MANY).fill(size));
  close(pairs);
});

test("streams of many connections carry every byte", async () => {
  const pairs = await pairsOf(MANY, tcpPair);
  const sizeOf = (i: number): number => 1 + i * 397;
  const got = await together(
    pairs,
    async ({ readable }) =>
      new Uint8Array(await new Response(readable).bytes()),
    async (conn, i) => {
      await conn.write(pattern(sizeOf(i), i));
      await conn.closeWrite();
    },
  );
  got.forEach((bytes, i) => assertEquals(bytes, pattern(sizeOf(i), i)));
  close(pairs);
});

/** How many greenthreads are busy beside it: where many are, reads wait first. */
for (const busy of [0, 3]) {
  test(`ends, resets and data that come at once are told apart, ${busy} busy beside it`, async () => {
    let on = true;
    const others = Array.from({ length: busy }, () =>
      spawn(async () => {
        while (on) await sleep();
      }));
    const pairs = await pairsOf(MANY, tcpPair);
    const read = async (conn: Pair[1]): Promise<unknown[]> => {
      const seen: unknown[] = [];
      const p = new Uint8Array(2 * ROOM);
      try {
        for (let n: number | null = 0; n !== null;) {
          seen.push(n = await conn.read(p));
        }
      } catch (error) {
        seen.push((error as { code?: string }).code);
      }
      return seen;
    };
    const got = await together(pairs, read, (conn, i) => {
      // As many as are received at first: what comes behind is met right then.
      if (i % 4 < 2) void conn.write(pattern(i % 4 === 0 ? ROOM : 5));
      if (i % 2 === 0) reset(conn);
      else conn.close();
    });
    const kinds = [[ROOM, "ECONNRESET"], [5, null], ["ECONNRESET"], [null]];
    on = false;
    for (const gt of others) await gt.wait();
    assertEquals(got, pairs.map((_, i) => kinds[i % 4]!));
    close(pairs);
  });
}

test("a reset behind the data is told to the writer, too", async () => {
  const pairs = await pairsOf(8, tcpPair);
  const got = await together(pairs, async (conn) => {
    const n = await conn.read(new Uint8Array(2 * ROOM));
    const codes: unknown[] = [];
    for (const call of [conn.write, conn.write, conn.read]) {
      const error = await settled(call.call(conn, new Uint8Array(1)));
      codes.push((error as { code?: string }).code);
    }
    return [n, ...codes];
  }, (conn) => {
    void conn.write(pattern(ROOM));
    reset(conn);
  });
  const each = [ROOM, "ECONNRESET", "EPIPE", "ECONNRESET"];
  assertEquals(got, pairs.map(() => each));
  close(pairs);
});

test("a buffer that is detached meanwhile fails, and its data is read later", async () => {
  const pairs = await pairsOf(8, tcpPair);
  const buffers = pairs.map(() => new Uint8Array(16));
  const got = await together(pairs, async (conn, i) => {
    try {
      return await conn.read(buffers[i]!);
    } catch (error) {
      return [(error as Error).name, await conn.read(new Uint8Array(16))];
    }
  }, (conn, i) => {
    if (i % 2 === 0) buffers[i]!.buffer.transfer();
    return conn.write(pattern(9, i));
  });
  assertEquals(got, pairs.map((_, i) => i % 2 === 0 ? ["TypeError", 9] : 9));
  close(pairs);
});

test("a reader that was killed or closed before has received nothing", async () => {
  const pairs = await pairsOf(9, tcpPair);
  const gts = pairs.map(([, conn]) =>
    spawn(() => conn.read(new Uint8Array(16)))
  );
  const ended = gts.map((gt) => gt.wait().catch((error: Error) => error.name));
  await sleep(0);
  await sleep(0);
  for (const [client] of pairs) void client.write(pattern(5));
  gts[3]!.kill();
  pairs[6]![1].close();
  const results = await Promise.all(ended);
  const [killed, closed] = [results[3], results[6]];
  assertEquals(results.filter((n) => n === 5).length, 7);
  assertEquals([killed, closed], ["GreenletExit", "IOClosed"]);
  assertEquals(await pairs[3]![1].read(new Uint8Array(16)), 5);
  close(pairs);
});

test("random traffic over many connections arrives as it was sent", async () => {
  const random = generator(20_261);
  const pairs = await pairsOf(MANY, unixPair);
  const parts = pairs.map(() =>
    Array.from({ length: 12 }, () => 1 + Math.floor(random() ** 4 * 9000))
  );
  const got = await together(pairs, readAll, async (conn, i) => {
    let at = 0;
    for (const size of parts[i]!) {
      await conn.write(pattern(1e5, i).subarray(at, at += size));
      await sleep(0);
    }
    await conn.closeWrite();
  });
  got.forEach((bytes, i) => {
    const size = parts[i]!.reduce((sum, one) => sum + one, 0);
    assertEquals(bytes, pattern(1e5, i).subarray(0, size));
  });
  close(pairs);
});

test("a descriptor that is not open is left to its reader, and so is what follows", () => {
  if (Deno.build.os !== "linux") return;
  const sockets = [openSocketPair(), openSocketPair(), openSocketPair()];
  for (const [, far] of sockets) transmit(far, pattern(40));
  const aio = new AioReceive();
  try {
    closeSocket(sockets[1]![0]);
    for (const [near] of sockets) aio.want(near, 30);
    aio.run();
    assertEquals([0, 1, 2].map((at) => aio.count(at)), [30, -EINTR, -EINTR]);
    assertEquals(aio.bytes(0), pattern(30));
    for (const at of [1, 0]) aio.want(sockets[at]![0], 30);
    aio.run();
    assertEquals([0, 1].map((at) => aio.count(at)), [-EINTR, -EINTR]);
    assertEquals(aio.broken, false);
    for (const at of [0, 2]) aio.want(sockets[at]![0], 30);
    aio.run();
    assertEquals([0, 1].map((at) => aio.count(at)), [10, 30]);
    assertEquals(aio.bytes(0), pattern(40).subarray(30));
  } finally {
    aio.close();
    sockets.forEach(([near, far], i) => {
      if (i !== 1) closeSocket(near);
      closeSocket(far);
    });
  }
});

test("what a kernel says that cannot read sockets so is not told to the reader", () => {
  if (Deno.build.os !== "linux") return;
  const [near, far] = openSocketPair();
  // Refuses to be read in less than eight bytes.
  const eventfd = libc().eventfd(1, EFD_NONBLOCK);
  const aio = new AioReceive();
  try {
    transmit(far, pattern(5));
    aio.want(near, 30);
    aio.want(eventfd, 4);
    aio.want(near, 30);
    aio.run();
    assertEquals([0, 1, 2].map((at) => aio.count(at)), [5, -EINTR, -EAGAIN]);
    assertEquals(aio.broken, true);
    assertEquals(aio.bytes(0), pattern(5));
  } finally {
    aio.close();
    for (const fd of [near, far, eventfd]) closeSocket(fd);
  }
});

/** Rounds of messages on 40 connections at a time. */
const PROGRAM = `
  import { getHub, sleep, spawn, useHub } from "${projectUrl("mod.ts")}";
  import { connect, listen } from "${projectUrl("green/net.ts")}";
  useHub("${hubName}");
  const listener = listen({ hostname: "127.0.0.1", port: 0 });
  const clients = [];
  const gts = [];
  let got = 0;
  for (let i = 0; i < 40; i++) {
    clients.push(await connect(listener.addr));
    const conn = await listener.accept();
    gts.push(spawn(async () => {
      const p = new Uint8Array(100);
      for (let n; (n = await conn.read(p)) !== null;) {
        for (const byte of p.subarray(0, n)) got += byte;
      }
      conn.close();
    }));
  }
  for (let round = 1; round <= 10; round++) {
    await sleep(1);
    const message = new Uint8Array(50).fill(round);
    for (const client of clients) client.write(message);
  }
  for (const client of clients) client.close();
  for (const gt of gts) await gt.wait();
  listener.close();
  console.log(got);
  await getHub().close();
`;
const SUM = `${40 * 50 * 55}\n`;

function traced(...options: string[]): Promise<Trace> {
  return traceModule(PROGRAM, options, ["--allow-ffi", "--allow-net"]);
}

testWith(
  ["strace", canTrace],
  "many connections are received from in one system call",
  async () => {
    const { stdout, stderr, lines } = await traced(
      "-e",
      "trace=recvfrom,io_submit",
    );
    assertEquals([stdout, stderr], [SUM, ""]);
    const together = lines.filter((line) => line.includes("IOCB_CMD_PREAD"));
    const singly = lines.filter((line) => /recvfrom\(.*"\\[0-9]+/.test(line));
    assert(together.length >= 10, `${together.length} for many`);
    assert(singly.length < 200, `${singly.length} of 400 for one`);
  },
);

/** Refused for good, for the moment, now and then. */
const FAULTS = [
  "io_setup:error=EPERM",
  "io_setup:error=EAGAIN",
  "io_submit:error=ENOSYS",
  "io_submit:error=EAGAIN:when=1+3",
  "io_submit:error=EINTR:when=1+2",
];

for (const fault of FAULTS) {
  testWith(
    ["strace", canTrace],
    `connections are received from, all the same, with ${fault}`,
    async () => {
      const result = await traced(...faults(fault));
      assertEquals([result.stdout, result.stderr], [SUM, ""]);
      assert(countInjected(result) > 0);
    },
  );
}

Deno.test("a Worker that has received so leaves nothing to the process", async () => {
  const { stdout, stderr } = await runProgram(
    `
    const text = ${JSON.stringify(PROGRAM)} + "self.postMessage(got);";
    const blob = new Blob([text], { type: "application/typescript" });
    const url = URL.createObjectURL(blob);
    const worker = new Worker(url, { type: "module" });
    worker.onmessage = ({ data }) => {
      const maps = Deno.readTextFileSync("/proc/self/maps");
      console.log(data, maps.split("[aio]").length - 1);
      worker.terminate();
    };
  `,
    { flags: ["--allow-all"] },
  );
  assertEquals([stdout, stderr], [`${SUM}${SUM.trim()} 0\n`, ""]);
});

if (hubName !== "libevent") {
  Deno.test("many connections are received from under a grant for libc alone", async () => {
    const { stdout, stderr } = await runProgram(PROGRAM, {
      flags: [LIBC_ONLY, "--allow-net"],
    });
    assertEquals([stdout, stderr], [SUM, ""]);
  });

  for (
    const fault of [
      "io_getevents:error=ENOSYS",
      "io_getevents:error=EINTR:when=1+2",
    ]
  ) {
    testWith(
      ["strace", canTrace],
      `the same with ${fault}`,
      async () => {
        const result = await traceModule(PROGRAM, faults(fault), [
          LIBC_ONLY,
          "--allow-net",
        ]);
        assertEquals([result.stdout, result.stderr], [SUM, ""]);
        assert(countInjected(result) > 0);
      },
    );
  }
}
