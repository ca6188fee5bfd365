/**
 * Connections: reading, writing, their ends, and that no end of a call leaves a
 * listener, a timer or a descriptor behind.
 */

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStrictEquals,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { libc } from "../../ffi/libc.ts";
import {
  formatHubListeners,
  hubListenerStacks,
  hubPreventMultipleReaders,
} from "../../hubs/debug.ts";
import {
  getHub,
  GreenletExit,
  HubError,
  IOClosed,
  notifyClose,
  sleep,
  spawn,
  SystemError,
  Timeout,
} from "../../mod.ts";
import { connect, listen, type StreamConn } from "../../green/net.ts";
import { within } from "../../hubs/conformance/rig.ts";
import { macrotask } from "../../hubs/deno_loop.ts";
import { assertNoFdLeak } from "../helpers/fds.ts";
import {
  bytes,
  passesUntil,
  pattern,
  readAll,
  reset,
  settled,
  tcpPair,
  temporaryPath,
  test,
  text,
  unixPair,
} from "./rig.ts";

getHub();

function assertQuiet(): void {
  assertEquals(getHub().getReaders(), []);
  assertEquals(getHub().getWriters(), []);
  assertEquals(getHub().getTimersCount(), 0);
}

const TRANSPORTS: [string, () => Promise<[StreamConn, StreamConn]>][] = [
  ["TCP over IPv4", () => tcpPair()],
  ["TCP over IPv6", () => tcpPair("::1")],
  ["Unix", () => unixPair()],
];

test("close() is seen by the peer at once, beside a parked hub", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  const conn = await connect({ hostname: "127.0.0.1", port });
  using peer = await listener.accept();
  const p = new Uint8Array(9);
  // It has waited once, so that the hub watches it still.
  setTimeout(() => peer.write(bytes("late")));
  assertEquals(await conn.read(p), 4);
  const hub = getHub();
  const timer = hub.scheduleCallGlobal(60_000, () => {});
  const { parks } = hub.statistics();
  while (hub.statistics().parks === parks) await macrotask();
  conn.close();
  assertEquals(await within(2000, peer.read(p)), null);
  timer.cancel();
});

for (const [transport, pair] of TRANSPORTS) {
  test(`Conn carries data both ways and half-closes over ${transport}`, async () => {
    await assertNoFdLeak(async () => {
      const [a, b] = await pair();
      assertEquals(await a.write(bytes("ping")), 4);
      const p = new Uint8Array(16);
      assertEquals(await b.read(p), 4);
      assertEquals(text(p.subarray(0, 4)), "ping");
      await a.closeWrite();
      assertEquals(await b.read(p), null);
      assertEquals(await b.read(p), null);
      await b.write(bytes("late"));
      assertEquals(await a.read(p), 4);
      a.close();
      b.close();
    });
    assertQuiet();
  });

  test(`write() finishes a buffer larger than the kernel's over ${transport}`, async () => {
    const [a, b] = await pair();
    const data = pattern(5_000_000);
    const reader = spawn(readAll, b);
    assertEquals(await a.write(data), data.length);
    await a.closeWrite();
    assertEquals(await reader.wait(), data);
    a.close();
    b.close();
    assertQuiet();
  });

  test(`write() comes back in order, waiting or not, over ${transport}`, async () => {
    const [a, b] = await pair();
    const order: number[] = [];
    // Now and then one goes by the hub, though it need not wait.
    const writes = Array.from(
      { length: 100 },
      (_, i) => a.write(bytes("x")).then(() => order.push(i)),
    );
    await Promise.all(writes);
    assertEquals(order, writes.map((_, i) => i));
    a.close();
    b.close();
    assertQuiet();
  });

  test(`write() from MAINLOOP comes back while others are on their way over ${transport}`, async () => {
    const [a, b] = await pair();
    const written = Promise.withResolvers<number>();
    // Earlier in the run queue than any of them.
    getHub().scheduleCallGlobal(0, () => {
      a.write(bytes("main")).then(written.resolve, written.reject);
    });
    const writes = Array.from({ length: 100 }, () => a.write(bytes("x")));
    assertEquals(await written.promise, 4);
    await Promise.all(writes);
    a.close();
    b.close();
    assertQuiet();
  });

  test(`write() keeps concurrent writes in order over ${transport}`, async () => {
    const [a, b] = await pair();
    const sizes = [700_000, 3, 900_000, 0, 5000, 1_200_000];
    const parts = sizes.map((size, i) => new Uint8Array(size).fill(i + 1));
    const order: number[] = [];
    const writes = parts.map((part, i) =>
      a.write(part).then((n) => (order.push(i), n))
    );
    const end = a.closeWrite();
    const all = await readAll(b);
    assertEquals(await Promise.all(writes), sizes);
    await end;
    assertEquals(order, [0, 1, 2, 3, 4, 5]);
    let at = 0;
    for (const part of parts) {
      assertEquals(all.slice(at, at += part.length), part);
    }
    assertEquals(at, all.length);
    a.close();
    b.close();
    assertQuiet();
  });

  test(`close() wakes who reads, writes and queues with IOClosed within one pass over ${transport}`, async () => {
    const [a, b] = await pair();
    const calls = [
      spawn(() => a.read(new Uint8Array(1))),
      spawn(() => a.write(new Uint8Array(20_000_000))),
      spawn(() => a.write(new Uint8Array(1))),
      spawn(() => a.closeWrite()),
    ];
    await sleep(1);
    assert(calls.every((gt) => !gt.dead));
    const ends = Promise.all(calls.map((gt) => settled<unknown>(gt.wait())));
    const passes = passesUntil(ends);
    a.close();
    for (const error of await ends) assertInstanceOf(error, IOClosed);
    // One ends the calls, the next the waits for their greenthreads.
    assert(await passes <= 2);
    b.close();
    assertQuiet();
  });
}

