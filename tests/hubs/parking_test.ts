/**
 * Parking: every way by force, and what happens when one does not work.
 */

import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertThrows,
} from "@std/assert";
import { libc } from "../../ffi/libc.ts";
import { whyNoLibevent } from "../../ffi/libevent.ts";
import { O_NONBLOCK } from "../../ffi/constants.ts";
import * as epolls from "../../hubs/epolls.ts";
import * as poll from "../../hubs/poll.ts";
import * as selects from "../../hubs/selects.ts";
import {
  BaseHub,
  getHub,
  HubError,
  notifyClose,
  sleep,
  spawn,
  trampoline,
  useHub,
} from "../../mod.ts";
import { countFds } from "../helpers/fds.ts";
import { LIBC_ONLY } from "../helpers/grants.ts";
import { testWith } from "../helpers/need.ts";
import { projectUrl, runProgram } from "../helpers/spawn.ts";
import {
  canTrace,
  countInjected,
  faults,
  type Trace,
  traceModule,
} from "../helpers/strace.ts";

getHub();

function pipe(): [reader: number, writer: number] {
  const fds = new Int32Array(2);
  libc().pipe(fds);
  for (const fd of fds) libc().fcntl(fd, 4, O_NONBLOCK);
  return [fds[0]!, fds[1]!];
}

function close(...fds: number[]): void {
  for (const fd of fds) {
    notifyClose(fd);
    libc().close(fd);
  }
}

const ONE = new Uint8Array([1]);

/** Park for a byte that comes from Deno's loop, and for a timer. */
async function parkTwice(): Promise<void> {
  const [reader, writer] = pipe();
  const waiting = spawn(() => trampoline(reader, { read: true }));
  // Comes long after the hub has gone to sleep.
  setTimeout(() => libc().write(writer, ONE, 1), 20);
  assertEquals(await waiting.wait(), reader);
  const started = performance.now();
  await sleep(15);
  assert(performance.now() - started >= 15);
  close(reader, writer);
}

/** A program that waits for a pipe and a timer, and says how it parked. */
const PROGRAM = `
import { getHub, sleep, spawn, trampoline, useHub } from "${
  projectUrl("mod.ts")
}";
import { libc } from "${projectUrl("ffi/libc.ts")}";
if (Deno.args[0]) useHub(Deno.args[0] as "poll");
const fds = new Int32Array(2);
libc().pipe(fds);
const bytes = new Uint8Array(1);
let got = 0;
const reader = spawn(async () => {
  for (; got < 3; got++) {
    await trampoline(fds[0]!, { read: true });
    libc().read(fds[0]!, bytes, 1);
  }
});
await sleep(1);
for (let i = 0; i < 3; i++) {
  // Not by the hub: it is parked when the byte comes.
  await new Promise((resolve) => setTimeout(resolve, 30));
  libc().write(fds[1]!, bytes, 1);
  while (got === i) await new Promise((resolve) => setTimeout(resolve, 1));
}
await reader.wait();
console.log(got, getHub().name, getHub().statistics().parking);
`;

function assertRan(
  result: Pick<Trace, "code" | "stdout" | "stderr" | "timedOut">,
  stdout: string,
): void {
  assertEquals(result.timedOut, false, result.stderr);
  assertEquals(result.stdout, stdout, result.stderr);
  assertEquals(result.code, 0, result.stderr);
}

for (const parking of ["aio", "uring", "thread"] as const) {
  Deno.test(`BaseHub parks by ${parking} when it is asked for`, async () => {
    class Hub extends epolls.Hub {
      constructor() {
        super({ parking });
      }
    }
    useHub(Hub);
    assertEquals(getHub().statistics().parking, parking);
    await parkTwice();
    assert(getHub().statistics().parks >= 2);
    assertEquals(getHub().statistics().parking, parking);
    await getHub().close();
    useHub();
  });
}

Deno.test("BaseHub prefers aio for epolls and falls back to a thread for others", async () => {
  const ways = [];
  for (const module of [epolls, poll, selects]) {
    const hub = new module.Hub({ parking: "auto" });
    ways.push(hub.statistics().parking);
    await hub.close();
  }
  assertEquals(ways, ["aio", "thread", "thread"]);
});

Deno.test("BaseHub says that a way it was asked for cannot work", () => {
  const before = countFds();
  assertThrows(() => new poll.Hub({ parking: "aio" }), HubError, "aio");
  assertThrows(() => new selects.Hub({ parking: "uring" }), HubError, "uring");
  assertThrows(
    () => new epolls.Hub({ parking: "magic" as "aio" }),
    RangeError,
    "magic",
  );
  assertEquals(countFds(), before);
});

