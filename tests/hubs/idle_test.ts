/** What idle descriptors cost: threads and CPU, by each way to park. */

import { assert, assertEquals } from "@std/assert";
import { projectUrl, runProgram } from "../helpers/spawn.ts";
import { hubName, type Way, WAYS } from "../helpers/ways.ts";

const PROGRAM = `
  import process from "node:process";
  import { getHub, sleep, spawn, trampoline, useHub } from "${
  projectUrl("mod.ts")
}";
  import { libc } from "${projectUrl("ffi/libc.ts")}";
  useHub("${hubName}");
  const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  const threads = () => [...Deno.readDirSync("/proc/self/task")].length;
  const cpu = () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1000;
  };
  // Within its first second Deno starts one more thread of its own.
  await pause(1000);
  const before = threads();
  for (let i = 0; i < 1000; i++) {
    const fd = libc().eventfd(0, 0);
    if (fd < 0) throw new Error("too few descriptors");
    spawn(() => trampoline(fd, { read: true }));
  }
  await pause(500);
  const started = cpu();
  await pause(3000);
  const used = cpu() - started;
  const { parks, parking } = getHub().statistics();
  console.log(JSON.stringify([parking, parks > 0, threads() - before, used]));
  Deno.exit();
`;

async function assertIdle(way: Way): Promise<void> {
  const { stdout, stderr } = await runProgram(PROGRAM, {
    flags: ["-A"],
    env: { GREENHUB_PARKING: way },
  });
  assertEquals(stderr, "");
  const [parking, parked, threads, cpu] = JSON.parse(stdout);
  assertEquals([parking, parked], [way, true]);
  assert(threads <= (way === "thread" ? 1 : 0), `${way}: ${threads} more`);
  // Some audits, by then every two seconds, and a call or two of a park.
  assert(cpu < 20, `${way}: ${cpu} ms of CPU in 3 s`);
}

Deno.test("1,000 idle descriptors cost next to no CPU, and one thread at most", async () => {
  await Promise.all(WAYS.map(assertIdle));
});