test("read() reads what is there without a switch, and nothing into nothing", async () => {
  const [a, b] = await tcpPair();
  assertEquals(await b.read(new Uint8Array(0)), 0);
  await a.write(bytes("abc"));
  const p = new Uint8Array(2);
  assertEquals(await b.read(p), 2);
  assertEquals(await b.read(p), 1);
  assertEquals(text(p.subarray(0, 1)), "c");
  a.close();
  b.close();
});

test("read() goes on finding what is there, though each time it takes all", async () => {
  const [a, b] = await tcpPair();
  const p = new Uint8Array(10);
  const reader = spawn(async () => {
    for (let i = 0; i < 1000; i++) {
      await a.write(bytes("ping"));
      assertEquals(await b.read(p), 4);
    }
  });
  const { passes } = getHub().statistics();
  await reader.wait();
  // Else at least one each. A call in some tens still lets others run.
  const made = getHub().statistics().passes - passes;
  assert(made < 500, `${made} passes`);
  a.close();
  b.close();
});

test("read() and write() reject what is no Uint8Array", async () => {
  const [a, b] = await tcpPair();
  await assertRejects(() => a.read("x" as never), TypeError, "no Uint8Array");
  await assertRejects(() => a.write(3 as never), TypeError, "no Uint8Array");
  assertThrows(
    () => a.readTimeout = NaN,
    RangeError,
    "Cannot set readTimeout: ms is NaN",
  );
  assertThrows(
    () => a.writeTimeout = "1" as never,
    TypeError,
    "Cannot set writeTimeout: ms is no number: string",
  );
  a.close();
  b.close();
});

/** Ways to take a buffer away under a call. */
const TAKEN: [string, (buffer: ArrayBuffer) => void][] = [
  ["detached", (buffer) => void buffer.transfer()],
  ["shrunk to nothing", (buffer) => buffer.resize(0)],
];

for (const [how, take] of TAKEN) {
  test(`read() whose buffer is ${how} meanwhile rejects, and loses no data`, async () => {
    const [a, b] = await tcpPair();
    const buffer = new ArrayBuffer(4, { maxByteLength: 4 });
    const reading = spawn(() => b.read(new Uint8Array(buffer)));
    await sleep(1);
    take(buffer);
    await a.write(bytes("abc"));
    await assertRejects(() => reading.wait(), TypeError, "detached");
    const p = new Uint8Array(8);
    assertEquals(await b.read(p), 3);
    assertEquals(text(p.subarray(0, 3)), "abc");
    a.close();
    assertEquals(await b.read(p), null);
    b.close();
    assertQuiet();
  });

  test(`write() whose buffer is ${how} meanwhile rejects, and the next one is sent`, async () => {
    const [a, b] = await tcpPair();
    const size = 20_000_000;
    const buffers = [1, 2].map(() =>
      new ArrayBuffer(size, { maxByteLength: size })
    );
    // One has been sent in part, the other waits for it.
    const writes = buffers.map((buffer) =>
      settled(a.write(new Uint8Array(buffer)))
    );
    const last = a.write(bytes("end"));
    await sleep(1);
    for (const buffer of buffers) take(buffer);
    await sleep(1);
    const reading = readAll(b);
    for (const error of await Promise.all(writes)) {
      assertInstanceOf(error, TypeError);
      assertStringIncludes(error.message, "detached");
    }
    assertEquals(await last, 3);
    a.close();
    const got = await reading;
    assert(got.length < size);
    assertEquals(text(got.subarray(-3)), "end");
    b.close();
    assertQuiet();
  });
}

