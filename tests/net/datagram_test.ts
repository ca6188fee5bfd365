/** Datagrams: UDP over both families, Unix, and the ends of their waits. */

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertThrows,
} from "@std/assert";
import { hubPreventMultipleReaders } from "../../hubs/debug.ts";
import {
  getHub,
  HubError,
  IOClosed,
  sleep,
  spawn,
  SystemError,
  Timeout,
} from "../../mod.ts";
import { lookUp } from "../../ffi/resolve.ts";
import { listenDatagram } from "../../green/net.ts";
import {
  IP_MULTICAST_LOOP,
  IPPROTO_IP,
  IPPROTO_IPV6,
  IPV6_MULTICAST_LOOP,
  SO_BROADCAST,
  SOL_SOCKET,
} from "../../ffi/socket_constants.ts";
import { assertNoFdLeak } from "../helpers/fds.ts";
import {
  bytes,
  optionOf,
  passesUntil,
  pattern,
  settled,
  temporaryPath,
  test,
  text,
} from "./rig.ts";

getHub();

const LOCAL = { transport: "udp", hostname: "127.0.0.1", port: 0 } as const;

test("send() and receive() carry UDP datagrams over both families", async () => {
  await assertNoFdLeak(async () => {
    for (const hostname of ["127.0.0.1", "::1"]) {
      using a = listenDatagram({ transport: "udp", hostname, port: 0 });
      using b = listenDatagram({ transport: "udp", hostname, port: 0 });
      assertEquals(await a.send(bytes("hello"), b.addr), 5);
      const [data, from] = await b.receive();
      assertEquals([text(data), from], ["hello", a.addr]);
      assertEquals(await b.send(new Uint8Array(0), from), 0);
      assertEquals(await a.receive(), [new Uint8Array(0), b.addr]);
    }
  });
});

test("send() overtakes none to the same name, though one before it is done", async () => {
  using a = listenDatagram(LOCAL);
  using b = listenDatagram(LOCAL);
  const to = { ...b.addr, hostname: "localhost" } as Deno.NetAddr;
  const first = a.send(bytes("1"), to);
  const second = a.send(bytes("2"), to);
  await first;
  const third = a.send(bytes("3"), to);
  await Promise.all([second, third]);
  const order: string[] = [];
  for (let i = 0; i < 3; i++) order.push(text((await b.receive())[0]));
  assertEquals(order, ["1", "2", "3"]);
});

test("listenDatagram() binds all addresses unless told, as Deno's does", async () => {
  using a = listenDatagram({ transport: "udp", port: 0 });
  const { hostname, port } = a.addr as Deno.NetAddr;
  assertEquals(hostname, "0.0.0.0");
  using b = listenDatagram({ ...LOCAL, hostname: "127.0.0.2" });
  await b.send(bytes("x"), { transport: "udp", hostname: "127.0.0.3", port });
  assertEquals(await a.receive(), [bytes("x"), b.addr]);
});

test("receive() waits, and cuts off what does not fit", async () => {
  using a = listenDatagram(LOCAL);
  using b = listenDatagram(LOCAL);
  const waiting = spawn(() => b.receive(new Uint8Array(4)));
  await sleep(1);
  await a.send(pattern(10), b.addr);
  assertEquals(await waiting.wait(), [pattern(4), a.addr]);
  await a.send(pattern(60_000), b.addr);
  assertEquals((await b.receive())[0], pattern(60_000));
});

test("send() resolves a host name, and an address does not wait for that", async () => {
  using a = listenDatagram(LOCAL);
  using b = listenDatagram(LOCAL);
  const addr = { ...b.addr, hostname: "localhost" } as Deno.NetAddr;
  await Promise.all([a.send(bytes("1"), addr), a.send(bytes("2"), b.addr)]);
  assertEquals(text((await b.receive())[0]), "2");
  assertEquals(text((await b.receive())[0]), "1");
});

