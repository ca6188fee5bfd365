/** Listeners and connecting: addresses, names, limits, and every failure. */

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertThrows,
} from "@std/assert";
import {
  F_GETFD,
  F_GETFL,
  FD_CLOEXEC,
  O_NONBLOCK,
} from "../../ffi/constants.ts";
import { libc } from "../../ffi/libc.ts";
import { hubPreventMultipleReaders } from "../../hubs/debug.ts";
import {
  getHub,
  GreenletExit,
  HubError,
  IOClosed,
  sleep,
  spawn,
  SystemError,
  Timeout,
} from "../../mod.ts";
import { connect, listen } from "../../green/net.ts";
import { assertNoFdLeak } from "../helpers/fds.ts";
import { LIBC_ONLY } from "../helpers/grants.ts";
import { projectUrl, runProgram } from "../helpers/spawn.ts";
import {
  bytes,
  passesUntil,
  settled,
  tcpPair,
  temporaryPath,
  test,
  unixPair,
} from "./rig.ts";

getHub();

function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch {
    return false;
  }
}

test("listen() takes a free port and says which", async () => {
  await assertNoFdLeak(() => {
    const listener = listen({ port: 0 });
    assertEquals(listener.addr.hostname, "0.0.0.0");
    assertEquals(listener.addr.transport, "tcp");
    assert(listener.addr.port > 0);
    assert(listener.fileno() >= 0);
    listener.close();
    listener.close();
    assertEquals(listener.fileno(), -1);
  });
});

test("listen() refuses a port that is taken, and leaves nothing open", async () => {
  using first = listen({ hostname: "127.0.0.1", port: 0 });
  await assertNoFdLeak(() => {
    const error = assertThrows(
      () => listen({ hostname: "127.0.0.1", port: first.addr.port }),
      SystemError,
      `127.0.0.1:${first.addr.port}`,
    );
    assertEquals(error.code, "EADDRINUSE");
  });
});

test("listen() shares a port with reusePort", () => {
  using a = listen({ hostname: "127.0.0.1", port: 0, reusePort: true });
  const { port } = a.addr;
  using b = listen({ hostname: "127.0.0.1", port, reusePort: true });
  assertEquals(b.addr.port, port);
});

test("listen() binds a port again right after its close", async () => {
  const [client, server] = await tcpPair();
  const { port } = server.localAddr;
  // The side that closes first keeps the port in TIME_WAIT.
  server.close();
  client.close();
  using listener = listen({ hostname: "127.0.0.1", port });
  assertEquals(listener.addr.port, port);
});

test("listen() resolves a host name", () => {
  using listener = listen({ hostname: "localhost", port: 0 });
  assert(["127.0.0.1", "::1"].includes(listener.addr.hostname));
});

test("listen() checks its options", () => {
  assertThrows(() => listen(null as never), TypeError);
  assertThrows(() => listen({ port: "80" as never }), TypeError);
  assertThrows(() => listen({ port: 70_000 }), RangeError);
  for (const backlog of [0, 1.5, NaN]) {
    assertThrows(() => listen({ port: 0, backlog }), RangeError, "backlog");
  }
  for (const tcpBacklog of [-1, 0.5]) {
    assertThrows(() => listen({ port: 0, tcpBacklog }), RangeError, "Backlog");
  }
  listen({ port: 0, tcpBacklog: 0 }).close();
  listen({ port: 0, backlog: Infinity }).close();
  assertThrows(() => listen({ port: 0, hostname: "" }), URIError, "empty");
  assertThrows(() => listen({ port: 0, hostname: 3 as never }), TypeError);
  for (const what of ["reusePort", "noDelay"]) {
    const wrong = { port: 0, [what]: "no" };
    assertThrows(() => listen(wrong), TypeError, `${what} is no boolean`);
    listen({ port: 0, [what]: null }).close();
    listen({ port: 0, [what]: undefined }).close();
  }
  assertThrows(
    () => listen({ transport: "vsock" as never, port: 0 }),
    TypeError,
    "vsock",
  );
  const long = { transport: "unix", path: "/tmp/" + "x".repeat(200) } as const;
  assertThrows(() => listen(long), RangeError);
  assertThrows(() => listen({ transport: "unix", path: "" }), RangeError);
});

test("listen() makes a Unix socket's file and close() removes it", () => {
  const path = temporaryPath();
  const listener = listen({ transport: "unix", path });
  assertEquals(listener.addr, { transport: "unix", path });
  assert(exists(path));
  assertThrows(() => listen({ transport: "unix", path }), SystemError);
  assert(exists(path));
  listener.close();
  assert(!exists(path));
});