test("write() sends what it was given, though the buffer grows meanwhile", async () => {
  const [a, b] = await tcpPair();
  const size = 20_000_000;
  const buffer = new ArrayBuffer(size, { maxByteLength: 2 * size });
  const writing = a.write(new Uint8Array(buffer));
  buffer.resize(2 * size);
  const reading = readAll(b);
  assertEquals(await writing, size);
  a.close();
  assertEquals((await reading).length, size);
  b.close();
});

test("read() rejects a reset with ECONNRESET, however often it is called", async () => {
  const [a, b] = await tcpPair();
  const waiting = spawn(() => b.read(new Uint8Array(1)));
  await sleep(1);
  reset(a);
  const error = await assertRejects(() => waiting.wait(), SystemError);
  assertEquals([error.code, error.syscall], ["ECONNRESET", "recv"]);
  for (let i = 0; i < 2; i++) {
    const again = await assertRejects(() => b.read(new Uint8Array(1)));
    assertEquals((again as SystemError).code, "ECONNRESET");
  }
  b.close();
  assertQuiet();
});

test("read() rejects a reset that a write has met first", async () => {
  const [a, b] = await tcpPair();
  reset(a);
  await sleep(1);
  const written = await assertRejects(() => b.write(bytes("x")), SystemError);
  assertEquals(written.code, "ECONNRESET");
  const read = await assertRejects(
    () => b.read(new Uint8Array(1)),
    SystemError,
  );
  assertEquals(read.code, "ECONNRESET");
  const later = await assertRejects(() => b.write(bytes("x")), SystemError);
  assertEquals(later.code, "EPIPE");
  b.close();
});

test("write() rejects with EPIPE after closeWrite, and no signal comes", async () => {
  const [a, b] = await tcpPair();
  await a.closeWrite();
  const error = await assertRejects(() => a.write(bytes("x")), SystemError);
  assertEquals([error.code, error.syscall], ["EPIPE", "send"]);
  // That is no reset: what comes in still does, to its end.
  await b.write(bytes("y"));
  await b.closeWrite();
  assertEquals(text(await readAll(a)), "y");
  a.close();
  b.close();
});

test("write() that waits rejects when the peer resets", async () => {
  const [a, b] = await tcpPair();
  const first = spawn(() => a.write(new Uint8Array(20_000_000)));
  const second = spawn(() => a.write(new Uint8Array(10)));
  await sleep(1);
  const ends = [settled(first.wait()), settled(second.wait())];
  reset(b);
  const [one, other] = await Promise.all(ends);
  assertEquals((one as SystemError).code, "ECONNRESET");
  assertEquals((other as SystemError).code, "EPIPE");
  a.close();
  assertQuiet();
});

test("a reset ends a read and a write that wait with ECONNRESET", async () => {
  const [a, b] = await tcpPair();
  const calls = [
    spawn(() => a.read(new Uint8Array(1))),
    spawn(() => a.write(new Uint8Array(20_000_000))),
  ];
  await sleep(1);
  const ends = calls.map((gt) => settled<unknown>(gt.wait()));
  reset(b);
  for (const error of await Promise.all(ends)) {
    assertEquals((error as SystemError).code, "ECONNRESET");
  }
  for (const code of ["EPIPE", "EPIPE"]) {
    const later = await assertRejects(() => a.write(bytes("x")), SystemError);
    assertEquals(later.code, code);
  }
  a.close();
  assertQuiet();
});

test("write() after a read has met the reset rejects with ECONNRESET once", async () => {
  const [a, b] = await tcpPair();
  reset(b);
  await assertRejects(() => a.read(new Uint8Array(1)), SystemError);
  for (const code of ["ECONNRESET", "EPIPE"]) {
    const error = await assertRejects(() => a.write(bytes("x")), SystemError);
    assertEquals(error.code, code);
  }
  a.close();
});

test("closeWrite() in the queue resolves when the peer resets", async () => {
  const [a, b] = await tcpPair();
  const writing = spawn(() => a.write(new Uint8Array(20_000_000)));
  const ending = spawn(() => a.closeWrite());
  await sleep(1);
  const written = settled(writing.wait());
  reset(b);
  assertEquals((await written as SystemError).code, "ECONNRESET");
  await ending.wait();
  a.close();
  assertQuiet();
});

