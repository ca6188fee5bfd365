/**
 * A signal may interrupt any system call. EINTR, injected by strace into every
 * call the hubs make, changes nothing: neither what a program does, nor the way
 * its hub parks. Needs strace, and leave to trace.
 */

import { assert, assertEquals } from "@std/assert";
import { getHub } from "../../mod.ts";
import { LIBC_ONLY } from "../helpers/grants.ts";
import { testWith } from "../helpers/need.ts";
import { projectUrl } from "../helpers/spawn.ts";
import {
  canTrace,
  faults,
  type Trace,
  traceModule,
} from "../helpers/strace.ts";

/** Numbers that nobody has: their close(2) shows in the trace how far it is. */
const STARTED = 987_654;
const PARKED = 987_655;

const PROGRAM = `
  import { getHub, sleep, spawn, trampoline, useHub } from "${
  projectUrl("mod.ts")
}";
  import { connect, listen } from "${projectUrl("green/net.ts")}";
  import { libc } from "${projectUrl("ffi/libc.ts")}";
  libc().close(${STARTED});
  useHub(Deno.args[0]);
  const pair = new Int32Array(2);
  libc().pipe(pair);
  const one = new Uint8Array(1);
  await sleep(1);
  libc().close(${PARKED});
  // Woken by Deno's loop while it is parked, and from within.
  for (let i = 0; i < 4; i++) {
    const reader = spawn(() => trampoline(pair[0], { read: true }));
    if (i % 2 === 0) await new Promise((resolve) => setTimeout(resolve, 10));
    libc().write(pair[1], one, 1);
    await reader.wait();
    libc().read(pair[0], one, 1);
    await sleep(2);
  }
  // Busy for so long that it looks whether Deno has I/O.
  for (let i = 0; i < 2000; i++) await sleep();
  const listener = listen({ hostname: "127.0.0.1", port: 0 });
  const server = spawn(async () => {
    const conn = await listener.accept();
    conn.setNoDelay();
    const bytes = new Uint8Array(8);
    for (let n; (n = await conn.read(bytes)) !== null;) {
      await conn.write(bytes.subarray(0, n));
    }
    conn.close();
  });
  const { hostname, port } = listener.addr;
  const conn = await connect({ hostname, port });
  let got = 0;
  for (let i = 0; i < 10; i++) {
    await conn.write(one);
    got += await conn.read(one);
    if (i % 5 === 0) await sleep(2);
  }
  conn.close();
  await server.wait();
  listener.close();
  const hub = getHub();
  console.log(got, hub.name, hub.statistics().parking);
  await hub.close();
`;

/** A call to interrupt, and how a line looks that shows it hit the hub's own. */
interface Case {
  readonly hub: string;
  readonly way: "aio" | "uring" | "thread";
  readonly call: string;
  /** Which of its calls: by strace's rules, or the first hit since then. */
  readonly when: string | typeof STARTED | typeof PARKED;
  readonly hits: RegExp;
}

