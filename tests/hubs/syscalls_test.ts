/**
 * What the hubs ask of the kernel, seen by strace: each its own call, and none
 * of them troubled when one is interrupted by a signal. Needs strace, and
 * leave to trace.
 */

import { assert, assertEquals } from "@std/assert";
import { testWith } from "../helpers/need.ts";
import { projectUrl } from "../helpers/spawn.ts";
import {
  canTrace,
  countInjected,
  type Trace,
  traceModule,
} from "../helpers/strace.ts";

/** Two greenthreads that play ball 100 times, some of it after a pause. */
const PROGRAM = `
  import { getHub, sleep, spawn, trampoline, useHub } from "${
  projectUrl("mod.ts")
}";
  import { libc } from "${projectUrl("ffi/libc.ts")}";
  useHub(Deno.args[0]);
  const pipe = () => {
    const pair = new Int32Array(2);
    libc().pipe(pair);
    return [...pair];
  };
  const [there, back] = [pipe(), pipe()];
  const play = async (from, to, first) => {
    for (let i = 0; i < 100; i++) {
      if (i > 0 || !first) {
        await trampoline(from, { read: true, timeout: 20_000 });
        if (libc().read(from, new Uint8Array(1), 1) !== 1) throw new Error("no");
      }
      if (i % 20 === 0) await sleep(1);
      libc().write(to, new Uint8Array(1), 1);
    }
  };
  const gts = [
    spawn(play, there[0], back[1], true),
    spawn(play, back[0], there[1], false),
  ];
  for (const gt of gts) await gt.wait();
  const hub = getHub();
  console.log(hub.name, hub.getReaders().length, hub.getTimersCount());
  await hub.close();
`;

/** The system calls of a hub: sweeps on the thread of JavaScript. */
const CALLS = {
  epolls: /epoll_wait\(\d+, .*, 0\) += \d/,
  poll: /[^p]poll\(.*, 0\) += \d/,
  selects: /pselect6\(\d+, .*tv_sec=0, tv_nsec=0\}.*\) += \d/,
} as const;

function trace(hub: string, ...options: string[]): Promise<Trace> {
  return traceModule(PROGRAM, options, ["--allow-ffi"], [hub]);
}

const ALL = "trace=epoll_wait,epoll_pwait,epoll_pwait2,poll,ppoll,pselect6";

for (const hub of ["epolls", "poll", "selects"] as const) {
  testWith(
    ["strace", canTrace],
    `${hub} calls its own system call`,
    async () => {
      const { stdout, stderr, lines } = await trace(hub, "-e", ALL);
      assertEquals([stdout, stderr], [`${hub} 0 0\n`, ""]);
      const count = (pattern: RegExp): number =>
        lines.filter((line) => pattern.test(line)).length;
      const calls = count(CALLS[hub]);
      assert(calls >= 100, `${calls} of its own`);
      // poll(2) is not only a hub's: Deno's own loop is looked at with it.
      for (const other of ["epolls", "selects"] as const) {
        const foreign = count(CALLS[other]);
        if (other !== hub) assert(foreign < 50, `${foreign} of ${other}`);
      }
    },
  );

  testWith(["strace", canTrace], `${hub} survives EINTR`, async () => {
    const call =
      { epolls: "epoll_wait", poll: "poll", selects: "pselect6" }[hub];
    const result = await trace(
      hub,
      ...["-e", `trace=${call}`],
      ...["-e", `inject=${call}:error=EINTR:when=3+5`],
    );
    const { stdout, stderr } = result;
    assertEquals([stdout, stderr], [`${hub} 0 0\n`, ""]);
    const injected = countInjected(result);
    assert(injected >= 10, `${injected} injected`);
  });

  testWith(
    ["strace", canTrace],
    `${hub} survives EINTR while parked`,
    async () => {
      const call = {
        epolls: "epoll_pwait2",
        poll: "ppoll",
        selects: "pselect6",
      };
      Deno.env.set("GREENHUB_PARKING", "thread");
      const { stdout, stderr } = await trace(
        hub,
        ...["-e", `trace=${call[hub]}`],
        // Not each second: a park and its sweep may go by twos.
        ...["-e", `inject=${call[hub]}:error=EINTR:when=2+3`],
      ).finally(() => Deno.env.delete("GREENHUB_PARKING"));
      assertEquals([stdout, stderr], [`${hub} 0 0\n`, ""]);
    },
  );
}