test("listen() and connect() know abstract Unix sockets", async () => {
  const path = `\0greenhub-${Deno.pid}-${Math.random()}`;
  using listener = listen({ transport: "unix", path });
  using client = await connect({ transport: "unix", path });
  using server = await listener.accept();
  await client.write(bytes("x"));
  assertEquals(await server.read(new Uint8Array(1)), 1);
  assertEquals(server.localAddr.path, path);
});

test("accept() hands connections out in the order they came", async () => {
  using listener = listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  const clients = [];
  for (let i = 0; i < 5; i++) clients.push(await connect({ port }));
  const ports = [];
  for (let i = 0; i < 5; i++) {
    using conn = await listener.accept();
    ports.push(conn.remoteAddr.port);
  }
  assertEquals(ports, clients.map((client) => client.localAddr.port));
  for (const client of clients) client.close();
});

test("accept() by a second greenthread rejects with HubError", async () => {
  using listener = listen({ hostname: "127.0.0.1", port: 0 });
  const first = spawn(() => listener.accept());
  await sleep(1);
  await assertRejects(() => listener.accept(), HubError, "simultaneous");
  using _client = await connect({ port: listener.addr.port });
  (await first.wait()).close();
});

test("accept() by a second greenthread does not take the first one's connection", async () => {
  const path = temporaryPath();
  using listener = listen({ transport: "unix", path });
  const first = spawn(() => listener.accept());
  await sleep(1);
  // The hub has not looked yet.
  using _client = await connect({ transport: "unix", path });
  await assertRejects(() => listener.accept(), HubError, "simultaneous");
  (await first.wait()).close();
});

test("accept() queues behind the first though the one between was killed", async () => {
  const path = temporaryPath();
  using listener = listen({ transport: "unix", path });
  hubPreventMultipleReaders(false);
  try {
    const order: string[] = [];
    const accepter = (name: string) => async () => {
      (await listener.accept()).close();
      order.push(name);
    };
    const first = spawn(accepter("first"));
    const between = spawn(accepter("killed"));
    await sleep(1);
    await between.kill();
    // The hub has not looked yet: the last could take the first's.
    using _one = await connect({ transport: "unix", path });
    using _other = await connect({ transport: "unix", path });
    await accepter("last")();
    await first.wait();
    assertEquals(order, ["first", "last"]);
  } finally {
    hubPreventMultipleReaders(true);
  }
});

test("accept() that waits can be killed", async () => {
  using listener = listen({ hostname: "127.0.0.1", port: 0 });
  const gt = spawn(() => listener.accept());
  await sleep(1);
  await gt.kill();
  await assertRejects(() => gt.wait(), GreenletExit);
  assertEquals(getHub().getReaders(), []);
});

test("close() of a listener ends accept and for await within one pass", async () => {
  const listener = listen({ hostname: "127.0.0.1", port: 0 });
  const accepting = spawn(() => listener.accept());
  await sleep(1);
  const ended = settled(accepting.wait());
  const passes = passesUntil(ended);
  listener.close();
  assertInstanceOf(await ended, IOClosed);
  // One ends the call, the next the wait for its greenthread.
  assert(await passes <= 2);
  await assertRejects(() => listener.accept(), IOClosed);

  const other = listen({ hostname: "127.0.0.1", port: 0 });
  let count = 0;
  const iterating = spawn(async () => {
    for await (const conn of other) {
      count++;
      conn.close();
    }
    return "ended";
  });
  using client = await connect({ port: other.addr.port });
  assertEquals(await client.read(new Uint8Array(1)), null);
  other.close();
  assertEquals(await iterating.wait(), "ended");
  assertEquals(count, 1);
  for await (const _ of other) throw new Error("a connection of the dead");
});

for (const call of ["accept", "connect"]) {
  test(`${call}() tells who waits for a number closed behind our back`, async () => {
    const path = temporaryPath();
    using listener = listen({ transport: "unix", path });
    using dialled = await connect({ transport: "unix", path });
    const [a, b] = await tcpPair();
    const old = spawn(() => a.read(new Uint8Array(1)));
    await sleep(1);
    const ended = settled(old.wait());
    const fd = a.fileno();
    using stack = new DisposableStack();
    // The lowest free number is taken first, and ours need not be that: have
    // the others taken, by F_DUPFD.
    for (let low; (low = libc().fcntl(listener.fileno(), 0, 0)) >= 0;) {
      const taken = low;
      stack.defer(() => libc().close(taken));
      if (taken > fd) break;
    }
    let made;
    if (call === "accept") {
      libc().close(fd);
      made = stack.use(await listener.accept());
    } else {
      stack.use(await listener.accept());
      libc().close(fd);
      made = stack.use(await connect({ transport: "unix", path }));
      stack.use(await listener.accept());
    }
    assertEquals(made.fileno(), fd, "the number was not handed out again");
    assertInstanceOf(await ended, IOClosed);
    assert(dialled.fileno() >= 0);
    b.close();
  });
}