Deno.test("BaseHub says that a poller without park and fd has no thread", async () => {
  const poller = { watch() {}, sweep: () => 0, close() {} };
  const make = (parking: "thread" | "auto") => new BaseHub(poller, { parking });
  const error = assertThrows(() => make("thread"), HubError, "thread");
  assertMatch(String(error.cause), /neither park\(\) nor a descriptor/);
  const hub = make("auto");
  assertEquals(hub.statistics().parking, "none");
  await hub.close();
});

Deno.test("GREENHUB_PARKING forces a way where it was granted", async () => {
  const cases = [
    ["epolls", "thread", "thread"],
    ["epolls", "uring", "uring"],
    ["poll", "aio", "thread"],
  ] as const;
  for (const [hub, wanted, way] of cases) {
    const result = await runProgram(PROGRAM, {
      flags: ["--allow-ffi", "--allow-env=GREENHUB_PARKING"],
      args: [hub],
      env: { GREENHUB_PARKING: wanted },
    });
    assertRan(result, `3 ${hub} ${way}\n`);
  }
});

Deno.test("GREENHUB_PARKING that is unknown is named in the error", async () => {
  const text = `import { getHub } from "${projectUrl("mod.ts")}";
    try { getHub(); } catch (error) { console.log(error.name, error.message); }`;
  const { stdout } = await runProgram(text, {
    flags: ["--allow-ffi", "--allow-env=GREENHUB_PARKING"],
    env: { GREENHUB_PARKING: "rubbish" },
  });
  assertMatch(stdout, /^RangeError Cannot .*"rubbish" of GREENHUB_PARKING: /);
});

Deno.test("epolls parks without a thread under a scoped grant too", async () => {
  for (const way of ["aio", "uring"]) {
    const result = await runProgram(PROGRAM, {
      flags: [LIBC_ONLY, "--allow-env=GREENHUB_PARKING"],
      args: ["epolls"],
      env: { GREENHUB_PARKING: way },
    });
    assertRan(result, `3 epolls ${way}\n`);
  }
});

testWith(
  ["strace", canTrace],
  "epolls takes the next way where a sandbox forbids AIO, and io_uring",
  async () => {
    const next = await traced(["io_setup:error=EPERM"]);
    assertRan(next, "3 epolls uring\n");
    const last = await traced([
      "io_setup:error=EPERM",
      "io_uring_setup:error=ENOSYS",
    ]);
    assertRan(last, "3 epolls thread\n");
  },
);

/** A program that is woken 500 times by Deno's loop while it is parked. */
const WAKES = `
import { getHub, trampoline } from "${projectUrl("mod.ts")}";
import { libc } from "${projectUrl("ffi/libc.ts")}";
const fds = new Int32Array(2);
libc().pipe(fds);
const byte = new Uint8Array(1);
for (let i = 0; i < 500; i++) {
  setImmediate(() => setImmediate(() => libc().write(fds[1]!, byte, 1)));
  await trampoline(fds[0]!, { read: true });
  libc().read(fds[0]!, byte, 1);
}
console.log(getHub().statistics().parks >= 500);
`;

testWith(
  ["strace", canTrace],
  "a park by AIO is one system call, and completions are reaped by dozens",
  async () => {
    const { stdout, lines } = await traceModule(
      WAKES,
      ["-e", "trace=io_submit,io_getevents"],
      ["--allow-ffi"],
    );
    const count = (call: string): number =>
      lines.filter((line) => line.includes(`${call}(`)).length;
    assertEquals(stdout, "true\n");
    assert(count("io_submit") >= 500, `${count("io_submit")} requests`);
    assert(count("io_getevents") <= 25, `${count("io_getevents")} reapings`);
  },
);

testWith(
  ["strace", canTrace],
  "epolls finds out and demotes a way that misses a wake-up",
  async () => {
    // The kernel seems to accept each request, and never answers.
    const next = await traced(["io_submit:retval=1"]);
    assertRan(next, "3 epolls uring\n");
    const last = await traced(["io_uring_enter:retval=1"], ["epolls"], {
      GREENHUB_PARKING: "uring",
    });
    assertRan(last, "3 epolls thread\n");
  },
);

testWith(
  ["strace", canTrace && whyNoLibevent() === ""],
  "libevent finds out and demotes a way that misses a wake-up",
  async () => {
    const result = await traced(["io_submit:retval=1"], ["libevent"], {
      GREENHUB_PARKING: "aio",
    });
    assertRan(result, "3 libevent uring\n");
  },
);

