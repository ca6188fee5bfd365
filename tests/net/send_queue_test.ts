/**
 * Sends that wait: in order for each destination, and for no other one. Unix
 * receivers get full by themselves; that UDP finds no room, and how long a
 * look-up takes, is up to stand-ins for sendto(2) and getaddrinfo(3).
 */

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
} from "@std/assert";
import {
  getHub,
  GreenletExit,
  IOClosed,
  kill,
  sleep,
  spawn,
  Timeout,
} from "../../mod.ts";
import { type DatagramConn, listenDatagram } from "../../green/net.ts";
import { printedBy, projectUrl } from "../helpers/spawn.ts";
import { passesUntil, settled, temporaryPath, test } from "./rig.ts";

getHub();

/** More than a receiver's queue holds; most systems have room for 10. */
const MANY = 600;

const numbered = (i: number): Uint8Array =>
  new Uint8Array(new Int32Array([i]).buffer);

const numberOf = (data: Uint8Array): number =>
  new Int32Array(data.slice().buffer)[0]!;

/** Some sockets, closed in the end; a send among them has 5 s. */
class Sockets implements Disposable {
  readonly #all: { socket: DatagramConn; path: string }[] = [];

  make(): DatagramConn {
    const path = temporaryPath();
    const socket = listenDatagram({ transport: "unixpacket", path });
    socket.readTimeout = 5000;
    socket.writeTimeout = 5000;
    this.#all.push({ socket, path });
    return socket;
  }

  [Symbol.dispose](): void {
    for (const { socket, path } of this.#all) {
      socket.close();
      Deno.removeSync(path);
    }
  }
}

/** Send until it is full, and return how many went through. */
async function fill(from: DatagramConn, to: DatagramConn): Promise<number> {
  const { writeTimeout } = from;
  from.writeTimeout = 0;
  try {
    for (let i = 0; i < MANY; i++) {
      const result = await settled(from.send(numbered(i), to.addr));
      if (result instanceof Timeout) return i;
    }
  } finally {
    from.writeTimeout = writeTimeout;
  }
  throw new Error("Cannot fill the queue of a Unix datagram socket");
}

async function receiveAll(from: DatagramConn, count: number) {
  const numbers: number[] = [];
  for (let i = 0; i < count; i++) {
    numbers.push(numberOf((await from.receive())[0]));
  }
  return numbers;
}

const upTo = (count: number): number[] =>
  Array.from({ length: count }).map(
    (_, i) => i,
  );

test("send() does not wait for those to another, whose queue is full", async () => {
  using sockets = new Sockets();
  const me = sockets.make();
  const stuck = sockets.make();
  const fine = sockets.make();
  let sent = 0;
  const sends = upTo(MANY).map((i) =>
    settled(me.send(numbered(i), stuck.addr).then(() => sent++))
  );
  assertEquals(await me.send(numbered(7), fine.addr), 4);
  assertEquals(await receiveAll(fine, 1), [7]);
  assert(sent < MANY);
  assertEquals(await receiveAll(stuck, MANY), upTo(MANY));
  await Promise.all(sends);
  assertEquals(sent, MANY);
  assertEquals(getHub().getTimersCount(), 0);
});

test("send() waits for its own destination, whoever else is full, killed or late", async () => {
  using sockets = new Sockets();
  const me = sockets.make();
  const one = sockets.make();
  const other = sockets.make();
  const [first, second] = [await fill(me, one), await fill(me, other)];
  const doomed = spawn(() => me.send(numbered(-1), one.addr));
  const ones = [0, 1].map((i) => me.send(numbered(first + i), one.addr));
  const others = [0, 1].map((i) => me.send(numbered(second + i), other.addr));
  await sleep();
  me.writeTimeout = 1;
  await assertRejects(() => me.send(numbered(-2), one.addr), Timeout, "1 ms");
  await kill(doomed);
  await assertRejects(() => doomed.wait(), GreenletExit);
  // Each begins to get on when its own receiver does.
  assertEquals(await receiveAll(other, second + 2), upTo(second + 2));
  await Promise.all(others);
  assertEquals(await receiveAll(one, first + 2), upTo(first + 2));
  await Promise.all(ones);
  assertEquals(getHub().getTimersCount(), 0);
});