const ANY = /./;
// Deno's own have one digit. Not all of it would survive.
const EPOLL = /\(\d\d+<anon_inode:\[eventpoll\]>/;
const TIMER = /\(\d\d+<anon_inode:\[timerfd\]>/;
const EVENT = /\(\d\d+<anon_inode:\[eventfd\]>/;
const TCP = /\(\d\d+<(socket|TCP)/;

function cases(
  hub: string,
  way: Case["way"],
  calls: Readonly<Record<string, readonly [Case["when"], RegExp]>>,
): Case[] {
  return Object.entries(calls).map(([call, [when, hits]]) => ({
    hub,
    way,
    call,
    when,
    hits,
  }));
}

const CASES: readonly Case[] = [
  ...cases("epolls", "aio", {
    epoll_create1: [STARTED, ANY],
    epoll_ctl: [PARKED, EPOLL],
    epoll_wait: ["2+2", EPOLL],
    io_setup: ["1", ANY],
    io_submit: ["1+2", ANY],
    io_getevents: ["1+2", ANY],
    io_cancel: ["1", ANY],
    timerfd_create: ["1+2", ANY],
    timerfd_settime: ["1+2", TIMER],
    eventfd2: [STARTED, ANY],
    socketpair: [STARTED, ANY],
    read: [PARKED, TIMER],
    recvfrom: ["1+2", TCP],
    sendto: ["1+2", TCP],
    openat: [STARTED, /fdinfo/],
    poll: ["1+2", /eventpoll/],
    ppoll: ["1+2", ANY],
    socket: [PARKED, ANY],
    bind: ["1", TCP],
    listen: ["1", TCP],
    connect: ["1", TCP],
    accept4: ["1+2", TCP],
    getsockname: ["1+2", TCP],
    getsockopt: ["1+2", TCP],
    setsockopt: ["1+2", TCP],
  }),
  ...cases("epolls", "uring", {
    io_uring_setup: ["1", ANY],
    io_uring_register: ["1", ANY],
    io_uring_enter: ["1+2", ANY],
    read: [PARKED, EVENT],
  }),
  ...cases("epolls", "thread", {
    epoll_pwait2: ["1+2", EPOLL],
  }),
  ...cases("poll", "thread", {
    poll: [PARKED, ANY],
    ppoll: ["1+2", ANY],
    fcntl: [PARKED, /F_GETFL/],
  }),
  ...cases("selects", "thread", {
    pselect6: ["1+2", ANY],
    fcntl: [PARKED, /F_GETFL/],
  }),
  ...cases("libevent", "thread", {
    epoll_wait: ["2+2", EPOLL],
    ppoll: ["1+2", ANY],
    fcntl: [PARKED, /F_GETFL/],
  }),
  ...cases("libevent", "aio", {
    epoll_ctl: [PARKED, EPOLL],
    io_submit: ["1+2", ANY],
    timerfd_settime: ["1+2", TIMER],
  }),
];

function run(
  { hub, way, call }: Case,
  options: readonly string[],
): Promise<Trace> {
  return traceModule(
    PROGRAM,
    ["-y", ...options],
    [
      // Who may read memory needs no call for what is there.
      call === "io_getevents" ? LIBC_ONLY : "--allow-ffi",
      "--allow-net",
      "--allow-env=GREENHUB_PARKING",
    ],
    [hub],
    { GREENHUB_PARKING: way },
  );
}

/** Which of the calls of the program's own thread is the first hit since. */
async function indexSince(mark: number, test: Case): Promise<number> {
  const { lines } = await run(test, ["-e", `trace=close,${test.call}`]);
  return indexIn(lines, mark, test.call, test.hits);
}

function indexIn(
  lines: readonly string[],
  mark: number,
  name: string,
  hits: RegExp,
): number {
  const from = lines.findIndex((line) => line.includes(`close(${mark})`));
  assert(from >= 0, "the program has not come to the mark");
  const own = `${lines[from]!.split(" ")[0]} `;
  const call = new RegExp(`^\\d+ +${name}\\(`);
  const calls = lines.map((line, at) => [line, at] as const)
    .filter(([line]) => line.startsWith(own) && call.test(line));
  const index = calls.findIndex(([line, at]) => at > from && hits.test(line));
  assert(index >= 0, `no such call since the mark, of ${calls.length}`);
  return index + 1;
}

async function assertUnmoved(test: Case): Promise<void> {
  const { hub, way, call, when, hits } = test;
  let missed = "";
  // Deno may have made a call more, or less, before ours.
  for (let attempt = 0; attempt < 4; attempt++) {
    const first = typeof when === "number" ? await indexSince(when, test) : 0;
    // Many are read by turns, and files before: several, by another step.
    const several = `${first}..${first + 40}+${attempt + 2}`;
    const some = call === "read" ? several : `${first}`;
    const times = first > 0 ? some : when;
    const result = await run(test, faults(`${call}:error=EINTR:when=${times}`));
    const injected = result.lines.filter((line) => line.includes("INJECTED"));
    missed = injected.join("\n");
    if (!injected.some((line) => hits.test(line))) continue;
    assertEquals(result.timedOut, false);
    assertEquals(
      [result.stdout, result.stderr, result.code],
      [`10 ${hub} ${way}\n`, "", 0],
    );
    return;
  }
  throw new Error(`Missed the hub's own: ${missed}`);
}

// A run of the tests is for one hub.
const mine = getHub().name;

for (const test of CASES.filter(({ hub }) => hub === mine)) {
  const { hub, way, call } = test;
  testWith(
    ["strace", canTrace],
    `${hub}, parked by ${way}, is not moved by EINTR of ${call}`,
    () => assertUnmoved(test),
  );
}

/** Sweeps, and no other waits on this thread. */
const SWEEPING = `
  import { sleep, trampoline, useHub } from "${projectUrl("mod.ts")}";
  import { Hub } from "${projectUrl(`hubs/${mine}.ts`)}";
  import { libc } from "${projectUrl("ffi/libc.ts")}";
  useHub(class extends Hub {
    constructor() {
      super({ briefWait: 0 });
    }
  });
  const pair = new Int32Array(2);
  libc().pipe(pair);
  const one = new Uint8Array(1);
  for (let i = 0; i < 50; i++) {
    setTimeout(() => libc().write(pair[1], one, 1), i % 3);
    await trampoline(pair[0], { read: true });
    libc().read(pair[0], one, 1);
  }
`;

/** The call of a sweep, and how far a line says what is asked. */
const SWEEPS: Readonly<Record<string, readonly [string, RegExp]>> = {
  epolls: ["epoll_wait", /^\d+ +epoll_wait\(\d\d+<[^>]*>/],
  libevent: ["epoll_wait", /^\d+ +epoll_wait\(\d\d+<[^>]*>/],
  poll: ["poll", /^\d+ +poll\(\[\{fd=\d+<pipe.*?, 0\) =/],
  selects: ["pselect6", /^\d+ +pselect6\(.*?tv_nsec=0\}/],
};

testWith(
  ["strace", canTrace],
  "a sweep that is interrupted is made again at once",
  // One that passes for having found nothing ends in one more park, and so on
  // for ever, if the interrupted calls happen to be the sweeps.
  async () => {
    const [call, sweep] = SWEEPS[mine]!;
    const result = await traceModule(SWEEPING, [
      ...["-y", "--seccomp-bpf", "-e", `inject=${call}:error=EINTR:when=1+2`],
      // Deno's loop, too: when it waits, the hub is parked.
      ...["-e", `trace=${call},epoll_wait`],
    ], ["--allow-ffi"]);
    assertEquals([result.code, result.stderr], [0, ""]);
    const asked = (line?: string): string | undefined =>
      sweep.exec(line ?? "")?.[0];
    const thread = result.lines.find(asked)!.split(" ")[0];
    const own = result.lines.filter((line) => line.startsWith(`${thread} `));
    let interrupted = 0;
    own.forEach((line, at) => {
      if (!line.includes("INJECTED") || asked(line) === undefined) return;
      assertEquals(asked(own[at + 1]), asked(line));
      interrupted++;
    });
    assert(interrupted > 5, "no sweep was interrupted");
  },
);

/** A byte a time for Deno's loop, which reads it for us. */
const SIGNAL = `
  import { LoopSignal } from "${projectUrl("hubs/deno_loop.ts")}";
  const signal = new LoopSignal();
  for (let i = 0; i < 4; i++) console.log(await signal.wait());
  signal.close();
`;

for (const call of ["recvfrom", "sendto"]) {
  testWith(
    ["strace", canTrace],
    `LoopSignal is not moved by EINTR of ${call}`,
    async () => {
      const { stdout, lines } = await traceModule(
        SIGNAL,
        faults(`${call}:error=EINTR:when=1+2`),
        ["--allow-ffi"],
      );
      assertEquals(stdout, "true\n".repeat(4));
      assert(lines.filter((line) => line.includes("INJECTED")).length >= 4);
    },
  );
}

/** No turn of Deno's loop between the mark and the end. */
const WAKES = `
  import { Wakeup } from "${projectUrl("ffi/wakeup.ts")}";
  import { libc } from "${projectUrl("ffi/libc.ts")}";
  const wakeup = new Wakeup();
  const pollfd = new Int32Array([wakeup.fd, 1]);
  const quiet = () => libc().poll(new Uint8Array(pollfd.buffer), 1, 0) === 0;
  let wrong = 0;
  libc().close(${STARTED});
  for (let i = 0; i < 30; i++) {
    wakeup.wake();
    if (quiet()) wrong++;
    wakeup.clear();
    if (!quiet()) wrong++;
  }
  wakeup.close();
  console.log(wrong);
`;

for (const call of ["read", "write"]) {
  testWith(
    ["strace", canTrace],
    `Wakeup is not moved by EINTR of ${call}`,
    async () => {
      const trace = (...options: string[]): Promise<Trace> =>
        traceModule(WAKES, ["-y", ...options], ["--allow-ffi"]);
      const { lines } = await trace("-e", `trace=close,${call}`);
      const first = indexIn(lines, STARTED, call, EVENT);
      // Deno may have made some more, or less, before.
      const times = `${first + 5}..${first + 40}+2`;
      const result = await trace(
        ...faults(`${call}:error=EINTR:when=${times}`),
      );
      assertEquals([result.stdout, result.stderr], ["0\n", ""]);
      const injected = result.lines.filter((line) => line.includes("INJECTED"));
      assert(injected.filter((line) => EVENT.test(line)).length > 5);
    },
  );
}
