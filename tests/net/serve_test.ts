/** serve: limits, ends, errors. */

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertMatch,
  assertRejects,
  assertStrictEquals,
} from "@std/assert";
import { stub } from "@std/testing/mock";
import { ERRNO } from "../../ffi/constants.ts";
import { libc } from "../../ffi/libc.ts";
import { BlockingDetector } from "../../hubs/blocking.ts";
import { hubPreventMultipleReaders } from "../../hubs/debug.ts";
import { thread } from "../../hubs/thread.ts";
import {
  getCurrent,
  getHub,
  GreenletExit,
  type GreenThread,
  IOClosed,
  sleep,
  spawn,
  SystemError,
  Timeout,
} from "../../mod.ts";
import {
  connect,
  listen,
  serve,
  StopServe,
  type TcpConn,
} from "../../green/net.ts";
import { assertNoFdLeak, countFds } from "../helpers/fds.ts";
import { bytes, settled, test, text } from "./rig.ts";

getHub();
// The hub opens what it parks with at its first park.
while (getHub().statistics().parks === 0) await sleep(20);

const LOCAL = { hostname: "127.0.0.1", port: 0 } as const;

async function echo(conn: TcpConn): Promise<void> {
  const p = new Uint8Array(64);
  for (let n; (n = await conn.read(p)) !== null;) {
    await conn.write(p.subarray(0, n));
  }
}

/** Ends of a pass, until `done`. */
async function until(done: () => boolean): Promise<void> {
  for (let i = 0; i < 1000 && !done(); i++) await sleep(1);
  assert(done(), "it never came to pass");
}

test("serve() handles each connection and resolves when the listener is closed", async () => {
  await assertNoFdLeak(async () => {
    const listener = listen(LOCAL);
    const server = spawn(() => serve(listener, echo));
    const clients = [];
    for (let i = 0; i < 20; i++) {
      clients.push(await connect({ port: listener.addr.port }));
    }
    await Promise.all(clients.map(async (client, i) => {
      await client.write(new Uint8Array([i]));
      const p = new Uint8Array(4);
      assertEquals(await client.read(p), 1);
      assertEquals(p[0], i);
    }));
    listener.close();
    assertEquals(await server.wait(), undefined);
    // Those that run go on.
    await clients[0]!.write(bytes("x"));
    assertEquals(await clients[0]!.read(new Uint8Array(1)), 1);
    for (const client of clients) {
      await client.closeWrite();
      assertEquals(await client.read(new Uint8Array(1)), null);
      client.close();
    }
  });
});

test("serve() on a closed listener resolves", async () => {
  const listener = listen(LOCAL);
  listener.close();
  await serve(listener, echo);
  assertEquals(listener.fileno(), -1);
});

test("serve() accepts no connection over the limit", async () => {
  using listener = listen(LOCAL);
  const running: TcpConn[] = [];
  let most = 0;
  const server = spawn(() =>
    serve(listener, async (conn) => {
      running.push(conn);
      most = Math.max(most, running.length);
      await conn.read(new Uint8Array(1));
      running.splice(running.indexOf(conn), 1);
    }, { concurrency: 2 })
  );
  const before = countFds();
  const clients: TcpConn[] = [];
  for (let i = 0; i < 5; i++) {
    clients.push(await connect({ port: listener.addr.port }));
  }
  await until(() => running.length === 2);
  await sleep(5);
  // Five clients and two accepted: the third is still in the kernel.
  assertEquals(countFds(), before + 7);
  for (const client of clients) {
    client.close();
    await sleep(1);
  }
  await until(() => running.length === 0);
  assertEquals(most, 2);
  listener.close();
  await server.wait();
});

test("serve() resolves when a handler throws StopServe, at the limit too", async () => {
  for (const concurrency of [1, 10]) {
    using listener = listen(LOCAL);
    const server = spawn(() =>
      serve(listener, async (conn) => {
        await conn.read(new Uint8Array(1));
        throw new StopServe();
      }, { concurrency })
    );
    using client = await connect({ port: listener.addr.port });
    await client.write(bytes("x"));
    assertEquals(await server.wait(), undefined);
    assertEquals(await client.read(new Uint8Array(1)), null);
    assert(listener.fileno() >= 0);
  }
  assertEquals(getHub().getReaders(), []);
});