for (
  const [fault, way] of [
    // The next way has a timer of its own, to be found out in turn.
    ["retval=0", "uring"],
    ["error=EPERM", "thread"],
    ["error=ENOSYS", "thread"],
  ] as const
) {
  testWith(
    ["strace", canTrace],
    `epolls finds out a timer that does not ring (${fault})`,
    async () => {
      const result = await traced([`timerfd_settime:${fault}`], [], {}, SLEEP);
      assertRan(result, `${way}\n`);
    },
  );
}

/** Nothing but the timer can wake it. */
const SLEEP = `
import { getHub, sleep } from "${projectUrl("mod.ts")}";
await sleep(50);
console.log(getHub().statistics().parking);
`;

const CLOSED_TIMER = `
import { getHub, sleep } from "${projectUrl("mod.ts")}";
import { libc } from "${projectUrl("ffi/libc.ts")}";
await sleep(1);
for (const { name } of [...Deno.readDirSync("/proc/self/fd")]) {
  try {
    const target = Deno.readLinkSync("/proc/self/fd/" + name);
    if (target.includes("timerfd")) libc().close(Number(name));
  } catch {
    // The folder's own, closed by now.
  }
}
// On a busy machine it may be over before there was a park.
const { parks } = getHub().statistics();
do await sleep(5); while (getHub().statistics().parks === parks);
console.log(getHub().statistics().parking);
`;

Deno.test("epolls finds out that its timer has been closed", async () => {
  const result = await runProgram(CLOSED_TIMER, {
    flags: ["-A"],
    env: { GREENHUB_PARKING: undefined, EVENTLET_HUB: "epolls" },
  });
  assertRan(result, "uring\n");
});

testWith(
  ["strace", canTrace],
  "epolls takes the next way where there is no timerfd, or no eventfd",
  async () => {
    const timer = await traced(["timerfd_create:error=EMFILE"]);
    assertRan(timer, "3 epolls thread\n");
    // The first is Deno's own.
    const event = await traced(["eventfd2:error=EMFILE:when=2"]);
    assertRan(event, "3 epolls uring\n");
  },
);

for (
  const [hub, call] of [
    ["epolls", "epoll_pwait2"],
    ["epolls", "epoll_wait"],
    ["poll", "poll"],
    ["poll", "ppoll"],
    ["selects", "pselect6"],
  ] as const
) {
  testWith(
    ["strace", canTrace],
    `${hub} is not disturbed by EINTR of ${call}`,
    async () => {
      const result = await traced([`${call}:error=EINTR:when=1+2`], [hub], {
        GREENHUB_PARKING: "thread",
      });
      assertRan(result, `3 ${hub} thread\n`);
    },
  );
}

/** Run the program under strace with faults in some system calls. */
async function traced(
  injected: readonly string[],
  args: readonly string[] = ["epolls"],
  env: Readonly<Record<string, string>> = {},
  program = PROGRAM,
): Promise<Trace> {
  const permissions = ["--allow-ffi", "--allow-env=GREENHUB_PARKING"];
  const trace = await traceModule(
    program,
    faults(...injected),
    permissions,
    args,
    env,
  );
  assert(countInjected(trace) > 0, "nothing injected");
  return trace;
}

Deno.test("statistics() counts brief waits, none with briefWait: 0", async () => {
  const counts = [];
  for (const briefWait of [0, 0.05]) {
    class Hub extends epolls.Hub {
      constructor() {
        super({ briefWait });
      }
    }
    useHub(Hub);
    await parkTwice();
    counts.push(getHub().statistics().briefWaits > 0);
    await getHub().close();
  }
  useHub();
  assertEquals(counts, [false, true]);
});

Deno.test("a parked hub takes no thread where AIO works", async () => {
  const threads = (): number => [...Deno.readDirSync("/proc/self/task")].length;
  useHub(epolls);
  const pipes = Array.from({ length: 50 }, pipe);
  const before = threads();
  const waiting = pipes.map(([reader]) =>
    spawn(() => trampoline(reader, { read: true }))
  );
  await sleep(5);
  assertEquals(threads(), before);
  for (const [, writer] of pipes) libc().write(writer, ONE, 1);
  for (const gt of waiting) await gt.wait();
  for (const fds of pipes) close(...fds);
  await getHub().close();
  useHub();
});

