/**
 * Green sockets and programs that know nothing of them: curl, wrk, redis,
 * socat, nc.
 */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { getHub, sleep, spawn } from "../../mod.ts";
import {
  connect,
  listen,
  listenDatagram,
  serve,
  type StreamConn,
  type TcpConn,
} from "../../green/net.ts";
import { findCommand, testWith } from "../helpers/need.ts";
import { bytes, settled, temporaryPath, text } from "./rig.ts";

getHub();

const LOCAL = { hostname: "127.0.0.1", port: 0 } as const;

function command(name: string): readonly [what: string, present: boolean] {
  return [name, findCommand(name) !== null];
}

/** Run a program to its end; what it printed. */
async function run(
  name: string,
  args: readonly string[],
  input = "",
): Promise<string> {
  const child = new Deno.Command(findCommand(name)!, {
    args: [...args],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
    signal: AbortSignal.timeout(60_000),
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(bytes(input));
  await writer.close();
  const { code, stdout, stderr } = await child.output();
  assert(code === 0, `${name} ended with ${code}: ${text(stderr)}`);
  return text(stdout);
}

/** Lines, and blocks of bytes, out of a connection. */
class Reader {
  readonly #conn: StreamConn;
  readonly #p = new Uint8Array(16_384);
  #rest = "";

  constructor(conn: StreamConn) {
    this.#conn = conn;
  }

  async #more(): Promise<boolean> {
    const n = await this.#conn.read(this.#p);
    if (n === null) return false;
    this.#rest += String.fromCharCode(...this.#p.subarray(0, n));
    return true;
  }

  /** The next line without its CR LF; null at the end. */
  async line(): Promise<string | null> {
    for (;;) {
      const at = this.#rest.indexOf("\r\n");
      if (at >= 0) {
        const line = this.#rest.slice(0, at);
        this.#rest = this.#rest.slice(at + 2);
        return line;
      }
      if (!await this.#more()) return null;
    }
  }

  async block(length: number): Promise<string> {
    while (this.#rest.length < length) assert(await this.#more());
    const block = this.#rest.slice(0, length);
    this.#rest = this.#rest.slice(length);
    return block;
  }

  /** No more is there without reading again. */
  get empty(): boolean {
    return this.#rest === "";
  }
}

/** A small HTTP handler: GET says a path, POST gives a body back. */
async function http(conn: StreamConn): Promise<void> {
  const reader = new Reader(conn);
  for (;;) {
    const request = await reader.line();
    if (request === null) return;
    const [method, path, version] = request.split(" ");
    let length = 0;
    for (let header; (header = await reader.line()) !== "";) {
      if (header === null) return;
      const match = /^content-length: *(\d+)$/i.exec(header);
      if (match !== null) length = Number(match[1]);
      if (/^expect: *100-continue$/i.test(header)) {
        await conn.write(bytes("HTTP/1.1 100 Continue\r\n\r\n"));
      }
    }
    const body = method === "POST"
      ? await reader.block(length)
      : `You asked for ${path}\n`;
    const data = Uint8Array.from(body, (char) => char.charCodeAt(0));
    const head = `${version} 200 OK\r\nContent-Type: text/plain\r\n` +
      `Content-Length: ${data.length}\r\n\r\n`;
    const answer = new Uint8Array(head.length + data.length);
    answer.set(bytes(head));
    answer.set(data, head.length);
    await conn.write(answer);
    if (version === "HTTP/1.0") return;
  }
}

/** A small RESP server: PING, ECHO, SET, GET, INCR, and empty answers. */
function makeResp(): (conn: StreamConn) => Promise<void> {
  const store = new Map<string, string>();
  const bulk = (value: string | undefined): string =>
    value === undefined ? "$-1\r\n" : `$${value.length}\r\n${value}\r\n`;
  const answer = (name: string, args: string[]): string => {
    switch (name.toUpperCase()) {
      case "PING":
        return args.length > 0 ? bulk(args[0]) : "+PONG\r\n";
      case "ECHO":
        return bulk(args[0]);
      case "SET":
        store.set(args[0]!, args[1]!);
        return "+OK\r\n";
      case "GET":
        return bulk(store.get(args[0]!));
      case "INCR": {
        const value = Number(store.get(args[0]!) ?? 0) + 1;
        store.set(args[0]!, String(value));
        return `:${value}\r\n`;
      }
      case "CONFIG":
      case "COMMAND":
        return "*0\r\n";
      default:
        return `-ERR unknown command '${name}'\r\n`;
    }
  };
  return async function resp(conn) {
    const reader = new Reader(conn);
    let answers = "";
    for (;;) {
      const head = await reader.line();
      if (head === null) return;
      let words: string[];
      if (head.startsWith("*")) {
        words = [];
        for (let i = Number(head.slice(1)); i > 0; i--) {
          const length = Number((await reader.line())!.slice(1));
          words.push(await reader.block(length));
          await reader.block(2);
        }
      } else words = head.split(" ");
      answers += answer(words[0] ?? "", words.slice(1));
      if (!reader.empty) continue;
      await conn.write(Uint8Array.from(answers, (c) => c.charCodeAt(0)));
      answers = "";
    }
  };
}

/** Serve while `fn` runs. */
async function serving(
  handler: (conn: TcpConn) => Promise<void>,
  fn: (port: number) => Promise<void>,
): Promise<void> {
  const listener = listen(LOCAL);
  const errors: unknown[] = [];
  const server = spawn(() =>
    serve(listener, handler, { onError: (error) => errors.push(error) })
  );
  try {
    await fn(listener.addr.port);
  } finally {
    listener.close();
    await server.wait();
  }
  // A benchmark may just drop its connections at the end.
  const codes = errors.map((error) => (error as { code?: string }).code);
  assertEquals(codes.filter((code) => code !== "ECONNRESET"), []);
}

testWith(
  command("curl"),
  "curl gets and posts over HTTP/1.0 and 1.1",
  async () => {
    await serving(http, async (port) => {
      const url = `http://127.0.0.1:${port}/some/path`;
      assertEquals(
        await run("curl", ["-sS0", url]),
        "You asked for /some/path\n",
      );
      assertEquals(
        await run("curl", ["-sS", url, url]),
        "You asked for /some/path\n".repeat(2),
      );
      const body = "x".repeat(500_000);
      assertEquals(
        await run("curl", ["-sS", "--data-binary", "@-", url], body),
        body,
      );
    });
  },
);

testWith(
  command("wrk"),
  "wrk loads the HTTP handler without an error",
  async () => {
    await serving(http, async (port) => {
      const url = `http://127.0.0.1:${port}/`;
      const output = await run("wrk", ["-t1", "-c50", "-d1s", url]);
      const requests = Number(/(\d+) requests in/.exec(output)?.[1]);
      assert(requests > 500, output);
      assert(!output.includes("Socket errors"), output);
      assert(!output.includes("Non-2xx"), output);
    });
  },
);

testWith(command("redis-cli"), "redis-cli talks to a RESP server", async () => {
  await serving(makeResp(), async (port) => {
    const cli = (...args: string[]): Promise<string> =>
      run("redis-cli", ["-h", "127.0.0.1", "-p", String(port), ...args]);
    assertEquals(await cli("PING"), "PONG\n");
    assertEquals(await cli("SET", "key", "some value"), "OK\n");
    assertEquals(await cli("GET", "key"), "some value\n");
    assertStringIncludes(await cli("NONSENSE"), "unknown command");
    const long = "v".repeat(300_000);
    assertEquals(
      await run(
        "redis-cli",
        ["-h", "127.0.0.1", "-p", String(port), "-x", "ECHO"],
        long,
      ),
      `${long}\n`,
    );
  });
});

testWith(
  command("redis-benchmark"),
  "redis-benchmark loads a RESP server",
  async () => {
    await serving(makeResp(), async (port) => {
      for (const pipeline of ["1", "16"]) {
        const output = await run("redis-benchmark", [
          ...["-h", "127.0.0.1", "-p", String(port), "-t", "ping,set,get,incr"],
          ...["-n", "4000", "-c", "50", "-P", pipeline, "--csv"],
        ]);
        for (const name of ["PING_MBULK", "SET", "GET", "INCR"]) {
          assertStringIncludes(output, `"${name}"`);
        }
      }
    });
  },
);

/** A free port of the loopback. */
function freePort(): number {
  using listener = listen(LOCAL);
  return listener.addr.port;
}

testWith(
  command("redis-server"),
  "a green client talks to redis-server",
  async () => {
    const port = freePort();
    const folder = await Deno.makeTempDir({ prefix: "greenhub-redis-" });
    const path = `${folder}/redis.sock`;
    const child = new Deno.Command(findCommand("redis-server")!, {
      args: [
        ...["--port", String(port), "--bind", "127.0.0.1", "--save", ""],
        ...["--unixsocket", path, "--dir", folder, "--appendonly", "no"],
      ],
      stdout: "null",
      stderr: "null",
    }).spawn();
    try {
      for (
        const open of [
          () => connect({ port, timeout: 1000 }),
          () => connect({ transport: "unix", path, timeout: 1000 }),
        ]
      ) {
        let conn: StreamConn | Error = new Error("never tried");
        for (let i = 0; i < 200 && conn instanceof Error; i++) {
          await sleep(20);
          conn = await settled<StreamConn>(open());
        }
        if (conn instanceof Error) throw conn;
        using client = conn;
        const reader = new Reader(client);
        await client.write(bytes("SET greeting hello\r\nGET greeting\r\n"));
        assertEquals(await reader.line(), "+OK");
        assertEquals(await reader.line(), "$5");
        assertEquals(await reader.block(7), "hello\r\n");
        const count = 1000;
        await client.write(bytes("DEL n\r\n" + "INCR n\r\n".repeat(count)));
        await reader.line();
        for (let i = 1; i <= count; i++) {
          assertEquals(await reader.line(), `:${i}`);
        }
      }
    } finally {
      Deno.kill(child.pid, "SIGTERM");
      await child.status;
      await Deno.remove(folder, { recursive: true });
    }
  },
);

testWith(
  command("socat"),
  "socat talks over a Unix stream socket",
  async () => {
    const path = temporaryPath();
    using listener = listen({ transport: "unix", path });
    const server = spawn(async () => {
      using conn = await listener.accept();
      await conn.readable.pipeTo(conn.writable);
    });
    const data = "line\n".repeat(20_000);
    assertEquals(
      await run("socat", ["-t5", "-", `UNIX-CONNECT:${path}`], data),
      data,
    );
    await server.wait();
  },
);

testWith(command("socat"), "socat talks over Unix datagrams", async () => {
  const path = temporaryPath();
  const other = temporaryPath();
  using socket = listenDatagram({ transport: "unixpacket", path });
  const server = spawn(async () => {
    const [data, from] = await socket.receive();
    await socket.send(bytes(text(data).toUpperCase()), from);
  });
  const output = await run("socat", [
    "-t1",
    "-",
    `UNIX-SENDTO:${path},bind=${other}`,
  ], "hello");
  assertEquals(output, "HELLO");
  await server.wait();
  await Deno.remove(path);
  await Deno.remove(other).catch(() => {});
});

testWith(command("nc"), "nc talks over UDP", async () => {
  using socket = listenDatagram({ transport: "udp", ...LOCAL });
  const { port } = socket.addr as Deno.NetAddr;
  const server = spawn(async () => {
    const [data, from] = await socket.receive();
    await socket.send(bytes(text(data).toUpperCase()), from);
  });
  const output = await run(
    "nc",
    ["-u", "-w1", "127.0.0.1", String(port)],
    "hello",
  );
  assertEquals(output, "HELLO");
  await server.wait();
});