test("calls on a closed connection reject with IOClosed, closing twice is harmless", async () => {
  const [a, b] = await tcpPair();
  const { localAddr, remoteAddr } = a;
  b.close();
  a.close();
  a.close();
  a[Symbol.dispose]();
  assertEquals(a.fileno(), -1);
  await assertRejects(() => a.read(new Uint8Array(1)), IOClosed);
  await assertRejects(() => a.write(new Uint8Array(1)), IOClosed);
  await assertRejects(() => a.closeWrite(), IOClosed);
  assertThrows(() => a.setNoDelay(), IOClosed);
  assertEquals([a.localAddr, a.remoteAddr], [localAddr, remoteAddr]);
});

test("localAddr and remoteAddr of the two ends agree, also after the close", async () => {
  const [a, b] = await tcpPair();
  assertEquals(a.localAddr.transport, "tcp");
  assertEquals(a.remoteAddr, b.localAddr);
  b.close();
  a.close();
  assertEquals(a.localAddr, b.remoteAddr);
});

test("readTimeout limits a read, and the connection goes on", async () => {
  const [a, b] = await tcpPair();
  a.readTimeout = 5;
  const start = performance.now();
  await assertRejects(() => a.read(new Uint8Array(1)), Timeout, "5 ms");
  assert(performance.now() - start >= 5);
  await b.write(bytes("x"));
  assertEquals(await a.read(new Uint8Array(4)), 1);
  a.readTimeout = null;
  assertEquals(a.readTimeout, null);
  a.close();
  b.close();
  assertQuiet();
});

test("readTimeout 0 still takes what is there", async () => {
  const [a, b] = await tcpPair();
  await b.write(bytes("abcd"));
  a.readTimeout = 0;
  assertEquals(await a.read(new Uint8Array(4)), 4);
  await b.write(bytes("abcd"));
  await sleep(1);
  assertEquals(await a.read(new Uint8Array(8)), 4);
  await b.write(bytes("abcd"));
  await sleep(1);
  assertEquals(await a.read(new Uint8Array(8)), 4);
  await assertRejects(() => a.read(new Uint8Array(8)), Timeout);
  a.close();
  b.close();
});

test("readTimeout and writeTimeout on a clock that throws leave nothing behind", async () => {
  const [a, b] = await tcpPair();
  const hub = getHub();
  const { clock } = hub;
  const p = new Uint8Array(1);
  a.readTimeout = a.writeTimeout = 5;
  hub.clock = () => {
    throw new Error("no time");
  };
  const calls = [a.read(p), a.write(pattern(8_000_000))].map(settled);
  hub.clock = clock;
  for (const call of calls) {
    assertEquals((await call as Error).message, "no time");
  }
  assertQuiet();
  await b.write(p);
  assertEquals(await a.read(p), 1);
  a.close();
  b.close();
});

test("writeTimeout limits the whole write, not its parts", async () => {
  const [a, b] = await tcpPair();
  a.writeTimeout = 60;
  const writing = spawn(() => a.write(new Uint8Array(200_000_000)));
  const drain = spawn(async () => {
    const p = new Uint8Array(1_000_000);
    // So much makes room: no single partial write would ever time out.
    while (!writing.dead) {
      await b.read(p);
      await sleep(5);
    }
  });
  const start = performance.now();
  await assertRejects(() => writing.wait(), Timeout, "60 ms");
  assert(performance.now() - start >= 55);
  await drain.wait();
  a.close();
  b.close();
  assertQuiet();
});

test("writeTimeout leaves no timer of a write that waited and is done", async () => {
  const [a, b] = await tcpPair();
  a.writeTimeout = 60_000;
  const writes = [20_000_000, 3].map((size) =>
    spawn(() => a.write(new Uint8Array(size)))
  );
  await sleep(1);
  assertEquals(getHub().getTimersCount(), 2);
  const got = readAll(b);
  for (const write of writes) await write.wait();
  assertEquals(getHub().getTimersCount(), 0);
  a.close();
  assertEquals((await got).length, 20_000_003);
  b.close();
});