test("what is accepted and connected is closed on exec and does not block", async () => {
  const [a, b] = await tcpPair();
  const [c, d] = await unixPair();
  for (const conn of [a, b, c, d]) {
    assertEquals(libc().fcntl(conn.fileno(), F_GETFD, 0) & FD_CLOEXEC, 1);
    const flags = libc().fcntl(conn.fileno(), F_GETFL, 0);
    assert((flags & O_NONBLOCK) !== 0);
    conn.close();
  }
});

test("connect() is refused with ECONNREFUSED, and leaves nothing open", async () => {
  const closed = listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = closed.addr;
  closed.close();
  await assertNoFdLeak(async () => {
    const error = await assertRejects(
      () => connect({ port }),
      SystemError,
      `127.0.0.1:${port}`,
    );
    assertEquals([error.code, error.syscall], ["ECONNREFUSED", "connect"]);
    const unix = await assertRejects(
      () => connect({ transport: "unix", path: temporaryPath() }),
      SystemError,
    );
    assertEquals(unix.code, "ENOENT");
  });
});

test("connect() resolves a host name and tries one address after the other", async () => {
  // Whichever family the system prefers: the listener is on one of them only.
  using listener = listen({ hostname: "127.0.0.1", port: 0 });
  using client = await connect({
    hostname: "localhost",
    port: listener.addr.port,
    timeout: 10_000,
  });
  using server = await listener.accept();
  assertEquals(client.remoteAddr.hostname, "127.0.0.1");
  assertEquals(server.remoteAddr.port, client.localAddr.port);
});

test("connect() to an address that stands for this host names the peer's own", async () => {
  using v4 = listen({ hostname: "127.0.0.1", port: 0 });
  using v6 = listen({ hostname: "::1", port: 0 });
  for (
    const [listener, hostname] of [
      [v4, "0.0.0.0"],
      [v4, "0"],
      [v4, "::ffff:0.0.0.0"],
      [v6, "::"],
      [v6, "[::0]"],
    ] as const
  ) {
    using client = await connect({ hostname, port: listener.addr.port });
    using server = await listener.accept();
    const { remoteAddr } = client;
    const peer = remoteAddr.hostname.replace("::ffff:", "");
    assertEquals({ ...remoteAddr, hostname: peer }, server.localAddr);
  }
});

test("connect() takes IPv6 addresses with and without brackets", async () => {
  using listener = listen({ hostname: "[::1]", port: 0 });
  assertEquals(listener.addr.hostname, "::1");
  for (const hostname of ["::1", "[::1]", "0:0:0:0:0:0:0:1"]) {
    using client = await connect({ hostname, port: listener.addr.port });
    using server = await listener.accept();
    assertEquals(client.remoteAddr.hostname, "::1");
    assertEquals(server.localAddr, client.remoteAddr);
  }
});

test("connect() rejects a name that cannot be resolved", async () => {
  const error = await assertRejects(
    () => connect({ hostname: "no-such-host.invalid", port: 1 }),
    SystemError,
    "no-such-host.invalid",
  );
  assertEquals(error.syscall, "getaddrinfo");
  assert(error.code.startsWith("EAI_"), error.code);
});

test("connect() checks its options by rejections", async () => {
  await assertRejects(() => connect(undefined as never), TypeError);
  await assertRejects(() => connect({} as never), TypeError);
  await assertRejects(() => connect({ port: -1 }), RangeError);
  await assertRejects(() => connect({ port: 1, hostname: "" }), URIError);
  await assertRejects(
    () => connect({ port: 1, timeout: NaN }),
    RangeError,
    "Cannot connect: timeout is NaN",
  );
  await assertRejects(
    () => connect({ port: 1, signal: 1 as never }),
    TypeError,
  );
  await assertRejects(
    () => connect({ port: 1, noDelay: "no" as never }),
    TypeError,
    "Cannot connect: noDelay is no boolean: string",
  );
  await assertRejects(
    () => connect({ transport: "tls" as never, port: 1 }),
    TypeError,
  );
  const inMainloop = new Promise((resolve) => {
    getHub().scheduleCallGlobal(0, () => {
      connect({ port: 1 }).catch(resolve);
    });
  });
  assertInstanceOf(await inMainloop, HubError);
});