test("close() wakes all sends with IOClosed, wherever they go", async () => {
  using sockets = new Sockets();
  const me = sockets.make();
  const receivers = [sockets.make(), sockets.make()];
  for (const receiver of receivers) await fill(me, receiver);
  const sends = [...receivers, ...receivers].map(({ addr }) =>
    settled(me.send(numbered(0), addr))
  );
  await sleep();
  const passes = passesUntil(Promise.all(sends));
  me.close();
  assert(await passes <= 1);
  for (const send of sends) assertInstanceOf(await send, IOClosed);
  assertEquals(getHub().getTimersCount(), 0);
});

test("send() goes on after hub.abort(), once another is sent there", async () => {
  using sockets = new Sockets();
  const me = sockets.make();
  me.writeTimeout = null;
  const to = sockets.make();
  const count = await fill(me, to);
  const sends = [me.send(numbered(count), to.addr)];
  await sleep();
  // It ends the pauses.
  await getHub().abort({ wait: true });
  sends.push(me.send(numbered(count + 1), to.addr));
  assertEquals(await receiveAll(to, count + 2), upTo(count + 2));
  await Promise.all(sends);
});

/**
 * For a program of its own, before it opens libc: a port in `full` has no room,
 * and a look-up, of localhost at 127.0.0.1, takes until `answer()`.
 */
const STAND_INS = `
  import { addressOf } from "${projectUrl("ffi/libc.ts")}";
  import { numericAddress } from "${projectUrl("ffi/sockaddr.ts")}";
  import {
    getHub, HubError, kill, sleep, spawn, trampoline, useHub
  } from "${projectUrl("mod.ts")}";
  import { listenDatagram } from "${projectUrl("green/net.ts")}";
  const full = new Set();
  const tries = new Map();
  const log = [];
  let lookups = 0;
  let freed = 0;
  let answer = Promise.withResolvers();
  const darwin = Deno.build.os === "darwin";
  const raw = () => found ??= numericAddress("127.0.0.1", 0);
  let found;
  const info = new Uint8Array(48);
  const dlopen = Deno.dlopen;
  Deno.dlopen = (path, table) => {
    const library = dlopen(path, table);
    if (!("sendto" in table)) return library;
    const { symbols } = library;
    const sendto = (fd, bytes, size, flags, to, length) => {
      const port = to[2] << 8 | to[3];
      tries.set(port, (tries.get(port) ?? 0) + 1);
      // Nothing is there to be received: that is EAGAIN, too.
      if (full.has(port)) return symbols.recv(fd, new Uint8Array(1), 1, 0);
      log.push(bytes[0]);
      return symbols.sendto(fd, bytes, size, flags, to, length);
    };
    const getaddrinfo_elsewhere = async (_name, _service, _hints, out) => {
      lookups++;
      const rc = await answer.promise;
      // struct addrinfo: see ffi/resolve.ts.
      const view = new DataView(info.buffer);
      view.setInt32(4, raw()[darwin ? 1 : 0], true);
      view.setUint32(16, raw().length, true);
      view.setBigUint64(darwin ? 32 : 24, addressOf(raw()), true);
      out[0] = addressOf(info);
      return rc;
    };
    const freeaddrinfo = () => void freed++;
    return {
      close: () => library.close(),
      symbols: { ...symbols, sendto, getaddrinfo_elsewhere, freeaddrinfo },
    };
  };
  const make = () =>
    listenDatagram({ transport: "udp", hostname: "127.0.0.1", port: 0 });
  const one = (i) => new Uint8Array([i]);
  const name = (e) => e.code ?? e.name;
  using me = make();
  using a = make();
  using b = make();
  using c = make();
  for (const socket of [a, b, c]) socket.readTimeout = 5000;
  me.writeTimeout = 5000;
  const named = { ...a.addr, hostname: "localhost" };
`;

/** What a program prints that has the stand-ins. */
function withStandIns(program: string): Promise<string> {
  return printedBy(STAND_INS + program);
}

Deno.test("send() that waits for the descriptor is tried whenever it is writable, for each destination", async () => {
  const printed = await withStandIns(`
    for (const { addr } of [a, b, c]) full.add(addr.port);
    const doomed = spawn(() => me.send(one(9), a.addr));
    await sleep();
    const toA = [1, 2].map((i) => me.send(one(i), a.addr));
    const toB = [3, 4].map((i) => me.send(one(i), b.addr));
    const toC = me.send(one(5), c.addr);
    await kill(doomed);
    full.delete(b.addr.port);
    await Promise.all(toB);
    full.delete(c.addr.port);
    await toC;
    // What has no room does not keep the hub busy.
    const before = tries.get(a.addr.port);
    await sleep(50);
    console.log(tries.get(a.addr.port) - before < 30);
    full.delete(a.addr.port);
    console.log(...await Promise.all(toA), ...log);
    console.log(getHub().getWriters().length, getHub().getTimersCount());
  `);
  assertEquals(printed, "true\n1 1 3 4 5 1 2\n0 0\n");
});

