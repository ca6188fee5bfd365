/**
 * What idle descriptors cost: threads and CPU.
 *
 * `deno run -A bench/parking/idle.ts`: 10,000 descriptors on the hub for 10 s,
 * each way to park; then 1,000 descriptors for 2 s beside koffi's `node.poll`
 * (npm). Each case is a process of its own.
 */

import * as epolls from "../../hubs/epolls.ts";
import { EFD_NONBLOCK } from "../../ffi/constants.ts";
import { libc } from "../../ffi/libc.ts";
import { sleep, spawn, trampoline, useHub } from "../../mod.ts";
import { cpuMs, pause, threads } from "./common.ts";

const KOFFI = `
import koffi from "npm:koffi@2";
import process from "node:process";
const libc = koffi.load("libc.so.6");
const eventfd = libc.func("int eventfd(unsigned int, int)");
const threads = () => [...Deno.readDirSync("/proc/self/task")].length;
const cpu = () => { const u = process.cpuUsage(); return (u.user + u.system) / 1000; };
await new Promise((resolve) => setTimeout(resolve, 1000));
const before = threads(), start = cpu();
for (let i = 0; i < 1000; i++) koffi.node.poll(eventfd(0, 0o4000), { readable: true }, () => {});
await new Promise((resolve) => setTimeout(resolve, 2000));
console.log("koffi node.poll: 1,000 descriptors, 2 s".padEnd(46), String(threads() - before).padStart(6), "threads more", (cpu() - start).toFixed(1).padStart(8), "ms CPU");
Deno.exit();
`;

const [mode, parking, count, seconds] = Deno.args;

if (mode === undefined) {
  for (const way of ["aio", "thread"]) {
    await child(["one", way, "10000", "10"]);
    await child(["one", way, "1000", "2"]);
  }
  await new Deno.Command(Deno.execPath(), { args: ["eval", KOFFI] }).spawn()
    .status;
} else await one(parking as "aio", Number(count), Number(seconds));

async function child(args: string[]): Promise<void> {
  const file = new URL(import.meta.url).pathname;
  await new Deno.Command("sh", {
    args: [
      "-c",
      'ulimit -n 65536 2>/dev/null; exec "$0" "$@"',
      Deno.execPath(),
      ...["run", "-A", file, ...args],
    ],
  }).spawn().status;
}

async function one(way: "aio", n: number, s: number): Promise<void> {
  class Hub extends epolls.Hub {
    constructor() {
      super({ parking: way });
    }
  }
  // Within its first second Deno starts one more thread of its own.
  await pause(1000);
  const before = threads();
  useHub(Hub);
  await sleep(1);
  for (let i = 0; i < n; i++) {
    const fd = libc().eventfd(0, EFD_NONBLOCK);
    spawn(() => trampoline(fd, { read: true }));
  }
  await sleep(100);
  await pause(100);
  const start = cpuMs();
  await pause(s * 1000);
  const used = cpuMs() - start;
  const what = `greenhub epolls, ${way}: ${n} descriptors, ${s} s`;
  console.log(
    what.padEnd(46),
    String(threads() - before).padStart(6),
    "threads more",
    used.toFixed(1).padStart(8),
    "ms CPU",
  );
  Deno.exit();
}