test("send() has the system read an IPv4 address with leading zeros", async () => {
  using a = listenDatagram({ ...LOCAL, hostname: "0.0.0.0" });
  using b = listenDatagram({ ...LOCAL, hostname: "127.0.0.8" });
  b.readTimeout = 5000;
  await a.send(bytes("8"), { ...b.addr, hostname: "127.0.0.010" } as never);
  assertEquals(text((await b.receive())[0]), "8");
});

test("send() comes back in order, waiting or not", async () => {
  using a = listenDatagram(LOCAL);
  const order: number[] = [];
  // Now and then one goes by the hub, though it need not wait.
  const sends = Array.from(
    { length: 100 },
    (_, i) => a.send(bytes("x"), a.addr).then(() => order.push(i)),
  );
  await Promise.all(sends);
  assertEquals(order, sends.map((_, i) => i));
});

test("send() rejects what is too large with EMSGSIZE, how large it is and to whom", async () => {
  for (const hostname of ["127.0.0.1", "::1"]) {
    using a = listenDatagram({ ...LOCAL, hostname });
    const { port } = a.addr as Deno.NetAddr;
    const host = hostname === "::1" ? "[::1]" : hostname;
    const error = await assertRejects(
      () => a.send(new Uint8Array(70_000), a.addr),
      SystemError,
      `Cannot send 70000 bytes to ${host}:${port}: EMSGSIZE (sendto)`,
    );
    assertEquals([error.code, error.syscall], ["EMSGSIZE", "sendto"]);
  }
  using unix = listenDatagram({ transport: "unixpacket" });
  const addr = { transport: "unixpacket", path: "/nowhere" } as const;
  const sending = () => unix.send(new Uint8Array(1), addr);
  const message = "Cannot send 1 byte to /nowhere: ENOENT (sendto)";
  await assertRejects(sending, SystemError, message);
});

test("send() rejects what is no address with TypeError", async () => {
  using a = listenDatagram(LOCAL);
  for (const addr of [undefined, null, 7, "127.0.0.1", {}]) {
    const sending = () => a.send(bytes("x"), addr as never);
    await assertRejects(sending, TypeError, "Cannot send: ");
  }
});

test("send() and listenDatagram() reject what cannot be a host name with URIError", async () => {
  using a = listenDatagram(LOCAL);
  for (const hostname of ["127.0.0.1:80", " 127.0.0.1", "a..b", "a/b", "1:2"]) {
    const addr = { transport: "udp", hostname, port: 9 } as const;
    await assertRejects(() => a.send(bytes("x"), addr), URIError, hostname);
    assertThrows(() => listenDatagram({ ...LOCAL, hostname }), URIError);
  }
});

test("receive() by a second greenthread rejects with HubError", async () => {
  using a = listenDatagram(LOCAL);
  const first = spawn(() => a.receive());
  await sleep(1);
  await assertRejects(() => a.receive(), HubError, "simultaneous");
  await a.send(bytes("x"), a.addr);
  assertEquals(text((await first.wait())[0]), "x");
});

test("receive() queues behind the first though the one between was killed", async () => {
  using a = listenDatagram(LOCAL);
  hubPreventMultipleReaders(false);
  try {
    const receiver = async () => text((await a.receive())[0]);
    const first = spawn(receiver);
    const between = spawn(receiver);
    await sleep(1);
    await between.kill();
    await a.send(bytes("1"), a.addr);
    await a.send(bytes("2"), a.addr);
    assertEquals([await receiver(), await first.wait()], ["2", "1"]);
  } finally {
    hubPreventMultipleReaders(true);
  }
});

test("readTimeout limits receive", async () => {
  using a = listenDatagram(LOCAL);
  a.readTimeout = 3;
  await assertRejects(() => a.receive(), Timeout, "3 ms");
  await a.send(bytes("x"), a.addr);
  a.readTimeout = 0;
  assertEquals(text((await a.receive())[0]), "x");
  assertEquals(getHub().getReaders(), []);
  assertEquals(getHub().getTimersCount(), 0);
});