test("serve() handles a thousand connections at once unless told", async () => {
  // What has no descriptors: the system may give fewer.
  const closed = Promise.withResolvers<void>();
  let accepted = 0;
  let running = 0;
  let stop = (): void => {};
  let open = true;
  const listener = {
    waiting: null,
    fileno: () => open ? 0 : -1,
    whenClosed(fn: () => void) {
      stop = fn;
      return () => {};
    },
    accept() {
      accepted++;
      return Promise.resolve({ abandon() {} });
    },
  };
  const server = spawn(() =>
    serve(listener as never, async () => {
      running++;
      await closed.promise;
    })
  );
  await until(() => running === 1000);
  for (let i = 0; i < 5; i++) await sleep();
  assertEquals(accepted, 1000);
  open = false;
  stop();
  await server.wait();
  closed.resolve();
});

test("serve() resolves when the listener is closed at the limit", async () => {
  const listener = listen(LOCAL);
  const server = spawn(() => serve(listener, echo, { concurrency: 1 }));
  using client = await connect({ port: listener.addr.port });
  await client.write(bytes("x"));
  await client.read(new Uint8Array(1));
  // It accepts no more, so nothing of the listener's is waited for.
  assertEquals(getHub().getReaders().length, 1);
  listener.close();
  await until(() => server.dead);
  assertEquals(await server.wait(), undefined);
});

test("StopServe breaks off no accept but serve's own", async () => {
  using listener = listen(LOCAL);
  hubPreventMultipleReaders(false);
  try {
    const server = spawn(() =>
      serve(listener, async (conn) => {
        await conn.read(new Uint8Array(1));
        throw new StopServe();
      })
    );
    using client = await connect({ port: listener.addr.port });
    await until(() => getHub().getReaders().length === 2);
    const other = spawn(() => listener.accept());
    await until(() => getHub().getReaders().length === 3);
    await client.write(bytes("x"));
    await until(() => server.dead || other.dead);
    assert(!other.dead, "somebody else's accept was broken off");
    assertEquals(await server.wait(), undefined);
    using late = await connect({ port: listener.addr.port });
    using accepted = await other.wait();
    assertEquals(accepted.remoteAddr, late.localAddr);
  } finally {
    hubPreventMultipleReaders(true);
  }
});

test("serve() gives errors to onError, closes the connection and goes on", async () => {
  using listener = listen(LOCAL);
  const seen: unknown[] = [];
  const errors = [new Error("one"), new Timeout(null), new GreenletExit()];
  let next = 0;
  const server = spawn(() =>
    serve(listener, (conn) => {
      if (next < errors.length) throw errors[next++];
      return echo(conn);
    }, {
      onError(error, conn) {
        seen.push(error, conn.remoteAddr.port);
      },
    })
  );
  const ports = [];
  for (const _ of errors) {
    using client = await connect({ port: listener.addr.port });
    ports.push(client.localAddr.port);
    assertEquals(await client.read(new Uint8Array(1)), null);
  }
  using client = await connect({ port: listener.addr.port });
  await client.write(bytes("x"));
  assertEquals(await client.read(new Uint8Array(1)), 1);
  // A killed handler is no error.
  assertEquals(seen, [errors[0], ports[0], errors[1], ports[1]]);
  listener.close();
  await server.wait();
});

for (const end of ["returns", "fails", "is killed"]) {
  test(`serve() goes on though a handler ${end} before what it has begun`, async () => {
    using listener = listen(LOCAL);
    const begun: GreenThread[] = [];
    const calls: Promise<unknown>[] = [];
    const server = spawn(() =>
      serve(listener, async (conn) => {
        if (begun.push(getCurrent()) > 1) return await echo(conn);
        // None is awaited, by nobody.
        calls.push(
          conn.write(new Uint8Array(20_000_000)),
          conn.read(new Uint8Array(1)),
          conn.write(bytes("x")),
          conn.closeWrite(),
        );
        if (end === "is killed") await sleep(60_000);
        if (end === "fails") throw new Error("handler broke");
      }, { onError() {} })
    );
    using client = await connect({ port: listener.addr.port });
    await until(() => begun.length === 1);
    if (end === "is killed") await begun[0]!.kill();
    await until(() => begun[0]!.dead);
    // A turn of Deno's loop: by now a rejection would have ended the process.
    await new Promise((resolve) => setTimeout(resolve, 5));
    using other = await connect({ port: listener.addr.port });
    await other.write(bytes("x"));
    assertEquals(await other.read(new Uint8Array(1)), 1);
    // Who asks is told all the same.
    const killed = end === "is killed";
    for (const call of calls) {
      assertInstanceOf(await settled(call), killed ? GreenletExit : IOClosed);
    }
    await other.closeWrite();
    assertEquals(await other.read(new Uint8Array(1)), null);
    listener.close();
    await server.wait();
    void client;
  });
}

