/**
 * From "a byte arrives" to the code that waits for it running, on an idle hub.
 *
 * `deno run -A bench/parking/latency.ts [rounds]`: a second process writes the
 * time every millisecond, in turns of 25 to a socket that a `trampoline` waits
 * for and to one that a `Deno.Conn.read` waits for; medians in microseconds, for
 * each way to park, with and without the brief wait. Then `sleep(1)` from an
 * idle hub.
 */

import { monotonic } from "../../ffi/clock.ts";
import { libc } from "../../ffi/libc.ts";
import * as epolls from "../../hubs/epolls.ts";
import type { HubOptions } from "../../hubs/hub.ts";
import { listen, type Listener, type UnixConn } from "../../green/net.ts";
import { getHub, sleep, trampoline, useHub } from "../../mod.ts";
import { line, median, pause } from "./common.ts";

const ROUNDS = Number(Deno.args[0] ?? 5);
/** The two get so many messages in turn: both run code they have just run. */
const BLOCK = 25;
const BLOCKS = 60;
/** Of each, so many at first run code that has not been compiled yet. */
const WARM_UP = 300;

/** Connects to two Unix sockets and writes the time to them, in turns. */
const WRITER = `
import socket, struct, sys, time
ends = [socket.socket(socket.AF_UNIX) for path in sys.argv[1:3]]
for end, path in zip(ends, sys.argv[1:3]): end.connect(path)
for i in range(int(sys.argv[3])):
    for end in ends:
        for j in range(int(sys.argv[4])):
            time.sleep(0.001)
            now = time.clock_gettime(time.CLOCK_MONOTONIC) * 1000
            end.sendall(struct.pack("<d", now))
`;

const folder = await Deno.makeTempDir();
const results = new Map<string, number[]>();

function note(what: string, late: number[]): void {
  const all = results.get(what) ?? [];
  all.push(median(late) * 1000);
  results.set(what, all);
}

/** How old what was read is, ms. */
function age(bytes: Uint8Array<ArrayBuffer>): number {
  return monotonic() - new DataView(bytes.buffer).getFloat64(0, true);
}

async function readByDeno(listener: Deno.Listener): Promise<number[]> {
  using conn = await listener.accept();
  const bytes = new Uint8Array(8);
  const late: number[] = [];
  while (await conn.read(bytes) !== null) late.push(age(bytes));
  return late;
}

async function readByHub(listener: Listener<UnixConn>): Promise<number[]> {
  using conn = await listener.accept();
  const fd = conn.fileno();
  const bytes = new Uint8Array(8);
  const late: number[] = [];
  for (;;) {
    await trampoline(fd, { read: true });
    if (libc().read(fd, bytes, 8) <= 0) return late;
    late.push(age(bytes));
  }
}

async function round(name: string, options: HubOptions): Promise<void> {
  useHub(
    class extends epolls.Hub {
      constructor() {
        super(options);
      }
    },
  );
  const paths = [`${folder}/hub`, `${folder}/deno`] as const;
  {
    using green = listen({ transport: "unix", path: paths[0] });
    using deno = Deno.listen({ transport: "unix", path: paths[1] });
    const child = new Deno.Command("/usr/bin/python3", {
      args: ["-c", WRITER, ...paths, String(BLOCKS), String(BLOCK)],
    }).spawn();
    const [byHub, byDeno] = await Promise.all([
      readByHub(green),
      readByDeno(deno),
    ]);
    await child.status;
    note(`trampoline, ${name}`, byHub.slice(WARM_UP));
    note(`Deno.Conn.read beside it, ${name}`, byDeno.slice(WARM_UP));
  }
  for (const path of paths) await Deno.remove(path).catch(() => {});

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

for (let i = 0; i < ROUNDS; i++) {
  await round("aio", { parking: "aio", briefWait: 0 });
  await round("aio, brief wait", { parking: "aio" });
  await round("thread", { parking: "thread", briefWait: 0 });
}
await Deno.remove(folder, { recursive: true });
for (const [what, medians] of results) line(what, median(medians), "µs");
