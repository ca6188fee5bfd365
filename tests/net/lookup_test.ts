/**
 * Host names: looked up by the system, off this thread, within the time limit,
 * and all their addresses used. What a name stands for is up to a stand-in for
 * getaddrinfo(3); how long the look-up takes, to strace.
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { testWith } from "../helpers/need.ts";
import { printedBy, projectUrl } from "../helpers/spawn.ts";
import { canTrace, traceModule } from "../helpers/strace.ts";

/**
 * For a program of its own, before it opens libc: every name that is looked up
 * stands for `hosts`.
 */
const EVERY_NAME_IS = `
  import { addressOf } from "${projectUrl("ffi/libc.ts")}";
  import { numericAddress } from "${projectUrl("ffi/sockaddr.ts")}";
  import { connect, listen, listenDatagram } from "${
  projectUrl("green/net.ts")
}";
  const darwin = Deno.build.os === "darwin";
  const kept = [];
  let first = 0n;
  const freed = [];
  function everyNameIs(...hosts) {
    first = 0n;
    for (const host of hosts.reverse()) {
      const raw = numericAddress(host, 0);
      // struct addrinfo: see ffi/resolve.ts.
      const info = new Uint8Array(48);
      const view = new DataView(info.buffer);
      view.setInt32(4, raw[darwin ? 1 : 0], true);
      view.setUint32(16, raw.length, true);
      view.setBigUint64(darwin ? 32 : 24, addressOf(raw), true);
      view.setBigUint64(40, first, true);
      first = addressOf(info);
      kept.push(raw, info);
    }
  }
  const dlopen = Deno.dlopen;
  Deno.dlopen = (path, table) => {
    const library = dlopen(path, table);
    return {
      close: () => library.close(),
      symbols: {
        ...library.symbols,
        getaddrinfo_elsewhere: async (_name, _service, _hints, out) => {
          out[0] = first;
          return 0;
        },
        getaddrinfo: (_name, _service, _hints, out) => {
          out[0] = first;
          return 0;
        },
        freeaddrinfo: (list) => void freed.push(list === first),
      },
    };
  };
`;

/** What a program prints in which names are what it says. */
function withNames(program: string): Promise<string> {
  return printedBy(EVERY_NAME_IS + program);
}

Deno.test("connect() tries the addresses of a name in turn", async () => {
  const printed = await withNames(`
    using listener = listen({ hostname: "127.0.0.3", port: 0 });
    const { port } = listener.addr;
    everyNameIs("127.0.0.2", "::1", "127.0.0.3", "127.0.0.4");
    using client = await connect({ hostname: "some.test", port });
    console.log(client.remoteAddr.hostname);
    listener.close();
    const error = await connect({ hostname: "some.test", port }).catch((e) => e);
    console.log(error.message.replace(port, "PORT"));
  `);
  const last = "Cannot connect to 127.0.0.4:PORT: ECONNREFUSED (connect)";
  assertEquals(printed, `127.0.0.3\n${last}\n`);
});

Deno.test("send() takes the address of a name that is of the socket's family", async () => {
  const printed = await withNames(`
    everyNameIs("::1", "127.0.0.1", "::1");
    for (const hostname of ["127.0.0.1", "::1"]) {
      using a = listenDatagram({ transport: "udp", hostname, port: 0 });
      await a.send(new Uint8Array(3), { ...a.addr, hostname: "both.test" });
      const [data, from] = await a.receive();
      console.log(data.length, from.hostname);
    }
  `);
  assertEquals(printed, "3 127.0.0.1\n3 ::1\n");
});

Deno.test("the addresses of a name are given back to the system, once each time", async () => {
  const printed = await withNames(`
    everyNameIs("127.0.0.1");
    using listener = listen({ hostname: "some.test", port: 0 });
    const { port } = listener.addr;
    using client = await connect({ hostname: "some.test", port });
    console.log(...freed);
  `);
  assertEquals(printed, "true true\n");
});

/** Whoever opens /etc/hosts is kept waiting for 1 s. */
const SLOW_HOSTS = [
  ...["-P", "/etc/hosts", "-e", "trace=openat,open"],
  ...["-e", "inject=openat,open:delay_enter=1000000"],
];

/** Connects to localhost, and says how far a timer came meanwhile. */
const PROGRAM = `
  import { connect, listen } from "${projectUrl("green/net.ts")}";
  import { sleep, spawn } from "${projectUrl("mod.ts")}";
  const timeout = Deno.args[0] === "" ? null : Number(Deno.args[0]);
  using listener = listen({ hostname: "127.0.0.1", port: 0 });
  let ticks = 0;
  const ticker = spawn(async () => {
    for (;;) {
      await sleep(1);
      ticks++;
    }
  });
  const { port } = listener.addr;
  const start = performance.now();
  let result;
  try {
    using conn = await connect({ hostname: "localhost", port, timeout });
    result = conn.remoteAddr.hostname;
  } catch (error) {
    result = error.name;
  }
  const ms = performance.now() - start;
  await ticker.kill();
  await ticker.wait().catch(() => {});
  console.log(JSON.stringify({ result, ticks, ms }));
`;

testWith(
  ["strace", canTrace],
  "connect() looks a name up in /etc/hosts, and others run meanwhile",
  async () => {
    const traced = await traceModule(PROGRAM, SLOW_HOSTS, ["--allow-all"], [
      "",
    ]);
    const { result, ticks, ms } = JSON.parse(traced.stdout);
    assertEquals(result, "127.0.0.1");
    assertMatch(traced.lines.join("\n"), /open(at)?\(.*"\/etc\/hosts"/);
    assert(ms >= 1000, `the look-up was not delayed: ${ms} ms`);
    assert(ticks >= 20, `others ran ${ticks} times`);
  },
);

testWith(
  ["strace", canTrace],
  "connect() counts the look-up into its timeout",
  async () => {
    const traced = await traceModule(
      PROGRAM,
      SLOW_HOSTS,
      ["--allow-all"],
      ["50"],
    );
    const { result, ms } = JSON.parse(traced.stdout);
    assertEquals(result, "Timeout");
    assert(ms >= 50 && ms < 300, `${ms} ms`);
  },
);