test("receive() and send() whose buffer is detached meanwhile reject, and lose no datagram", async () => {
  using a = listenDatagram(LOCAL);
  using b = listenDatagram(LOCAL);
  b.readTimeout = 5000;
  const p = new Uint8Array(4);
  const receiving = settled(b.receive(p));
  p.buffer.transfer();
  await a.send(bytes("kept"), b.addr);
  assertInstanceOf(await receiving, TypeError);
  assertEquals(text((await b.receive())[0]), "kept");
  const lost = bytes("lost");
  // It waits for a look-up.
  const addr = { ...b.addr, hostname: "localhost" } as Deno.NetAddr;
  const sending = settled(a.send(lost, addr));
  lost.buffer.transfer();
  assertInstanceOf(await sending, TypeError);
  await a.send(bytes("next"), b.addr);
  assertEquals(text((await b.receive())[0]), "next");
});

test("close() wakes who receives with IOClosed within one pass and ends for await", async () => {
  const a = listenDatagram(LOCAL);
  const waiting = spawn(() => a.receive());
  await sleep(1);
  const ended = settled(waiting.wait());
  const passes = passesUntil(ended);
  a.close();
  a.close();
  assertInstanceOf(await ended, IOClosed);
  // One ends the call, the next the wait for its greenthread.
  assert(await passes <= 2);
  assertEquals(a.fileno(), -1);
  await assertRejects(() => a.receive(), IOClosed);
  await assertRejects(() => a.send(bytes("x"), a.addr), IOClosed);

  const b = listenDatagram(LOCAL);
  const got: string[] = [];
  const iterating = spawn(async () => {
    for await (const [data] of b) {
      got.push(text(data));
      if (got.length === 2) b.close();
    }
  });
  await b.send(bytes("1"), b.addr);
  await b.send(bytes("2"), b.addr);
  await iterating.wait();
  assertEquals(got, ["1", "2"]);
});

test("close() wakes who sends with IOClosed within one pass, whatever it waits for", async () => {
  const path = temporaryPath();
  const to = listenDatagram({ transport: "unixpacket", path });
  const from = listenDatagram({ transport: "unixpacket" });
  const sends: Promise<unknown>[] = [];
  try {
    // Until one waits, and one behind it.
    for (let waiting = 0; waiting < 2;) {
      let sent = false;
      const send = from.send(bytes("x"), to.addr).then(() => sent = true);
      await sleep();
      await sleep();
      if (sent) continue;
      sends.push(settled(send));
      waiting++;
    }
    const passes = passesUntil(Promise.all(sends));
    from.close();
    assert(await passes <= 1);
    for (const send of sends) assertInstanceOf(await send, IOClosed);
    assertEquals(getHub().getTimersCount(), 0);
  } finally {
    to.close();
    Deno.removeSync(path);
  }
});

test("close() breaks off a send that looks a name up", async () => {
  const a = listenDatagram(LOCAL);
  const addr = { transport: "udp", hostname: "localhost", port: 9 } as const;
  const sends = [0, 1].map(() => settled(a.send(bytes("x"), addr)));
  const passes = passesUntil(Promise.all(sends));
  a.close();
  assert(await passes <= 1);
  for (const error of await Promise.all(sends)) {
    assertInstanceOf(error, IOClosed);
  }
  // The look-up itself goes on, on its thread.
  await lookUp({ host: "localhost", port: 9 });
});