test("writeTimeout limits a closeWrite that queues", async () => {
  const [a, b] = await tcpPair();
  const writing = spawn(() => a.write(new Uint8Array(20_000_000)));
  await sleep(1);
  a.writeTimeout = 5;
  await assertRejects(() => a.closeWrite(), Timeout, "5 ms");
  a.writeTimeout = null;
  // It was given up: what follows is still sent.
  const last = spawn(() => a.write(bytes("end")));
  const p = new Uint8Array(65_536);
  for (let left = 20_000_003; left > 0;) left -= (await b.read(p))!;
  assertEquals([await writing.wait(), await last.wait()], [20_000_000, 3]);
  a.close();
  b.close();
  assertQuiet();
});

test("read() by a second greenthread rejects with HubError, the first goes on", async () => {
  const [a, b] = await tcpPair();
  const first = spawn(function first() {
    return a.read(new Uint8Array(4));
  });
  await sleep();
  await sleep();
  const error = await assertRejects(() => a.read(new Uint8Array(4)), HubError);
  assert(error.message.includes("Second simultaneous read"));
  assert(error.message.includes("(first)"));
  const written = b.write(bytes("abcd"));
  // It must not take the first one's data either.
  await assertRejects(() => a.read(new Uint8Array(4)), HubError);
  assertEquals([await first.wait(), await written], [4, 4]);
  a.close();
  b.close();
  assertQuiet();
});

test("readable refuses a second reader, and leaves the first its connection", async () => {
  const [a, b] = await tcpPair();
  const first = spawn(() => a.read(new Uint8Array(4)));
  await sleep(1);
  await assertRejects(() => a.readable.getReader().read(), HubError, "read");
  await b.write(bytes("abcd"));
  assertEquals(await first.wait(), 4);
  assert(a.fileno() >= 0);
  a.close();
  b.close();
  assertQuiet();
});

test("read() queues when hubPreventMultipleReaders is off", async () => {
  const [a, b] = await tcpPair();
  hubPreventMultipleReaders(false);
  try {
    const order: string[] = [];
    const readers = ["x", "y", "z"].map((name) =>
      spawn(async () => {
        await a.read(new Uint8Array(1));
        order.push(name);
      })
    );
    await sleep(1);
    await b.write(bytes("123"));
    for (const gt of readers) await gt.wait();
    assertEquals(order, ["x", "y", "z"]);
  } finally {
    hubPreventMultipleReaders(true);
  }
  a.close();
  b.close();
  assertQuiet();
});

test("read() queues behind the first though the one between was killed", async () => {
  const [a, b] = await tcpPair();
  hubPreventMultipleReaders(false);
  try {
    const got: string[] = [];
    const reader = (name: string) => async () => {
      const p = new Uint8Array(1);
      await a.read(p);
      got.push(name + text(p));
    };
    const first = spawn(reader("first "));
    const between = [1, 2].map(() => spawn(reader("killed ")));
    await sleep(1);
    await between[0]!.kill();
    await between[1]!.kill();
    // The hub has not looked yet: this one could take it.
    await b.write(bytes("ab"));
    await reader("last ")();
    await first.wait();
    assertEquals(got, ["first a", "last b"]);
  } finally {
    hubPreventMultipleReaders(true);
  }
  a.close();
  b.close();
  assertQuiet();
});

test("hubListenerStacks() records where reads and writes wait, as long as it is on", async () => {
  const [a, b] = await tcpPair();
  /** What is listed while `call` waits. */
  const listing = async (call: () => Promise<unknown>): Promise<string> => {
    const gt = spawn(call);
    await sleep(1);
    const listed = formatHubListeners();
    await gt.kill();
    return listed;
  };
  async function readHere(): Promise<void> {
    await a.read(new Uint8Array(1));
  }
  async function writeHere(): Promise<void> {
    await a.write(new Uint8Array(20_000_000));
  }
  hubListenerStacks(true);
  try {
    assertStringIncludes(await listing(readHere), "at readHere");
    assertStringIncludes(await listing(writeHere), "at writeHere");
  } finally {
    hubListenerStacks(false);
  }
  for (const call of [readHere, writeHere]) {
    assert(!(await listing(call)).includes("    at "), call.name);
  }
  a.close();
  b.close();
});

test("kill() of a reader leaves the connection as it was", async () => {
  const [a, b] = await tcpPair();
  const reader = spawn(() => a.read(new Uint8Array(4)));
  await sleep(1);
  await reader.kill();
  await assertRejects(() => reader.wait(), GreenletExit);
  assertQuiet();
  await b.write(bytes("abc"));
  assertEquals(await a.read(new Uint8Array(4)), 3);
  a.close();
  b.close();
});