Deno.test("send() lets destinations take turns", async () => {
  const printed = await withStandIns(`
    for (const { addr } of [a, b]) full.add(addr.port);
    const sends = [1, 2, 3].map((i) => me.send(one(i), a.addr));
    sends.push(...[4, 5].map((i) => me.send(one(i), b.addr)));
    // Before the descriptor is found writable.
    full.clear();
    await Promise.all(sends);
    console.log(...log);
  `);
  assertEquals(printed, "1 4 2 5 3\n");
});

Deno.test("send() that need not wait comes back after those to it that had to", async () => {
  const printed = await withStandIns(`
    full.add(a.addr.port);
    const order = [];
    const first = me.send(one(1), a.addr).then(() => order.push(1));
    await sleep();
    full.delete(a.addr.port);
    for (let i = 0; i < 10_000 && log.length === 0; i++) await sleep();
    await me.send(one(2), a.addr).then(() => order.push(2));
    await first;
    console.log(...order);
  `);
  assertEquals(printed, "1 2\n");
});

Deno.test("send() by a name that is looked up holds up those to the same name alone", async () => {
  const printed = await withStandIns(`
    const first = me.send(one(1), named);
    const doomed = spawn(() => me.send(one(9), named));
    const second = me.send(one(2), { ...named, hostname: "LOCALHOST" });
    console.log(await me.send(one(3), a.addr));
    await sleep();
    await kill(doomed);
    // It is not the answer they have waited for that a full receiver delays.
    full.add(a.addr.port);
    const third = me.send(one(4), a.addr);
    answer.resolve(0);
    answer = Promise.withResolvers();
    for (let i = 0; i < 10_000 && freed === 0; i++) await sleep();
    full.clear();
    await Promise.all([first, second, third]);
    console.log(...log, lookups);
    const fourth = me.send(one(5), named).then(() => "sent", name);
    answer.resolve(-2);
    console.log(await fourth, lookups);
  `);
  assertEquals(printed, "1\n3 4 1 2 1\nEAI_NONAME 2\n");
});

Deno.test("send() that must wait rejects with HubError while another waits for the descriptor", async () => {
  const printed = await withStandIns(`
    full.add(a.addr.port);
    const waiting = spawn(() => trampoline(me.fileno(), { write: true }));
    let result;
    spawn(async () => result = await me.send(one(1), a.addr).catch((e) => e));
    await waiting.wait();
    for (let i = 0; i < 10_000 && result === undefined; i++) await sleep();
    console.log(result instanceof HubError);
    full.clear();
    console.log(await me.send(one(2), a.addr), ...log);
  `);
  assertEquals(printed, "true\n1 2\n");
});

Deno.test("send() waits on after hub.removeDescriptor()", async () => {
  const printed = await withStandIns(`
    for (const { addr } of [a, b]) full.add(addr.port);
    const first = me.send(one(1), b.addr);
    const second = me.send(one(2), a.addr);
    getHub().removeDescriptor(me.fileno());
    // One of them finds room in the call that follows, and one does not.
    full.delete(b.addr.port);
    await first;
    full.clear();
    console.log(await second, ...log);
  `);
  assertEquals(printed, "1 1 2\n");
});

Deno.test("send() that waits in a hub that was replaced is in nobody's way", async () => {
  const printed = await withStandIns(`
    full.add(a.addr.port);
    const dead = [a.addr, { ...named, port: b.addr.port }].map((addr) =>
      spawn(() => me.send(one(1), addr))
    );
    await sleep();
    useHub(getHub().name);
    full.clear();
    answer.resolve(0);
    for (let i = 0; i < 10_000 && freed === 0; i++) await sleep();
    console.log(await me.send(one(2), a.addr), ...log);
    for (const one of dead) await kill(one);
    for (const one of dead) console.log(await one.wait().catch(name));
    console.log(getHub().getWriters().length, getHub().getTimersCount());
  `);
  assertEquals(printed, "1 2\nGreenletExit\nGreenletExit\n0 0\n");
});
