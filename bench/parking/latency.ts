/**
 * From "a byte arrives" to the code that waits for it running, on an idle hub.
 *
 * `deno run -A bench/parking/latency.ts [rounds]`: a second process writes the
 * time to a socket pair's far end every few milliseconds; alternating rounds of
 * trampoline (each way to park, with and without the brief wait) and of
 * `Deno.Conn.read`, medians in microseconds. Then `sleep(1)` from an idle hub.
 */

import { monotonic } from "../../ffi/clock.ts";
import { libc } from "../../ffi/libc.ts";
import * as epolls from "../../hubs/epolls.ts";
import type { HubOptions } from "../../hubs/hub.ts";
import { getHub, notifyClose, sleep, trampoline, useHub } from "../../mod.ts";
import { line, median, pause } from "./common.ts";

const ROUNDS = Number(Deno.args[0] ?? 5);
const BYTES = 1000;

/** Connects to a Unix socket and writes the time to it, again and again. */
const WRITER = `
import ctypes, os, socket, struct, sys, time
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
for i in range(int(sys.argv[2])):
    time.sleep(0.001)
    s.sendall(struct.pack("<d", time.clock_gettime(time.CLOCK_MONOTONIC) * 1000))
s.close()
`;

const folder = await Deno.makeTempDir();
const results = new Map<string, number[]>();

function note(what: string, late: number[]): void {
  const all = results.get(what) ?? [];
  all.push(median(late) * 1000);
  results.set(what, all);
}

async function writer(path: string): Promise<Deno.ChildProcess> {
  await Promise.resolve();
  return new Deno.Command("/usr/bin/python3", {
    args: ["-c", WRITER, path, String(BYTES)],
  }).spawn();
}

async function denoRound(): Promise<void> {
  const path = `${folder}/deno`;
  const listener = Deno.listen({ transport: "unix", path });
  const child = await writer(path);
  const conn = await listener.accept();
  const buffer = new Uint8Array(8);
  const late: number[] = [];
  while (await conn.read(buffer) !== null) {
    late.push(monotonic() - new DataView(buffer.buffer).getFloat64(0, true));
  }
  conn.close();
  listener.close();
  await Deno.remove(path).catch(() => {});
  await child.status;
  note("Deno.Conn.read", late);
}

const { listen } = await import("../../green/net.ts");

async function hubRound(name: string, options: HubOptions): Promise<void> {
  class Hub extends epolls.Hub {
    constructor() {
      super(options);
    }
  }
  useHub(Hub);
  const path = `${folder}/hub`;
  const listener = listen({ transport: "unix", path });
  const child = await writer(path);
  const conn = await listener.accept();
  const fd = conn.fileno();
  const buffer = new Uint8Array(8);
  const late: number[] = [];
  for (;;) {
    await trampoline(fd, { read: true });
    const n = libc().read(fd, buffer, 8);
    if (n <= 0) break;
    late.push(monotonic() - new DataView(buffer.buffer).getFloat64(0, true));
  }
  notifyClose(fd);
  conn.close();
  listener.close();
  await Deno.remove(path).catch(() => {});
  await child.status;
  note(name, late);

  const slept: number[] = [];
  for (let i = 0; i < 100; i++) {
    await pause(1);
    const start = performance.now();
    await sleep(1);
    slept.push(performance.now() - start);
  }
  note(`sleep(1) from idle, ${name}`, slept);
  await getHub().close();
}

for (let round = 0; round < ROUNDS; round++) {
  await denoRound();
  await hubRound("trampoline, aio", { parking: "aio", briefWait: 0 });
  await hubRound("trampoline, aio, brief wait", { parking: "aio" });
  await hubRound("trampoline, thread", { parking: "thread", briefWait: 0 });
}
await Deno.remove(folder, { recursive: true });
for (const [what, medians] of results) line(what, median(medians), "µs");