test("the listener of writes that wait names whose turn it is", async () => {
  const [a, b] = await tcpPair();
  const writers = [1, 2].map(() =>
    spawn(() => a.write(new Uint8Array(20_000_000)))
  );
  await sleep(1);
  for (const writer of writers) {
    assertEquals(getHub().getWriters().map((one) => one.greenlet), [writer]);
    await writer.kill();
  }
  assertQuiet();
  a.close();
  b.close();
});

test("kill() of a writer lets the next one write", async () => {
  const [a, b] = await tcpPair();
  const first = spawn(() => a.write(new Uint8Array(20_000_000)));
  const second = spawn(() => a.write(bytes("end")));
  await sleep(1);
  await first.kill();
  const end = a.closeWrite();
  const all = await readAll(b);
  await end;
  assertEquals(await second.wait(), 3);
  assertEquals(text(all.subarray(all.length - 3)), "end");
  a.close();
  b.close();
  assertQuiet();
});

test("using Timeout breaks a read off", async () => {
  const [a, b] = await tcpPair();
  const gt = spawn(async () => {
    using limit = new Timeout(2);
    const error = await settled(a.read(new Uint8Array(1)));
    assertStrictEquals(error as Error, limit);
  });
  await gt.wait();
  assertQuiet();
  a.close();
  b.close();
});

test("one greenthread may read and write at the same time", async () => {
  const [a, b] = await tcpPair();
  const p = new Uint8Array(8);
  const both = Promise.all([a.read(p), a.write(new Uint8Array(4_000_000))]);
  await b.write(bytes("hi"));
  const p2 = new Uint8Array(65_536);
  for (let got = 0; got < 4_000_000;) got += (await b.read(p2))!;
  assertEquals(await both, [2, 4_000_000]);
  a.close();
  b.close();
});

test("a read that waits, a write that waits, and both again", async () => {
  const [a, b] = await tcpPair();
  const size = 20_000_000;
  for (let i = 0; i < 2; i++) {
    const reading = spawn(() => a.read(new Uint8Array(8)));
    await sleep(1);
    await b.write(bytes("x"));
    assertEquals(await reading.wait(), 1);
    const writing = spawn(() => a.write(new Uint8Array(size)));
    await sleep(1);
    assert(!writing.dead);
    const p = new Uint8Array(1_000_000);
    for (let left = size; left > 0;) left -= (await b.read(p))!;
    assertEquals(await writing.wait(), size);
  }
  a.close();
  b.close();
});

test("a number that is handed out again never reaches an old reader", async () => {
  const [a, b] = await tcpPair();
  const fd = a.fileno();
  const old = spawn(() => a.read(new Uint8Array(1)));
  await sleep(1);
  const ended = settled(old.wait());
  a.close();
  using listener = listen({ hostname: "127.0.0.1", port: 0 });
  using client = await connect({ port: listener.addr.port });
  using server = await listener.accept();
  assert([listener, client, server].some((one) => one.fileno() === fd));
  await client.write(bytes("x"));
  assertEquals(await server.read(new Uint8Array(1)), 1);
  assertInstanceOf(await ended, IOClosed);
  b.close();
});

test("read() waits anew after a notifyClose() that was no close", async () => {
  const [a, b] = await tcpPair();
  const p = new Uint8Array(1);
  for (let i = 0; i < 2; i++) {
    const ended = settled(b.read(p));
    await sleep(1);
    notifyClose(b.fileno());
    assertInstanceOf(await ended, IOClosed);
  }
  const reading = b.read(p);
  await sleep(1);
  await a.write(bytes("x"));
  assertEquals(await reading, 1);
  a.close();
  b.close();
});

test("accept, read and write wait anew after hub.removeDescriptor()", async () => {
  const hub = getHub();
  using listener = listen({ hostname: "127.0.0.1", port: 0 });
  const accepting = listener.accept();
  await sleep();
  hub.removeDescriptor(listener.fileno());
  await sleep();
  using a = await connect({ port: listener.addr.port });
  using b = await accepting;
  const size = 8_000_000;
  const writing = a.write(pattern(size));
  const reading = a.read(new Uint8Array(1));
  await sleep();
  hub.removeDescriptor(a.fileno());
  await sleep();
  await b.write(bytes("x"));
  assertEquals(await reading, 1);
  const p = new Uint8Array(65_536);
  let got = 0;
  while (got < size) got += (await b.read(p))!;
  assertEquals(await writing, size);
  assertEquals(await a.write(bytes("more")), 4);
  assertEquals(await b.read(p), 4);
  assertQuiet();
});