/** A Unix listener whose backlog is full: a connect has to wait. */
async function fullListener() {
  const path = temporaryPath();
  const listener = listen({ transport: "unix", path, backlog: 1 });
  const clients = [];
  for (;;) {
    const options = { transport: "unix", path, timeout: 20 } as const;
    const conn = await settled(connect(options));
    if (conn instanceof Error) {
      assertInstanceOf(conn, Timeout);
      return { path, listener, clients };
    }
    clients.push(conn);
  }
}

test("connect() limits its whole time, can be aborted and killed", async () => {
  await assertNoFdLeak(async () => {
    const { path, listener, clients } = await fullListener();
    const start = performance.now();
    await assertRejects(
      () => connect({ transport: "unix", path, timeout: 15 }),
      Timeout,
      "15 ms",
    );
    assert(performance.now() - start >= 15);

    const controller = new AbortController();
    const aborted = spawn(() =>
      connect({ transport: "unix", path, signal: controller.signal })
    );
    await sleep(2);
    const ended = settled(aborted.wait());
    controller.abort(new Error("enough"));
    assertEquals((await ended as Error).message, "enough");
    await assertRejects(
      () => connect({ transport: "unix", path, signal: controller.signal }),
      Error,
      "enough",
    );

    const killed = spawn(() => connect({ transport: "unix", path }));
    await sleep(2);
    await killed.kill();
    await assertRejects(() => killed.wait(), GreenletExit);

    const patient = spawn(() => connect({ transport: "unix", path }));
    await sleep(2);
    (await listener.accept()).close();
    (await patient.wait()).close();
    for (const client of clients) client.close();
    listener.close();
  });
  assertEquals(getHub().getTimersCount(), 0);
  assertEquals(getHub().getWriters(), []);
});

test("connect() leaves nothing on its signal, however it ends", async () => {
  const { signal } = new AbortController();
  let listeners = 0;
  const add = signal.addEventListener.bind(signal);
  const remove = signal.removeEventListener.bind(signal);
  signal.addEventListener = (...args: Parameters<typeof add>) => {
    listeners++;
    add(...args);
  };
  signal.removeEventListener = (...args: Parameters<typeof remove>) => {
    listeners--;
    remove(...args);
  };
  const listener = listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  (await connect({ port, signal })).close();
  listener.close();
  await assertRejects(() => connect({ port, signal }), SystemError);
  const path = temporaryPath();
  await assertRejects(
    () => connect({ transport: "unix", path, signal }),
    SystemError,
  );
  assertEquals(listeners, 0);
});

test("connect() gives a TCP connection that hangs its time, no more", async () => {
  // A backlog that is full: Linux lets the SYNs of further ones drop.
  using listener = listen({ hostname: "127.0.0.1", port: 0, backlog: 1 });
  const clients = [];
  let last;
  for (let i = 0; i < 8; i++) {
    const { port } = listener.addr;
    last = await settled(connect({ port, timeout: 50 }));
    if (last instanceof Error) break;
    clients.push(last);
  }
  assertInstanceOf(last, Timeout);
  for (const client of clients) client.close();
  assertEquals(getHub().getWriters(), []);
});

test("connect() and listen() work under a grant for libc alone", async () => {
  const result = await runProgram(
    `import { connect, listen, listenDatagram } from "${
      projectUrl("green/net.ts")
    }";
     using listener = listen({ hostname: "localhost", port: 0 });
     using client = await connect({ hostname: "localhost", port: listener.addr.port });
     using server = await listener.accept();
     await client.write(new Uint8Array(3));
     console.log(await server.read(new Uint8Array(9)));
     using udp = listenDatagram({ transport: "udp", port: 0 });
     await udp.send(new Uint8Array(2), { ...udp.addr, hostname: "localhost" });
     console.log((await udp.receive())[0].length);
     const e = await connect({ port: 1 }).catch((e) => e);
     console.log(e.code);`,
    { flags: [LIBC_ONLY], env: { EVENTLET_HUB: undefined } },
  );
  assertEquals(result.stdout, "3\n2\nECONNREFUSED\n", result.stderr);
  assertEquals(result.code, 0);
});

test("importing net opens no library", async () => {
  const result = await runProgram(
    `import "${projectUrl("green/net.ts")}"; console.log("fine");`,
  );
  assertEquals(result.stdout, "fine\n", result.stderr);
});
