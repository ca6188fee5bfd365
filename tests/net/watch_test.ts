/**
 * `deno run --watch`: a program is started anew in the same process, must find
 * its port free, and nothing left of the run before.
 */

import { assert, assertEquals } from "@std/assert";
import { PLAIN, projectUrl } from "../helpers/spawn.ts";
import { linesOf } from "../integration/lines.ts";

/** Whoever hangs is killed after this time. */
const LIMIT_MS = 30_000;
const RUNS = 6;
/** The program is changed so often; Deno waits until nothing has for 200 ms. */
const CHANGE_MS = 1000;

const PROGRAM = `
  import { spawn } from "${projectUrl("mod.ts")}";
  import { connect, listen, serve } from "${projectUrl("green/net.ts")}";
  const before = [...Deno.readDirSync("/proc/self/fd")].length;
  const [port] = Deno.args;
  const listener = listen({ hostname: "127.0.0.1", port: Number(port) });
  spawn(() => serve(listener, (conn) => conn.readable.pipeTo(conn.writable)));
  const conn = await connect(listener.addr);
  await conn.write(new Uint8Array(3));
  await conn.read(new Uint8Array(3));
  console.log(before);
`;

function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

Deno.test("a watched program is started anew with its port free", async () => {
  const folder = await Deno.makeTempDir({ prefix: "greenhub-" });
  const file = `${folder}/main.ts`;
  await Deno.writeTextFile(file, PROGRAM);
  const flags = ["--watch", "--no-clear-screen", "--no-lock", "--no-check"];
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", ...flags, "-A", file, String(freePort())],
    env: PLAIN,
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const limit = setTimeout(() => child.kill("SIGKILL"), LIMIT_MS);
  const open: number[] = [];
  // A change that comes before Deno has begun to watch is none to it.
  let changes = 0;
  const change = setInterval(() => {
    Deno.writeTextFileSync(file, `${PROGRAM}// ${changes++}\n`);
  }, CHANGE_MS);
  for await (const line of linesOf(child.stdout)) {
    if (!/^\d+$/.test(line)) continue;
    open.push(Number(line));
    if (open.length === RUNS) child.kill("SIGKILL");
  }
  clearInterval(change);
  clearTimeout(limit);
  await child.status;
  await Deno.remove(folder, { recursive: true });
  assertEquals(open.length, RUNS);
  // Deno opens files of its own in the first run, and may close some later.
  assert(open.at(-1)! - open[1]! < RUNS - 2, `descriptors: ${open}`);
});