test("write() goes on in the next hub, whatever waits in the one before", async () => {
  const [a, b] = await tcpPair();
  const size = 20_000_000;
  // Its hub is closed while it waits.
  void a.write(new Uint8Array(size));
  await getHub().close();
  const next = spawn(() => a.write(new Uint8Array(size).fill(1)));
  await sleep();
  const got = spawn(() => readAll(b));
  assertEquals(await next.wait(), size);
  await a.closeWrite();
  const all = await got.wait();
  assert(all.length < 2 * size);
  assert(all.subarray(-size).every((byte) => byte === 1));
  a.close();
  b.close();
});

test("a descriptor closed behind our back and reused wakes its old waiter", async () => {
  const [a, b] = await tcpPair();
  const old = spawn(() => a.read(new Uint8Array(1)));
  await sleep(1);
  const ended = settled(old.wait());
  const fd = a.fileno();
  libc().close(fd);
  using stack = new DisposableStack();
  let listener;
  // The lowest free number is taken first; ours need not be that.
  do {
    listener = stack.use(listen({ hostname: "127.0.0.1", port: 0 }));
  } while (listener.fileno() < fd);
  assertEquals(listener.fileno(), fd);
  assertInstanceOf(await ended, IOClosed);
  using client = await connect({ port: listener.addr.port });
  using server = await listener.accept();
  await client.write(bytes("x"));
  assertEquals(await server.read(new Uint8Array(1)), 1);
  b.close();
});

test("setNoDelay() and setKeepAlive() set the options", async () => {
  const [a, b] = await tcpPair();
  const value = new Int32Array(1);
  const option = (level: number, name: number, fd = a.fileno()): number => {
    libc().getsockopt(fd, level, name, value, new Uint32Array([4]));
    return value[0]!;
  };
  assert(option(6, 1) !== 0, "TCP_NODELAY is off on a connected socket");
  assert(
    option(6, 1, b.fileno()) !== 0,
    "TCP_NODELAY is off on an accepted one",
  );
  a.setNoDelay(false);
  assertEquals(option(6, 1), 0);
  a.setNoDelay();
  assert(option(6, 1) !== 0);
  a.setKeepAlive();
  assert(option(1, 9) !== 0);
  a.setKeepAlive(false);
  assertEquals(option(1, 9), 0);
  for (const wrong of ["x", 0, 1, null]) {
    assertThrows(() => a.setNoDelay(wrong as never), TypeError, "no boolean");
    assertThrows(() => a.setKeepAlive(wrong as never), TypeError, "no boolean");
  }
  assert(option(6, 1) !== 0);
  assertEquals(option(1, 9), 0);
  a.ref();
  a.unref();
  a.close();
  b.close();
});

test("noDelay: false leaves Nagle's algorithm on, at both ends", async () => {
  using listener = listen({ hostname: "127.0.0.1", port: 0, noDelay: false });
  using a = await connect({ port: listener.addr.port, noDelay: false });
  using b = await listener.accept();
  for (const conn of [a, b]) {
    const value = new Int32Array(1);
    const size = new Uint32Array([4]);
    libc().getsockopt(conn.fileno(), 6, 1, value, size);
    assertEquals(value[0], 0);
  }
});

test("an unnamed Unix peer has the path null, as Deno's", async () => {
  const path = temporaryPath();
  using listener = listen({ transport: "unix", path });
  using client = await connect({ transport: "unix", path });
  using server = await listener.accept();
  assertEquals<unknown>(client.remoteAddr, { transport: "unix", path });
  assertEquals<unknown>(client.localAddr, { transport: "unix", path: null });
  assertEquals<unknown>(server.localAddr, { transport: "unix", path });
  assertEquals<unknown>(server.remoteAddr, { transport: "unix", path: null });
});

test("read() and write() work in MAINLOOP as long as they need not wait", async () => {
  const [a, b] = await tcpPair();
  // There was nothing each time that something was asked for.
  for (let i = 0; i < 5; i++) {
    const reading = b.read(new Uint8Array(2));
    await a.write(bytes("x"));
    assertEquals(await reading, 1);
  }
  const done = Promise.withResolvers<void>();
  getHub().scheduleCallGlobal(0, async () => {
    try {
      for (let i = 0; i < 100; i++) {
        assertEquals(await a.write(bytes("x")), 1);
        // Takes all there is, or may have left some.
        assertEquals(await b.read(new Uint8Array(1 + i % 3)), 1);
      }
      await assertRejects(() => b.read(new Uint8Array(1)), HubError);
      done.resolve();
    } catch (error) {
      done.reject(error);
    }
  });
  await done.promise;
  a.close();
  b.close();
});