test("Unix datagrams know their sender, and one without a path may send", async () => {
  const [path, other] = [temporaryPath(), temporaryPath()];
  try {
    using a = listenDatagram({ transport: "unixpacket", path });
    using b = listenDatagram({ transport: "unixpacket", path: other });
    using nobody = listenDatagram({ transport: "unixpacket" });
    await a.send(bytes("hi"), b.addr);
    assertEquals(await b.receive(), [bytes("hi"), a.addr]);
    await nobody.send(bytes("yo"), a.addr);
    const [data, from] = await a.receive();
    assertEquals<unknown>(
      [text(data), from],
      ["yo", { transport: "unixpacket", path: null }],
    );
    const gone = { transport: "unixpacket", path: temporaryPath() } as const;
    const error = await assertRejects(() => a.send(data, gone), SystemError);
    assertEquals(error.code, "ENOENT");
  } finally {
    Deno.removeSync(path);
    Deno.removeSync(other);
  }
});

test("send() to a Unix socket whose queue is full waits, in order and within its time", async () => {
  const path = temporaryPath();
  try {
    using to = listenDatagram({ transport: "unixpacket", path });
    using from = listenDatagram({ transport: "unixpacket" });
    from.writeTimeout = 10;
    let sent = 0;
    for (;;) {
      const result = await settled(
        from.send(new Uint8Array(new Int32Array([sent]).buffer), to.addr),
      );
      if (result instanceof Error) {
        assertInstanceOf(result, Timeout);
        break;
      }
      sent++;
    }
    from.writeTimeout = null;
    const more = [0, 1, 2].map((i) =>
      from.send(new Uint8Array(new Int32Array([sent + i]).buffer), to.addr)
    );
    for (let i = 0; i < sent + 3; i++) {
      const [data] = await to.receive();
      assertEquals(new Int32Array(data.slice().buffer)[0], i);
    }
    assertEquals(await Promise.all(more), [4, 4, 4]);
    assertEquals(getHub().getTimersCount(), 0);
  } finally {
    Deno.removeSync(path);
  }
});

for (
  const [v, hostname, level, name] of [
    [4, "127.0.0.1", IPPROTO_IP, IP_MULTICAST_LOOP],
    [6, "::1", IPPROTO_IPV6, IPV6_MULTICAST_LOOP],
  ] as const
) {
  test(`listenDatagram() has IPv${v} multicasts looped back only with loopback`, () => {
    for (const loopback of [undefined, false, true]) {
      using a = listenDatagram({
        ...LOCAL,
        hostname,
        ...loopback === undefined ? {} : { loopback },
      });
      assertEquals(optionOf(a, level, name), loopback === true ? 1 : 0);
    }
  });
}

test("listenDatagram() may send broadcasts", () => {
  using a = listenDatagram(LOCAL);
  assert(optionOf(a, SOL_SOCKET, SO_BROADCAST) !== 0);
});

test("listenDatagram() shares an address with reuseAddress or reusePort alone", () => {
  for (const share of [{ reuseAddress: true }, { reusePort: true }]) {
    using a = listenDatagram({ ...LOCAL, ...share });
    const { port } = a.addr as Deno.NetAddr;
    using b = listenDatagram({ ...LOCAL, ...share, port });
    assertEquals(b.addr, a.addr);
    const error = assertThrows(
      () => listenDatagram({ ...LOCAL, port }),
      SystemError,
    );
    assertEquals(error.code, "EADDRINUSE");
  }
});

test("joinMulticastV4() receives what is sent to the group", async () => {
  using a = listenDatagram({
    transport: "udp",
    hostname: "0.0.0.0",
    port: 0,
    loopback: true,
    reuseAddress: true,
  });
  const membership = await a.joinMulticastV4("239.1.2.3", "127.0.0.1");
  await membership.setLoopback(true);
  await membership.setTTL(1);
  await membership.leave();
  await assertRejects(() => membership.leave(), SystemError);
  await assertRejects(() => a.joinMulticastV4("x", "127.0.0.1"), TypeError);
  await assertRejects(() => a.joinMulticastV6("x", 0), TypeError);
});