test("serve() goes on though a handler ends before what it has made of reads and writes", async () => {
  using listener = listen(LOCAL);
  const begun: Promise<unknown>[] = [];
  const server = spawn(() =>
    serve(listener, async (conn) => {
      const sending = async (): Promise<void> => {
        await conn.write(new Uint8Array(20_000_000));
      };
      begun.push(conn.readable.pipeTo(new WritableStream()), sending());
      // By then both wait.
      await sleep(1);
    })
  );
  for (let i = 1; i <= 2; i++) {
    using client = await connect({ port: listener.addr.port });
    await until(() => begun.length === 2 * i);
    await new Promise((resolve) => setTimeout(resolve, 5));
    void client;
  }
  for (const one of begun) assertInstanceOf(await settled(one), IOClosed);
  listener.close();
  await server.wait();
});

test("serve() goes on though a handler has queued reads that nobody awaits", async () => {
  using listener = listen(LOCAL);
  hubPreventMultipleReaders(false);
  try {
    let ended = 0;
    const server = spawn(() =>
      serve(listener, (conn) => {
        for (let i = 0; i < 3; i++) void conn.read(new Uint8Array(1));
        ended++;
      })
    );
    for (let i = 0; i < 2; i++) {
      using client = await connect({ port: listener.addr.port });
      assertEquals(await client.read(new Uint8Array(1)), null);
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
    assertEquals(ended, 2);
    listener.close();
    await server.wait();
  } finally {
    hubPreventMultipleReaders(true);
  }
});

test("close() by a handler itself leaves what it did not await an unhandled rejection", async () => {
  using listener = listen(LOCAL);
  const reasons: unknown[] = [];
  const note = (event: PromiseRejectionEvent): void => {
    event.preventDefault();
    reasons.push(event.reason);
  };
  globalThis.addEventListener("unhandledrejection", note);
  const server = spawn(() =>
    serve(listener, (conn) => {
      void conn.write(new Uint8Array(20_000_000));
      void conn.read(new Uint8Array(1));
      conn.close();
    })
  );
  using client = await connect({ port: listener.addr.port });
  await until(() => reasons.length === 2);
  globalThis.removeEventListener("unhandledrejection", note);
  for (const reason of reasons) assertInstanceOf(reason, IOClosed);
  listener.close();
  await server.wait();
  void client;
});

test("wait() for a handler's greenthread gives its result, error or end, also later", async () => {
  using listener = listen(LOCAL);
  using output = stub(console, "error");
  const boom = new Error("boom");
  const begun: GreenThread[] = [];
  const seen: unknown[] = [];
  const server = spawn(() =>
    serve(listener, async (conn) => {
      begun.push(getCurrent());
      const p = new Uint8Array(1);
      await conn.read(p);
      if (text(p) === "!") throw boom;
      return text(p);
    }, { onError: (error) => void seen.push(error) })
  );
  const ends: unknown[] = [];
  for (const what of ["x", "!", "kill"]) {
    using client = await connect({ port: listener.addr.port });
    await until(() => begun.length > ends.length);
    const gt = begun.at(-1)!;
    const ended = settled(gt.wait());
    if (what === "kill") await gt.kill();
    else await client.write(bytes(what));
    ends.push(await ended);
    assertStrictEquals(await settled(gt.wait()), ends.at(-1));
  }
  assertEquals(ends.slice(0, 2), ["x", boom]);
  assertInstanceOf(ends[2], GreenletExit);
  assertEquals(seen, [boom]);
  // Nobody waits at its end.
  using client = await connect({ port: listener.addr.port });
  await client.write(bytes("!"));
  await until(() => seen.length === 2);
  assertStrictEquals(await settled(begun[3]!.wait()), boom);
  assertEquals(output.calls, []);
  listener.close();
  await server.wait();
});

test("serve() reports a handler's error once on stderr by default", async () => {
  using listener = listen(LOCAL);
  using output = stub(console, "error");
  const server = spawn(() =>
    serve(listener, () => {
      throw new Error("handler broke");
    })
  );
  using client = await connect({ port: listener.addr.port });
  assertEquals(await client.read(new Uint8Array(1)), null);
  await sleep(1);
  assertEquals(output.calls.length, 1);
  const [message, error] = output.calls[0]!.args;
  assert(String(message).includes(`127.0.0.1:${client.localAddr.port}`));
  assertEquals((error as Error).message, "handler broke");
  listener.close();
  await server.wait();
});

test("serve() rejects with what onError throws, now or later", async () => {
  for (const later of [false, true]) {
    using listener = listen(LOCAL);
    const failure = new Error("onError broke");
    const server = spawn(() =>
      serve(listener, () => {
        throw new Error("handler broke");
      }, {
        onError: () => {
          if (later) return Promise.reject(failure);
          throw failure;
        },
      })
    );
    const ended = settled(server.wait());
    using client = await connect({ port: listener.addr.port });
    assertStrictEquals(await ended as Error, failure);
    assertEquals(await client.read(new Uint8Array(1)), null);
  }
});

for (const end of ["closed", "killed", "failed"]) {
  test(`serve() that was ${end} reports what onError throws later`, async () => {
    const listener = listen(LOCAL);
    using output = stub(console, "error");
    const server = spawn(() =>
      serve(listener, async (conn) => {
        const p = new Uint8Array(1);
        if (await conn.read(p) !== null) throw new Error(text(p));
      }, {
        onError(error) {
          throw error;
        },
      })
    );
    const ended = settled(server.wait());
    using client = await connect({ port: listener.addr.port });
    using other = await connect({ port: listener.addr.port });
    await until(() => getHub().getReaders().length === 3);
    if (end === "closed") listener.close();
    else if (end === "killed") await server.kill();
    else await other.write(bytes("1"));
    const result = await ended;
    if (end === "failed") assertEquals((result as Error).message, "1");
    await client.write(bytes("2"));
    assertEquals(await client.read(new Uint8Array(1)), null);
    await until(() => output.calls.length > 0);
    assertEquals(output.calls.length, 1);
    const [message, error] = output.calls[0]!.args;
    assert(String(message).includes("onError"));
    assertEquals((error as Error).message, "2");
    listener.close();
  });
}

test("kill() of serve leaves handlers and listener alone", async () => {
  using listener = listen(LOCAL);
  const server = spawn(() => serve(listener, echo));
  using client = await connect({ port: listener.addr.port });
  await client.write(bytes("a"));
  await client.read(new Uint8Array(1));
  await server.kill();
  await assertRejects(() => server.wait(), GreenletExit);
  await client.write(bytes("b"));
  assertEquals(await client.read(new Uint8Array(1)), 1);
  using other = await connect({ port: listener.addr.port });
  using accepted = await listener.accept();
  assertEquals(accepted.remoteAddr.port, other.localAddr.port);
  await client.closeWrite();
  assertEquals(await client.read(new Uint8Array(1)), null);
});

test("kill() of serve at the limit leaves nothing behind", async () => {
  using listener = listen(LOCAL);
  const server = spawn(() => serve(listener, echo, { concurrency: 1 }));
  using client = await connect({ port: listener.addr.port });
  await client.write(bytes("a"));
  await client.read(new Uint8Array(1));
  await server.kill();
  await client.closeWrite();
  assertEquals(await client.read(new Uint8Array(1)), null);
  assertEquals(getHub().getReaders(), []);
  assertEquals(getHub().getTimersCount(), 0);
});

test("serve() waits out a lack of descriptors", async () => {
  using listener = listen(LOCAL);
  const server = spawn(() => serve(listener, echo));
  using first = await connect({ port: listener.addr.port });
  await first.write(bytes("1"));
  await first.read(new Uint8Array(1));
  // The process's limit is lowered to what is open, and one more.
  const limit = new BigUint64Array(2);
  const lib = Deno.dlopen("libc.so.6", {
    getrlimit: { parameters: ["i32", "buffer"], result: "i32" },
    setrlimit: { parameters: ["i32", "buffer"], result: "i32" },
  });
  const NOFILE = 7;
  lib.symbols.getrlimit(NOFILE, limit);
  // The lowest number that is free: a dup takes it.
  const free = libc().fcntl(0, 0, 0);
  libc().close(free);
  lib.symbols.setrlimit(
    NOFILE,
    new BigUint64Array([BigInt(free + 1), limit[1]!]),
  );
  let second: TcpConn;
  try {
    second = await connect({ port: listener.addr.port });
    await second.write(bytes("2"));
    await sleep(30);
    assert(!server.dead, "serve ended for a lack of descriptors");
    // Others are served meanwhile.
    await first.write(bytes("1"));
    assertEquals(await first.read(new Uint8Array(1)), 1);
  } finally {
    lib.symbols.setrlimit(NOFILE, limit);
  }
  assertEquals(await second.read(new Uint8Array(1)), 1);
  second.close();
  // The close ends a pause, too.
  lib.symbols.setrlimit(
    NOFILE,
    new BigUint64Array([BigInt(free + 1), limit[1]!]),
  );
  let third: TcpConn;
  try {
    third = await connect({ port: listener.addr.port });
    await until(() => getHub().getTimersCount() > 0);
    listener.close();
    for (let i = 0; i < 5; i++) await sleep();
    assert(server.dead, "it sat its pause out");
  } finally {
    lib.symbols.setrlimit(NOFILE, limit);
  }
  assertEquals(await server.wait(), undefined);
  third.close();
  lib.close();
});

test("serve() checks its arguments by rejections", async () => {
  using listener = listen(LOCAL);
  await assertRejects(() => serve({} as never, echo), TypeError);
  await assertRejects(() => serve(listener, 1 as never), TypeError);
  await assertRejects(() => serve(listener, echo, 5 as never), TypeError);
  for (const concurrency of [0, 1.5, NaN]) {
    await assertRejects(
      () => serve(listener, echo, { concurrency }),
      RangeError,
      "concurrency",
    );
  }
  await assertRejects(
    () => serve(listener, echo, { concurrency: "5" as never }),
    TypeError,
  );
  await assertRejects(
    () => serve(listener, echo, { onError: 1 as never }),
    TypeError,
  );
});

test("a handler that blocks is reported with where serve was called", async () => {
  using output = stub(console, "error");
  using listener = listen(LOCAL);
  let now = 0;
  thread.observer = new BlockingDetector(10, () => now);
  try {
    const server = spawn(function serveHere() {
      return serve(listener, function sluggish() {
        now += 25;
      });
    });
    using client = await connect({ port: listener.addr.port });
    assertEquals(await client.read(new Uint8Array(1)), null);
    listener.close();
    await server.wait();
  } finally {
    thread.observer = null;
  }
  const [report] = output.calls.map(({ args }) => String(args[0]));
  assertMatch(report!, /\(sluggish\) kept the thread for 25\.0 ms/);
  assertMatch(report!, /spawned here:\n +at .*serveHere/);
});

test("serve() names the handler in messages about its greenthreads", async () => {
  using listener = listen(LOCAL);
  let message = "";
  const server = spawn(() =>
    serve(listener, async function chatter(conn) {
      const first = spawn(() => conn.read(new Uint8Array(1)));
      await sleep(1);
      await conn.read(new Uint8Array(1)).catch((e) => message = e.message);
      await first.kill();
    })
  );
  using client = await connect({ port: listener.addr.port });
  assertEquals(await client.read(new Uint8Array(1)), null);
  assert(message.includes("(chatter)"), message);
  listener.close();
  await server.wait();
});

test("a pause of serve() on a clock that throws ends it and leaves nothing behind", async () => {
  using listener = listen(LOCAL);
  listener.accept = () =>
    Promise.reject(new SystemError(ERRNO["EMFILE"]!, "accept4"));
  const hub = getHub();
  const { clock } = hub;
  const server = spawn(async () => {
    hub.clock = () => {
      throw new Error("no time");
    };
    const error = await settled(serve(listener, echo));
    hub.clock = clock;
    return [(error as Error).message, getCurrent().waiting];
  });
  assertEquals(await server.wait(), ["no time", false]);
});