/** Have MAINLOOP call `fn`; what its promise comes to. */
function inMainloop<T>(fn: () => Promise<T>): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  getHub().scheduleCallGlobal(0, () => void fn().then(resolve, reject));
  return promise;
}

test("read() in MAINLOOP takes nothing from a reader that waits", async () => {
  const [a, b] = await tcpPair();
  for (const chunk of [false, true]) {
    const p = new Uint8Array(1);
    const reader = spawn(() => b.read(p));
    await sleep();
    // The data is there, and MAINLOOP has not looked for it since.
    const late = inMainloop<unknown>(() => {
      libc().send(a.fileno(), bytes("x"), 1, 0);
      return chunk ? b.readChunk() : b.read(new Uint8Array(1));
    });
    await assertRejects(() => late, HubError);
    assertEquals(await reader.wait(), 1);
    assertEquals(text(p), "x");
  }
  a.close();
  b.close();
});

test("write() from MAINLOOP that does not fit is sent all the same, in order with others", async () => {
  const [a, b] = await tcpPair();
  const order: string[] = [];
  const write = (name: string, size: number) => async (): Promise<void> => {
    assertEquals(await a.write(bytes(name.repeat(size))), size);
    order.push(name);
  };
  const calls = [
    inMainloop(write("1", 10_000_000)),
    spawn(write("2", 3)).wait(),
    inMainloop(write("3", 3)),
    spawn(write("4", 3)).wait(),
    inMainloop(write("5", 3)),
    inMainloop(() => a.closeWrite()),
  ];
  const got = text(await readAll(b));
  await Promise.all(calls);
  assertEquals(order, ["1", "2", "3", "4", "5"]);
  assertEquals(got.length, 10_000_012);
  assertEquals(got.slice(9_999_999), "1222333444555");
  a.close();
  b.close();
  assertQuiet();
});

test("write() from MAINLOOP that has ended takes no turn of Deno's loop", async () => {
  const hub = getHub();
  const orders: string[] = [];
  for (let i = 0; i < 20 && orders.length < 3; i++) {
    const [a, b] = await tcpPair();
    const written = inMainloop(async () => {
      await a.write(new Uint8Array(10_000_000));
      const { yields } = hub.statistics();
      const order: string[] = [];
      const { promise, resolve } = Promise.withResolvers<void>();
      setImmediate(() => order.push("turn"));
      hub.scheduleCallGlobal(0, () => {
        order.push("next pass");
        // Fairness may have given it a turn, which is no matter of the write.
        if (hub.statistics().yields === yields) orders.push(order[0]!);
        resolve();
      });
      await promise;
      a.close();
    });
    await readAll(b);
    await written;
    b.close();
  }
  // On a hub that parks on a thread it hardly ever comes to this.
  assertEquals(orders.filter((first) => first !== "next pass"), []);
});

test("write() from MAINLOOP ends by an error as any other", async () => {
  for (const end of ["timeout", "close", "reset"]) {
    const [a, b] = await tcpPair();
    if (end === "timeout") a.writeTimeout = 5;
    const big = inMainloop(() => a.write(new Uint8Array(20_000_000)));
    const small = inMainloop(() => a.write(bytes("x")));
    const errors = Promise.all([settled(big), settled(small)]);
    // By now they are under way.
    await inMainloop(() => Promise.resolve());
    if (end === "close") a.close();
    else if (end === "reset") reset(b);
    const [first, second] = await errors;
    if (end === "timeout") {
      assertInstanceOf(first, Timeout);
      assertInstanceOf(second, Timeout);
      // It was given up: what follows is still sent.
      a.writeTimeout = null;
      const last = a.write(bytes("end"));
      const reading = readAll(b);
      assertEquals(await last, 3);
      a.close();
      assertEquals(text((await reading).subarray(-3)), "end");
    } else if (end === "close") {
      assertInstanceOf(first, IOClosed);
      assertInstanceOf(second, IOClosed);
    } else {
      assertEquals((first as SystemError).code, "ECONNRESET");
      assertEquals((second as SystemError).code, "EPIPE");
    }
    a.close();
    b.close();
    assertQuiet();
  }
});

test("close() of a connection whose descriptor is gone does not throw", async () => {
  const [a, b] = await tcpPair();
  libc().close(a.fileno());
  a.close();
  assertEquals(a.fileno(), -1);
  b.close();
});