test("joinMulticastV4() and joinMulticastV6() check what they are given", async () => {
  using a = listenDatagram(LOCAL);
  using b = listenDatagram({ ...LOCAL, hostname: "::1" });
  const membership = await a.joinMulticastV4("239.1.2.3", "127.0.0.1");
  for (const ttl of ["1", null, undefined, true]) {
    const setting = () => membership.setTTL(ttl as never);
    await assertRejects(setting, TypeError, "no number");
  }
  for (const ttl of [256, -2, 1.5, NaN, Infinity]) {
    const setting = () => membership.setTTL(ttl);
    await assertRejects(setting, RangeError, "out of range");
  }
  for (const ttl of [-1, 0, 255]) await membership.setTTL(ttl);
  for (const name of ["lo", null, undefined]) {
    const joining = () => b.joinMulticastV6("ff02::1", name as never);
    await assertRejects(joining, TypeError, "no number");
  }
  for (const index of [-1, 0.5, 2 ** 32, NaN]) {
    const joining = () => b.joinMulticastV6("ff02::1", index);
    await assertRejects(joining, RangeError, "out of range");
  }
  for (const one of [undefined, 1]) {
    const v4 = () => a.joinMulticastV4(one as never, "127.0.0.1");
    await assertRejects(v4, TypeError, "IPv4");
    const v6 = () => b.joinMulticastV6(one as never, 0);
    await assertRejects(v6, TypeError, "IPv6");
  }
});

test("errors of multicast functions say what was attempted, and for which group", async () => {
  const a = listenDatagram(LOCAL);
  const fails = async (begin: () => Promise<unknown>, message: string) => {
    const error = await assertRejects(begin, Error);
    assertEquals(error.message, message);
  };
  const join = (group: string, from: string) => () =>
    a.joinMulticastV4(group, from);
  await fails(
    join("10.0.0.1", "127.0.0.1"),
    "Cannot join 10.0.0.1 on 127.0.0.1: EINVAL (setsockopt)",
  );
  await fails(
    join("239.1.2.3", "lo"),
    "Cannot join 239.1.2.3 on lo: the interface is no IPv4 address",
  );
  const membership = await a.joinMulticastV4("239.1.2.3", "127.0.0.1");
  await fails(
    () => membership.setTTL(256),
    "Cannot set the TTL for 239.1.2.3: it is out of range: 256",
  );
  await membership.leave();
  await fails(
    membership.leave,
    "Cannot leave 239.1.2.3 on 127.0.0.1: EADDRNOTAVAIL (setsockopt)",
  );
  a.close();
  const closed = ": the socket is closed";
  await fails(
    () => membership.setTTL(1),
    `Cannot set the TTL for 239.1.2.3${closed}`,
  );
  await fails(
    () => membership.setLoopback(true),
    `Cannot set loopback for 239.1.2.3${closed}`,
  );
  using b = listenDatagram({ ...LOCAL, hostname: "::1" });
  await fails(
    () => b.joinMulticastV6("::1", 0),
    "Cannot join ::1 on interface 0: EINVAL (setsockopt)",
  );
});

test("listenDatagram() checks its options, and leaves nothing open", async () => {
  using a = listenDatagram(LOCAL);
  await assertNoFdLeak(() => {
    const { port } = a.addr as Deno.NetAddr;
    const error = assertThrows(
      () => listenDatagram({ ...LOCAL, port }),
      SystemError,
    );
    assertEquals(error.code, "EADDRINUSE");
    assertThrows(() => listenDatagram({} as never), TypeError);
    assertThrows(() => listenDatagram({ ...LOCAL, port: 1.5 }), RangeError);
    for (const what of ["reuseAddress", "reusePort", "loopback"]) {
      assertThrows(
        () => listenDatagram({ ...LOCAL, [what]: "no" }),
        TypeError,
        `Cannot listen: ${what} is no boolean`,
      );
      listenDatagram({ ...LOCAL, [what]: null }).close();
    }
    assertThrows(() => listenDatagram({ ...LOCAL, hostname: "" }), URIError);
    assert(a.fileno() >= 0);
  });
});
