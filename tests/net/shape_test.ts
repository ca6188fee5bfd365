/**
 * The shape of Deno's own: assignable, as the type checker sees it, and code
 * written for `Deno.Conn` gives the same on both.
 */

import {
  assert,
  assertEquals,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { getHub, IOClosed } from "../../mod.ts";
import {
  connect,
  type DatagramConn,
  listen,
  type listenDatagram,
  type TcpConn,
  type TcpListener,
  type UnixConn,
  type UnixListener,
} from "../../green/net.ts";
import {
  bytes,
  pattern,
  readAll,
  settled,
  tcpPair,
  temporaryPath,
  test,
  text,
} from "./rig.ts";

getHub();

/** Compiles only if A can stand for B. */
type Assignable<A extends B, B> = A;

/** Checked by `deno check`: these lines are the test. */
export type Shapes = [
  Assignable<TcpConn, Deno.Conn>,
  Assignable<TcpConn, Deno.TcpConn>,
  Assignable<UnixConn, Deno.Conn>,
  Assignable<UnixConn, Deno.UnixConn>,
  Assignable<TcpListener, Deno.Listener>,
  Assignable<TcpListener, Deno.TcpListener>,
  Assignable<UnixListener, Deno.UnixListener>,
  Assignable<DatagramConn, Deno.DatagramConn>,
  Assignable<typeof connect, (o: Deno.ConnectOptions) => Promise<Deno.TcpConn>>,
  Assignable<
    typeof connect,
    (o: Deno.UnixConnectOptions) => Promise<Deno.UnixConn>
  >,
  Assignable<
    typeof listen,
    (o: Deno.TcpListenOptions & { transport?: "tcp" }) => Deno.TcpListener
  >,
  Assignable<
    typeof listen,
    (o: Deno.UnixListenOptions & { transport: "unix" }) => Deno.UnixListener
  >,
  Assignable<
    typeof listenDatagram,
    (o: Deno.UdpListenOptions & { transport: "udp" }) => Deno.DatagramConn
  >,
  Assignable<
    typeof listenDatagram,
    (
      o: Deno.UnixListenOptions & { transport: "unixpacket" },
    ) => Deno.DatagramConn
  >,
];

/** What the code below is written against. */
interface Net {
  connect(options: Deno.ConnectOptions): Promise<Deno.TcpConn>;
  listen(options: Deno.TcpListenOptions): Deno.TcpListener;
}

// deno-lint-ignore no-explicit-any
type ErrorClass = new (...args: any[]) => Error;

/** Whose, and what calls on a closed one reject with. */
const BOTH: [string, Net, ErrorClass][] = [
  ["Deno's", Deno, Deno.errors.BadResource],
  ["green", { connect, listen }, IOClosed],
];
type Bytes = Uint8Array<ArrayBuffer>;
const LOCAL = { hostname: "127.0.0.1", port: 0 };

async function pairOf(net: Net): Promise<[Deno.TcpConn, Deno.TcpConn]> {
  const listener = net.listen(LOCAL);
  const accepting = listener.accept();
  const client = await net.connect({ port: listener.addr.port });
  const server = await accepting;
  listener.close();
  return [client, server];
}

/** A line reader over any connection. */
async function* lines(conn: Deno.Conn): AsyncGenerator<string> {
  let rest = "";
  const decoded = conn.readable.pipeThrough(new TextDecoderStream());
  for await (const chunk of decoded) {
    const parts = (rest + chunk).split("\n");
    rest = parts.pop()!;
    yield* parts;
  }
  if (rest !== "") yield rest;
}

for (const [whose, net, Closed] of BOTH) {
  test(`a line reader over readable runs on ${whose} sockets`, async () => {
    const [a, b] = await pairOf(net);
    const sending = (async () => {
      for (const part of ["one\ntw", "o\n", "\nthree\nfour"]) {
        await a.write(bytes(part));
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
      a.close();
    })();
    const got = [];
    for await (const line of lines(b)) got.push(line);
    await sending;
    assertEquals(got, ["one", "two", "", "three", "four"]);
  });

  test(`pipeTo echoes on ${whose} sockets`, async () => {
    const [a, b] = await pairOf(net);
    const data = pattern(1_000_000);
    const echo = b.readable.pipeTo(b.writable);
    const reading = readAll(a);
    const writer = a.writable.getWriter();
    for (let at = 0; at < data.length; at += 100_000) {
      await writer.write(data.subarray(at, at + 100_000));
    }
    writer.releaseLock();
    await a.closeWrite();
    assertEquals((await reading).length, data.length);
    await echo;
    a.close();
  });

  test(`pipeTo joins two connections of ${whose} sockets`, async () => {
    const [client, front] = await pairOf(net);
    const [back, server] = await pairOf(net);
    const there = front.readable.pipeTo(back.writable);
    const data = pattern(500_000);
    const got = new Response(server.readable).bytes();
    const writer = client.writable.getWriter();
    await writer.write(data);
    await writer.close();
    assertEquals(await got, data);
    await there;
    for (const conn of [front, server]) {
      try {
        conn.close();
      } catch {
        // Deno's complain of a second close.
      }
    }
  });

  test(`for await over a listener and using run on ${whose} sockets`, async () => {
    let served = 0;
    const listener = net.listen(LOCAL);
    const serving = (async () => {
      for await (const conn of listener) {
        using open = conn;
        const p = new Uint8Array(8);
        const n = await open.read(p);
        await open.write(p.subarray(0, n!));
        served++;
      }
    })();
    for (let i = 0; i < 3; i++) {
      using conn = await net.connect({ port: listener.addr.port });
      await conn.write(bytes("ab"));
      assertEquals(text(await readAll(conn)), "ab");
    }
    listener.close();
    await serving;
    assertEquals(served, 3);
  });

  test(`leaving for await early closes the listener of ${whose} sockets`, async () => {
    const listener = net.listen(LOCAL);
    const { port } = listener.addr;
    const dialling = net.connect({ port });
    for await (const conn of listener) {
      conn.close();
      break;
    }
    (await dialling).close();
    net.listen({ ...LOCAL, port }).close();
  });

  test(`return() ends an iteration that waits over ${whose} sockets`, async () => {
    const connections = net.listen(LOCAL)[Symbol.asyncIterator]();
    const waiting = connections.next();
    assertEquals<unknown>(
      await connections.return!(7),
      { value: 7, done: true },
    );
    assertEquals(await waiting, { value: undefined, done: true });
    assertEquals((await connections.next()).done, true);
  });

  test(`the system reads IPv4 addresses with leading zeros on ${whose} sockets`, async () => {
    const listener = net.listen({ hostname: "127.0.0.010", port: 0 });
    assertEquals(listener.addr.hostname, "127.0.0.8");
    const { port } = listener.addr;
    const conn = await net.connect({ hostname: "127.0.0.010", port });
    assertEquals((conn.remoteAddr as Deno.NetAddr).hostname, "127.0.0.8");
    conn.close();
    // No octal number, and no name.
    const hostname = "127.0.0.08";
    await assertRejects(() => net.connect({ hostname, port }), Error, "");
    assertThrows(() => net.listen({ hostname, port: 0 }), Error, "");
    listener.close();
  });

  test(`brackets are for IPv6 addresses on ${whose} sockets`, async () => {
    const listener = net.listen({ hostname: "[::1]", port: 0 });
    const { port } = listener.addr;
    (await net.connect({ hostname: "[::1]", port })).close();
    listener.close();
    for (
      const hostname of ["[127.0.0.1]", "[localhost]", "[::g]", "[]", "[[::1]]"]
    ) {
      await assertRejects(() => net.connect({ hostname, port }), URIError);
      assertThrows(() => net.listen({ hostname, port: 0 }), URIError);
    }
    // With a zone it is for the look-up, which knows no such zone.
    const hostname = "[fe80::1%nowhere]";
    const failure = await assertRejects(() => net.connect({ hostname, port }));
    assert(!(failure instanceof URIError));
  });

  test(`what cannot be a host name is refused by URIError on ${whose} sockets`, async () => {
    const label = "a".repeat(255);
    for (
      const hostname of [
        ...["127.0.0.1:80", "http://localhost", " 127.0.0.1", "127.0.0.1 "],
        ...["a..b", ".a", "a/b", "a b", "1:2", "::1:", "[::1", "a%lo", "é"],
        ...[".", "1:2%lo", `${label}a`, "a".repeat(300)],
      ]
    ) {
      await assertRejects(() => net.connect({ hostname, port: 1 }), URIError);
      assertThrows(() => net.listen({ hostname, port: 0 }), URIError);
    }
    // These are for the look-up, which does not find them.
    for (
      const hostname of [
        "a_b",
        "-a",
        "a-",
        "a#b",
        label,
        "127.0.0.1%no",
        "::1%",
      ]
    ) {
      const failure = assertThrows(() => net.listen({ hostname, port: 0 }));
      assert(!(failure instanceof URIError), hostname);
    }
  });

  test(`a BYOB reader runs on ${whose} sockets`, async () => {
    const [a, b] = await pairOf(net);
    await a.write(bytes("hello"));
    const reader = b.readable.getReader({ mode: "byob" });
    const first = await reader.read(new Uint8Array(3));
    assertEquals([text(first.value!), first.done], ["hel", false]);
    const second = await reader.read(new Uint8Array(8));
    assertEquals(text(second.value!), "lo");
    a.close();
    const last = await reader.read(new Uint8Array(8));
    assertEquals([last.done, last.value?.length], [true, 0]);
  });

  test(`what comes after a BYOB reader gets the data at once on ${whose} sockets`, async () => {
    const next: Record<string, (s: ReadableStream<Bytes>) => Promise<Bytes>> = {
      "a default reader": async (s) => (await s.getReader().read()).value!,
      "a BYOB reader": async (s) => {
        const reader = s.getReader({ mode: "byob" });
        return (await reader.read(new Uint8Array(8))).value!;
      },
      "for await": async (s) => {
        for await (const chunk of s) return chunk;
        return new Uint8Array();
      },
      "pipeTo": (s) =>
        new Promise((resolve) => {
          void settled(s.pipeTo(new WritableStream({ write: resolve })));
        }),
    };
    for (const [what, read] of Object.entries(next)) {
      const [a, b] = await pairOf(net);
      const readable = b.readable as ReadableStream<Bytes>;
      const reader = readable.getReader({ mode: "byob" });
      const released = settled(reader.read(new Uint8Array(8)));
      // By now it waits for data.
      await new Promise((resolve) => setTimeout(resolve, 2));
      reader.releaseLock();
      await released;
      let got = "";
      const reading = read(readable).then((chunk) => got = text(chunk));
      await a.write(bytes("one"));
      for (let i = 0; i < 500 && got === ""; i++) {
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
      assertEquals(got, "one", what);
      await reading;
      a.close();
      try {
        b.close();
      } catch {
        // Deno's may be closed by the end of the stream.
      }
    }
  });

  test(`BYOB reads fill any kind of view, as far as asked, on ${whose} sockets`, async () => {
    const [a, b] = await pairOf(net);
    const reader = b.readable.getReader({ mode: "byob" });
    const inTwo = async (one: string, other: string): Promise<void> => {
      await a.write(bytes(one));
      await new Promise((resolve) => setTimeout(resolve, 2));
      await a.write(bytes(other));
    };
    const words = reader.read(new Uint16Array(4));
    await inTwo("a", "bc");
    // A whole number of elements; the rest is kept.
    const got = (await words).value!;
    assertEquals([got.constructor, text(new Uint8Array(got.buffer, 0, 2))], [
      Uint16Array,
      "ab",
    ]);
    const view = new DataView(new ArrayBuffer(16), 2, 8);
    const least = reader.read(view, { min: 4 });
    await inTwo("de", "fgh");
    const { byteOffset, byteLength, buffer } = (await least).value!;
    assertEquals([byteOffset, byteLength], [2, 6]);
    assertEquals(text(new Uint8Array(buffer, 2, 6)), "cdefgh");
    const last = reader.read(new Uint8Array(4));
    await a.closeWrite();
    assertEquals((await last).done, true);
    a.close();
    try {
      b.close();
    } catch {
      // Deno's may be closed by the end of the stream.
    }
  });

  test(`writable takes whatever has bytes on ${whose} sockets`, async () => {
    const [a, b] = await pairOf(net);
    const writer = (a.writable as WritableStream<unknown>).getWriter();
    const ints = new Uint16Array([0x6261, 0x6463, 0x6665]);
    const shared = new Uint8Array(new SharedArrayBuffer(1)).fill(0x69);
    for (
      const chunk of [
        ints.subarray(0, 1),
        new DataView(ints.buffer, 2, 3),
        bytes("f").buffer,
        new Uint8ClampedArray(bytes("gh")),
        shared,
      ]
    ) await writer.write(chunk);
    await writer.close();
    assertEquals(text(await readAll(b)), "abcdefghi");
    b.close();
  });

  test(`an error of writable closes ${whose} sockets`, async () => {
    const [a, b] = await pairOf(net);
    const writer = (a.writable as WritableStream<unknown>).getWriter();
    await assertRejects(() => writer.write("x"), TypeError);
    assertEquals(await b.read(new Uint8Array(1)), null);
    b.close();
    await assertRejects(() => a.read(new Uint8Array(1)), Closed);

    const [c, d] = await pairOf(net);
    d.close();
    const later = c.writable.getWriter();
    await assertRejects(async () => {
      // The first is answered by a reset, which a later one meets.
      for (;;) {
        await later.write(bytes("x"));
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    });
    await assertRejects(() => c.read(new Uint8Array(1)), Closed);
  });

  test(`closeWrite() resolves after a reset on ${whose} sockets`, async () => {
    const [a, b] = await pairOf(net);
    await a.write(bytes("x"));
    b.close();
    // What tells of the reset, Deno's by an end.
    await settled(a.read(new Uint8Array(1)));
    await a.closeWrite();
    await a.closeWrite();
    a.close();
  });

  test(`a reset met by readable closes ${whose} sockets`, async () => {
    const [a, b] = await pairOf(net);
    // Data that nobody has read makes the close a reset.
    await a.write(bytes("x"));
    b.close();
    // Deno's stream just ends; ours says why.
    const read = await settled(a.readable.getReader().read());
    assertEquals(read instanceof Error, whose === "green");
    await assertRejects(() => a.read(new Uint8Array(1)), Closed);
  });

  test(`the end of a stream closes ${whose} sockets`, async () => {
    for (const how of ["writable", "cancel", "abort", "end"]) {
      const [a, b] = await pairOf(net);
      if (how === "writable") await a.writable.close();
      else if (how === "cancel") await a.readable.cancel();
      else if (how === "abort") await a.writable.abort();
      else {
        await b.closeWrite();
        assertEquals(await new Response(a.readable).text(), "");
      }
      // A close, seen from outside: the peer's end, and nothing more works.
      assertEquals(await b.read(new Uint8Array(1)), null, how);
      await assertRejects(() => a.write(bytes("x")), Error, undefined, how);
      b.close();
    }
  });

  test(`close() breaks a pending read of readable off on ${whose} sockets`, async () => {
    const [a, b] = await pairOf(net);
    const reading = a.readable.getReader().read();
    const rejected = assertRejects(() => reading);
    await new Promise((resolve) => setTimeout(resolve, 2));
    a.close();
    await rejected;
    b.close();
  });

  test(`a small protocol runs on ${whose} sockets`, async () => {
    const listener = net.listen(LOCAL);
    const serving = (async () => {
      const conn = await listener.accept();
      const encoder = new TextEncoder();
      for await (const line of lines(conn)) {
        if (line === "quit") break;
        await conn.write(encoder.encode(`${line.length}\n`));
      }
      try {
        conn.close();
      } catch {
        // Deno's may be closed by the end of the stream.
      }
    })();
    const conn = await net.connect({ port: listener.addr.port });
    const answers = lines(conn);
    for (const word of ["a", "bcd", ""]) {
      await conn.write(bytes(word + "\n"));
      assertEquals((await answers.next()).value, String(word.length));
    }
    await conn.write(bytes("quit\n"));
    await serving;
    assertEquals((await answers.next()).done, true);
    listener.close();
  });
}

test("readable and writable are made once", async () => {
  const [a, b] = await tcpPair();
  const { readable, writable } = a;
  assertStrictEquals(a.readable, readable);
  assertStrictEquals(a.writable, writable);
  a.close();
  b.close();
});

test("writes to writable finish before the end of readable closes", async () => {
  const path = temporaryPath();
  using listener = listen({ transport: "unix", path });
  const client = await connect({ transport: "unix", path });
  const server = await listener.accept();
  const data = pattern(2_000_000);
  // Nobody reads yet: the write is under way when the end of file comes.
  const writing = server.write(data);
  const ended = new Response(server.readable).text();
  await client.closeWrite();
  assertEquals(await ended, "");
  assertEquals(await readAll(client), data);
  assertEquals(await writing, data.length);
  assertEquals(server.fileno(), -1);
  client.close();
});