Deno.test("close() and useHub() during a park give everything back", async () => {
  await parkTwice();
  await getHub().close();
  const before = countFds();
  for (const module of [epolls, poll, selects]) {
    for (const parking of ["auto", "thread"] as const) {
      class Hub extends module.Hub {
        constructor() {
          super({ parking });
        }
      }
      useHub(Hub);
      const [reader, writer] = pipe();
      const waiting = spawn(() => trampoline(reader, { read: true }));
      const hub = getHub();
      await sleep(1);
      // The hub parks while this is an ordinary await.
      await new Promise((resolve) => setTimeout(resolve, 5));
      assert(hub.statistics().parks > 0);
      await hub.close();
      await waiting.kill();
      await assertRejects(() => waiting.wait(), Error, "killed");
      close(reader, writer);
      await getHub().close();
    }
  }
  assertEquals(countFds(), before);
  useHub();
});

Deno.test("two hubs in turn a thousand times leave no descriptor", async () => {
  await getHub().close();
  const before = countFds();
  for (let i = 0; i < 1000; i++) {
    useHub(i % 2 === 0 ? epolls : poll);
    await sleep();
    if (i % 50 === 0) await sleep(1);
  }
  await getHub().close();
  assertEquals(countFds(), before);
  useHub();
});

const WORKER = `
import { getHub, spawn, trampoline } from "${projectUrl("mod.ts")}";
import { libc } from "${projectUrl("ffi/libc.ts")}";
const fds = new Int32Array(2);
libc().pipe(fds);
spawn(() => trampoline(fds[0]!, { read: true }));
const tick = () => {
  const { parks, parking } = getHub().statistics();
  if (parks > 0) self.postMessage([parking, ...fds]);
  else setTimeout(tick, 1);
};
tick();
`;

Deno.test("a Worker terminated while parked leaves no descriptor of the hub's", async () => {
  const url = URL.createObjectURL(
    new Blob([WORKER], { type: "application/typescript" }),
  );
  const run = async (): Promise<void> => {
    const worker = new Worker(url, { type: "module" });
    const { promise, resolve } = Promise.withResolvers<[string, ...number[]]>();
    worker.onmessage = (event) => resolve(event.data);
    const [parking, ...fds] = await promise;
    worker.terminate();
    close(...fds);
    // A Worker parks as main does.
    assertEquals(parking, getHub().statistics().parking);
  };
  // Deno itself keeps two for a Worker that ends with an UnsafeCallback open.
  const kept = getHub().name === "libevent" ? 2 : 0;
  await run();
  const before = countFds();
  for (let i = 0; i < 5; i++) await run();
  // Not more than while the first one may still have been ending.
  const most = before + 5 * kept;
  assertEquals(await fdsAtMost(most), true);
  URL.revokeObjectURL(url);
});

/**
 * Whether there are no more than so many descriptors, once the Workers' threads
 * have ended, which they do some time after terminate() has returned.
 */
async function fdsAtMost(most: number): Promise<boolean> {
  for (let i = 0; i < 1000 && countFds() > most; i++) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return countFds() <= most;
}

Deno.test("signal handlers run beside a busy hub and wake an idle one", async () => {
  const busy = spawn(async () => {
    for (;;) await sleep();
  });
  const { promise, resolve } = Promise.withResolvers<void>();
  Deno.addSignalListener("SIGUSR1", resolve);
  Deno.kill(Deno.pid, "SIGUSR1");
  await promise;
  await busy.kill();
  Deno.removeSignalListener("SIGUSR1", resolve);

  // Idle: the handler schedules something, and the hub does it at once.
  const idle = Promise.withResolvers<string>();
  const handler = (): void => {
    getHub().scheduleCallGlobal(0, () => idle.resolve("called"));
  };
  Deno.addSignalListener("SIGUSR2", handler);
  const parked = spawn(() => sleep(60_000));
  await sleep(1);
  Deno.kill(Deno.pid, "SIGUSR2");
  assertEquals(await idle.promise, "called");
  Deno.removeSignalListener("SIGUSR2", handler);
  await parked.kill();
});

Deno.test("a stopped and continued process goes on waiting", async () => {
  const program = `
import { sleep } from "${projectUrl("mod.ts")}";
console.log("ready");
const started = performance.now();
await sleep(300);
console.log(performance.now() - started >= 300);
`;
  const folder = await Deno.makeTempDir({ prefix: "greenhub-" });
  await Deno.writeTextFile(`${folder}/main.ts`, program);
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-prompt", "--no-lock", "--allow-ffi", "main.ts"],
    cwd: folder,
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  assertEquals((await reader.read()).value, "ready\n");
  child.kill("SIGSTOP");
  await new Promise((resolve) => setTimeout(resolve, 50));
  child.kill("SIGCONT");
  assertEquals((await reader.read()).value, "true\n");
  assertEquals((await child.status).code, 0);
  await reader.cancel();
  await Deno.remove(folder, { recursive: true });
});
