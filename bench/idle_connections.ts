/**
 * What an idle connection holds: an echo server on green sockets, and one on
 * Deno's, 9,000 connections that have said one thing and say no more.
 *
 *     deno run -A bench/idle_connections.ts
 *
 * From 1,000 connections to 9,000, in KiB for each: live memory (V8's heap and
 * what hangs on it, after a collection; not what Deno's own sockets hold outside
 * of it), and what the process has grown by: as soon as they are there, with all
 * that V8 has made room for while they came, and after half a minute of idling,
 * in which it may have given that back unasked. The 256 bytes each server reads
 * into are in all of them: 0.45 KiB with what V8 needs for them.
 *
 * The connections are made by a process of their own. Needs 9,100 descriptors
 * in each (`ulimit -n`).
 */

import { listen, serve } from "../green/net.ts";
import { getHub, spawn } from "../mod.ts";

const FEW = 1000;
const MANY = 9000;

/** Connects to a port so often as it is told on stdin, and says when it has. */
const CLIENT = `
import socket, sys
ends = []
for line in sys.stdin:
    while len(ends) < int(line):
        end = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
        end.sendall(b"hello")
        end.recv(5)
        ends.append(end)
    print(len(ends), flush=True)
`;

/** Bytes. */
interface Memory {
  readonly live: number;
  /** Resident, as soon as the connections are there. */
  readonly coming: number;
  /** Resident, after {@linkcode IDLE_MS}. */
  readonly idle: number;
}

const IDLE_MS = 30_000;

const pause = (ms: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, ms));

function collect(): void {
  const { gc } = globalThis as { gc?: () => void };
  if (gc === undefined) throw new Error("Run it with --v8-flags=--expose-gc");
  for (let i = 0; i < 3; i++) gc();
}

async function measure(): Promise<Memory> {
  const coming = Deno.memoryUsage().rss;
  await pause(IDLE_MS);
  const idle = Deno.memoryUsage().rss;
  collect();
  // What goes in the background, and in finalizers.
  await pause(500);
  collect();
  const { heapUsed, external } = Deno.memoryUsage();
  return { live: heapUsed + external, coming, idle };
}

interface Echoed {
  read(p: Uint8Array): Promise<number | null>;
  write(p: Uint8Array): Promise<number>;
}

async function echo(conn: Echoed): Promise<void> {
  const p = new Uint8Array(256);
  for (let n; (n = await conn.read(p)) !== null;) {
    await conn.write(p.subarray(0, n));
  }
}

async function connected(port: number, report: (at: number) => Promise<void>) {
  const child = new Deno.Command("python3", {
    args: ["-c", CLIENT, String(port)],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const asked = child.stdin.getWriter();
  const said = child.stdout.getReader();
  for (const count of [FEW, MANY]) {
    await asked.write(new TextEncoder().encode(`${count}\n`));
    if ((await said.read()).done) throw new Error("No more connections");
    await report(count);
  }
  child.kill();
  await child.status;
}

async function grown(port: number): Promise<void> {
  const found = new Map<number, Memory>();
  await connected(port, async (count) => {
    found.set(count, await measure());
  });
  const [few, many] = [found.get(FEW)!, found.get(MANY)!];
  const each = (of: keyof Memory): string =>
    ((many[of] - few[of]) / (MANY - FEW) / 1024).toFixed(2);
  console.log(
    `live ${each("live")} KiB, resident ${each("coming")} KiB as they come, ` +
      `${each("idle")} KiB when idle`,
  );
}

if (Deno.args[0] === "greenhub") {
  const listener = listen({ hostname: "127.0.0.1", port: 0 });
  const options = { concurrency: 100_000, onError() {} };
  spawn(() => serve(listener, echo, options));
  await grown(listener.addr.port);
  listener.close();
  await getHub().close();
  Deno.exit();
} else if (Deno.args[0] === "deno") {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const serving = (async () => {
    for await (const conn of listener) echo(conn).catch(() => {});
  })();
  await grown(listener.addr.port);
  listener.close();
  await serving;
  Deno.exit();
} else {
  for (const name of ["greenhub", "deno"]) {
    const flags = ["-A", "--no-lock", "--v8-flags=--expose-gc"];
    const { stdout } = await new Deno.Command(Deno.execPath(), {
      args: ["run", ...flags, import.meta.filename!, name],
      stderr: "inherit",
    }).output();
    console.log(name.padEnd(10), new TextDecoder().decode(stdout).trim());
  }
}
