/**
 * What is libevent's own: how it is found, its methods, its silence, and its
 * memory. What every hub must do is in the conformance suite.
 */

import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { libc } from "../../ffi/libc.ts";
import {
  EV_READ,
  EV_WRITE,
  EventBase,
  libeventMethods,
  whyNoLibevent,
} from "../../ffi/libevent.ts";
import * as libevent from "../../hubs/libevent.ts";
import {
  getDefaultHub,
  getHub,
  HubError,
  sleep,
  spawn,
  SystemError,
  trampoline,
  useHub,
} from "../../mod.ts";
import { assertNoFdLeak } from "../helpers/fds.ts";
import { testWith } from "../helpers/need.ts";
import { close, pipe, write } from "../helpers/pipes.ts";
import {
  projectUrl,
  runDeno,
  runProgram,
  SIGNALS_READY,
} from "../helpers/spawn.ts";

const LIBEVENT = ["libevent", libevent.isAvailable()] as const;
const METHODS = ["epoll", "poll", "select"] as const;
const F_DUPFD = 0;
const MIB = 2 ** 20;
/** A great many times, where there is time for it: in one of CI's runs. */
const MANY = Deno.env.get("CI") === "true" && getHub().name === "libevent";

function open(path: string): number {
  return libc().open(new TextEncoder().encode(`${path}\0`), 0);
}

/** Run `fn` on a libevent hub of its own, and go back to the default after. */
async function onHub(
  options: libevent.LibeventOptions,
  fn: (hub: libevent.Hub) => void | Promise<void>,
): Promise<void> {
  await getHub().close();
  useHub(
    class extends libevent.Hub {
      constructor() {
        super(options);
      }
    },
  );
  const hub = getHub() as libevent.Hub;
  try {
    await fn(hub);
  } finally {
    await hub.close();
    useHub();
    getHub();
  }
}

testWith(LIBEVENT, "useHub() knows libevent as pyevent, too", async () => {
  for (const name of ["libevent", "pyevent"] as const) {
    useHub(name);
    assertEquals(getHub().name, "libevent");
    await getHub().close();
  }
  useHub();
  getHub();
});

testWith(LIBEVENT, "getDefaultHub() never is libevent", () => {
  assert(getDefaultHub() as unknown !== libevent);
});

testWith(
  LIBEVENT,
  "statistics() names the method libevent picked",
  async () => {
    await onHub({}, (hub) => {
      assertEquals(hub.statistics().method, libeventMethods()[0]);
    });
  },
);

testWith(
  LIBEVENT,
  "new Hub() refuses a method libevent does not have",
  async () => {
    await assertNoFdLeak(() => {
      const options = { method: "telepathy" as "poll" };
      const error = assertThrows(() => new libevent.Hub(options), HubError);
      assertStringIncludes(
        error.message,
        '"telepathy", only epoll, poll, select',
      );
    });
  },
);

for (const method of METHODS) {
  const options = { method, parking: "thread" } as const;

  testWith(
    LIBEVENT,
    `the method ${method} waits, parks and is woken`,
    async () => {
      const [reader, writer] = pipe();
      const [late, lateWriter] = pipe();
      await onHub(options, async (hub) => {
        assertEquals(hub.statistics().method, method);
        const first = spawn(() => trampoline(reader, { read: true }));
        const { promise, resolve } = Promise.withResolvers<void>();
        setTimeout(resolve, 30);
        await promise;
        assert(hub.statistics().parks > 0, "it did not park");
        // Parked by now: another descriptor, and an earlier timer.
        const second = spawn(() => trampoline(late, { read: true }));
        const start = hub.clock();
        await sleep(10);
        assert(hub.clock() - start >= 10);
        write(lateWriter);
        assertEquals(await second.wait(), late);
        assertEquals(first.dead, false);
        write(writer);
        assertEquals(await first.wait(), reader);
      });
      close(reader, writer, late, lateWriter);
    },
  );

  testWith(
    LIBEVENT,
    `the method ${method} tells of hang-ups, files and closed numbers`,
    async () => {
      const [reader, writer] = pipe();
      const file = open("/etc/passwd");
      const closed = libc().fcntl(reader, F_DUPFD, 600);
      close(closed);
      await onHub(options, async () => {
        assertEquals(await trampoline(file, { read: true }), file);
        assertEquals(await trampoline(file, { write: true }), file);
        const error = await assertRejects(
          () => trampoline(closed, { read: true }),
          SystemError,
        );
        assertEquals(error.code, "EBADF");
        close(reader);
        assertEquals(await trampoline(writer, { write: true }), writer);
      });
      close(writer, file);
    },
  );

  testWith(
    LIBEVENT,
    `the method ${method} reports in the order of descriptors`,
    async () => {
      const pipes = Array.from({ length: 40 }, pipe);
      await onHub(options, async (hub) => {
        const order: number[] = [];
        const readers = pipes.map(([reader]) =>
          hub.add(hub.READ, reader, (fd) => order.push(fd), () => {})
        );
        for (const [, writer] of pipes) write(writer);
        await sleep();
        await sleep();
        const wanted = readers.map(({ fd }) => fd);
        assertEquals(order.slice(0, 40), wanted);
        for (const listener of readers) hub.remove(listener);
      });
      close(...pipes.flat());
    },
  );

  testWith(
    LIBEVENT,
    `the method ${method} gives every descriptor back`,
    async () => {
      await getHub().close();
      useHub(
        class extends libevent.Hub {
          constructor() {
            super({ method });
          }
        },
      );
      const [reader, writer] = pipe();
      write(writer);
      await assertNoFdLeak(async () => {
        assertEquals((getHub() as libevent.Hub).statistics().method, method);
        await trampoline(reader, { read: true });
        await sleep(2);
        await getHub().close();
      });
      close(reader, writer);
      useHub();
      getHub();
    },
  );
}

testWith(
  LIBEVENT,
  "the method select refuses a descriptor that would end the process",
  async () => {
    const [reader, writer] = pipe();
    const high = libc().fcntl(reader, F_DUPFD, 1024);
    await onHub({ method: "select" }, async (hub) => {
      await assertRejects(
        () => trampoline(high, { read: true }),
        RangeError,
        "libevent's method select takes less than 1024",
      );
      assertEquals(hub.getReaders(), []);
    });
    close(reader, writer, high);
  },
);

testWith(
  LIBEVENT,
  "EventBase.loop() dispatches what libevent found, and returns",
  () => {
    const base = new EventBase();
    const [reader, writer] = pipe();
    const reading = base.add(reader, EV_READ)!;
    const writing = base.add(writer, EV_READ | EV_WRITE)!;
    assertEquals(base.loop(), [writer, EV_WRITE]);
    write(writer);
    // Persistent, and ready each time.
    for (let i = 0; i < 3; i++) {
      const told = [...base.loop()!];
      assertEquals(told.length, 4);
      assertEquals(told[told.indexOf(reader) + 1], EV_READ);
    }
    base.remove(writing);
    base.remove(reading);
    assertEquals(base.loop(), []);
    base.free();
    close(reader, writer);
  },
);

testWith(LIBEVENT, "EventBase knows libevent's epoll descriptor", () => {
  const base = new EventBase("epoll");
  assertEquals(
    Deno.readLinkSync(`/proc/self/fd/${base.epfd}`),
    "anon_inode:[eventpoll]",
  );
  base.free();
  const none = new EventBase("poll");
  assertEquals(none.epfd, -1);
  none.free();
});

testWith(
  LIBEVENT,
  "whyNoLibevent() says what was looked for and how to install it",
  () => {
    const why = whyNoLibevent(["libnothing-2.1.so.7", "libnothing.so"]);
    assertStringIncludes(why, "looked for libnothing-2.1.so.7, libnothing.so");
    assertStringIncludes(why, "libevent-core-2.1-7");
  },
);

Deno.test("isAvailable() is false without the full grant, and useHub() says so", async () => {
  const path = [
    `/lib/${Deno.build.arch}-linux-gnu/libc.so.6`,
    "/lib64/libc.so.6",
    "/usr/lib/libc.so.6",
  ].find((path) => {
    try {
      return Deno.statSync(path).isFile;
    } catch {
      return false;
    }
  });
  const { stdout, stderr } = await runProgram(
    `
import { getHub, useHub } from "${projectUrl("mod.ts")}";
import { isAvailable } from "${projectUrl("hubs/libevent.ts")}";
const before = getHub();
console.log(isAvailable());
try {
  useHub("libevent");
} catch (error) {
  console.log(error.name, error.message, getHub() === before);
}
await before.close();
`,
    { flags: [`--allow-ffi=${path}`] },
  );
  assertStringIncludes(stdout, "false\nHubError", stderr);
  assertStringIncludes(stdout, "granted in full");
  assertStringIncludes(stdout, "true\n");
});

Deno.test("libevent is not opened before it is asked for", async () => {
  const { stdout, stderr } = await runProgram(
    `
import { sleep } from "${projectUrl("mod.ts")}";
import "${projectUrl("hubs/libevent.ts")}";
await sleep(1);
console.log(Deno.readTextFileSync("/proc/self/maps").includes("libevent"));
`,
    { flags: ["--allow-all"], env: { EVENTLET_HUB: undefined } },
  );
  assertEquals(stdout, "false\n", stderr);
});

/** Tests in a Deno of their own, whose sanitizers look at all of them. */
async function assertSanitized(program: string): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "greenhub-" });
  const file = `${folder}/main_test.ts`;
  await Deno.writeTextFile(
    file,
    `
import { getHub, sleep, useHub } from "${projectUrl("mod.ts")}";
import { isAvailable } from "${projectUrl("hubs/libevent.ts")}";
const quiet = { sanitizeOps: true, sanitizeResources: true };
${program}
`,
  );
  const { code, stdout, stderr } = await runDeno(
    ["test", "--allow-ffi", "--no-lock", "--no-check", file],
    { env: { EVENTLET_HUB: undefined } },
  );
  await Deno.remove(folder, { recursive: true });
  assertEquals(code, 0, stdout + stderr);
  assertStringIncludes(stdout, " passed | 0 failed");
}

testWith(
  LIBEVENT,
  "sanitizers are quiet when libevent is first used within a test",
  async () => {
    await assertSanitized(`
getHub();
Deno.test("first asked for", quiet, () => {
  if (!isAvailable()) throw new Error("not available");
});
for (const name of ["first used", "used again"]) {
  Deno.test(name, quiet, async () => {
    await getHub().close();
    useHub("libevent");
    await sleep(3);
    await getHub().close();
  });
}
Deno.test("left", quiet, async () => {
  getHub();
  await sleep(1);
});
Deno.test("closed in another test", quiet, () => getHub().close());
`);
  },
);

testWith(
  LIBEVENT,
  "sanitizers are quiet when libevent's hub is older than the test",
  async () => {
    await assertSanitized(`
useHub("libevent");
getHub();
Deno.test("closed and made anew", quiet, async () => {
  await sleep(1);
  await getHub().close();
  await sleep(1);
});
Deno.test("replaced", quiet, async () => {
  useHub("poll");
  await sleep(1);
  await getHub().close();
});
`);
  },
);

testWith(
  LIBEVENT,
  "libevent is called as before when Deno's handle is closed, and collected",
  async () => {
    const { stdout, stderr } = await runProgram(
      `
import { EV_READ, EventBase } from "${projectUrl("ffi/libevent.ts")}";
import { libc } from "${projectUrl("ffi/libc.ts")}";
const pair = new Int32Array(2);
libc().pipe(pair);
libc().write(pair[1], new Uint8Array(1), 1);
let found = 0;
for (let round = 0; round < 50; round++) {
  const base = new EventBase();
  for (let i = 0; i < 500; i++) {
    const event = base.add(pair[0], EV_READ);
    found += base.loop().length / 2;
    base.remove(event);
  }
  base.free();
  gc();
  await new Promise((resolve) => setImmediate(resolve));
}
console.log(found);
`,
      { flags: ["--allow-ffi", "--v8-flags=--expose-gc"] },
    );
    assertEquals(stdout, "25000\n", stderr);
  },
);

testWith(
  LIBEVENT,
  "libevent's warnings do not reach stderr, in Workers neither",
  async () => {
    const provoke = `
import { EventBase, EV_READ } from "${projectUrl("ffi/libevent.ts")}";
import { libc } from "${projectUrl("ffi/libc.ts")}";
const base = new EventBase();
const file = libc().open(new TextEncoder().encode("/etc/passwd\\0"), 0);
const refused = [base.add(file, EV_READ), base.add(9999, EV_READ)];
const pair = new Int32Array(2);
libc().pipe(pair);
base.add(pair[0], EV_READ);
libc().close(base.epfd);
const failed = base.loop();
`;
    const { stdout, stderr, code } = await runProgram(
      `${provoke}
console.log(refused, failed);
const text = ${
        JSON.stringify(`${provoke} self.postMessage([refused, failed]);`)
      };
const url = URL.createObjectURL(
  new Blob([text], { type: "application/typescript" }),
);
const worker = new Worker(url, { type: "module" });
worker.onmessage = ({ data }) => {
  console.log(...data);
  worker.terminate();
};
`,
      { flags: ["--allow-all"] },
    );
    const once = "[ null, null ] null\n";
    assertEquals([stdout, stderr, code], [once + once, "", 0]);
  },
);

testWith(
  LIBEVENT,
  "a terminated Worker leaves none of its base's descriptors",
  async () => {
    const text = `
import { EventBase } from "${projectUrl("ffi/libevent.ts")}";
const base = new EventBase();
base.loop();
self.postMessage("ready");
`;
    const { stdout, stderr } = await runProgram(
      `${SIGNALS_READY}
const url = URL.createObjectURL(
  new Blob([${JSON.stringify(text)}], { type: "application/typescript" }),
);
const sockets = () =>
  [...Deno.readDirSync("/proc/self/fd")].filter(({ name }) => {
    try {
      return /socket|eventpoll/.test(Deno.readLinkSync("/proc/self/fd/" + name));
    } catch {
      return false;
    }
  }).length;
async function round() {
  const worker = new Worker(url, { type: "module" });
  await new Promise((resolve) => worker.onmessage = resolve);
  const during = sockets();
  worker.terminate();
  return during;
}
await round();
const deadline = Date.now() + 10_000;
const during = await round();
// Its thread ends when it ends.
while (sockets() > during - 3 && Date.now() < deadline) {
  await new Promise((resolve) => setTimeout(resolve, 10));
}
console.log(sockets() <= during - 3);
`,
      { flags: ["--allow-all"] },
    );
    assertEquals(stdout, "true\n", stderr);
  },
);

/** A program that does something over and over and says how much it grew. */
function growth(step: string, warmUp: number, count: number): string {
  return `
import { Hub } from "${projectUrl("hubs/libevent.ts")}";
import { EventBase } from "${projectUrl("ffi/libevent.ts")}";
import { libc } from "${projectUrl("ffi/libc.ts")}";
${SIGNALS_READY}
const fds = () => [...Deno.readDirSync("/proc/self/fd")].length;
const pair = new Int32Array(2);
libc().pipe(pair);
const none = () => {};
${step}
for (let i = 0; i < ${warmUp}; i++) await step();
gc();
const before = [fds(), Deno.memoryUsage().rss];
for (let i = 0; i < ${count}; i++) await step();
gc();
const after = [fds(), Deno.memoryUsage().rss];
console.log(JSON.stringify(after.map((value, i) => value - before[i])));
`;
}

async function measure(program: string): Promise<[fds: number, rss: number]> {
  const { stdout, stderr } = await runProgram(program, {
    flags: ["--allow-all", "--v8-flags=--expose-gc"],
    timeout: 120_000,
  });
  assert(stdout !== "", stderr);
  return JSON.parse(stdout);
}

testWith(
  LIBEVENT,
  "hubs made and closed leave neither descriptors nor memory",
  async () => {
    const count = MANY ? 10_000 : 1_000;
    const [fds, rss] = await measure(growth(
      `
async function step() {
  const hub = new Hub();
  hub.add(hub.READ, pair[0], none, none);
  await hub.close();
  // Deno lets go of closed handles when its loop turns.
  await new Promise((resolve) => setImmediate(resolve));
}`,
      count / 2,
      count,
    ));
    assertEquals(fds, 0);
    // Deno keeps a KiB or so of each hub's timer, whatever the hub.
    assert(rss < 64 * MIB, `grew by ${rss} bytes`);
  },
);

testWith(
  LIBEVENT,
  "event bases made and freed leave neither descriptors nor memory",
  async () => {
    const count = MANY ? 10_000 : 1_000;
    const [fds, rss] = await measure(growth(
      `
function step() {
  const base = new EventBase();
  base.remove(base.add(pair[0], 2));
  base.free();
}`,
      count / 2,
      count,
    ));
    assertEquals(fds, 0);
    assert(rss < 16 * MIB, `grew by ${rss} bytes`);
  },
);

testWith(LIBEVENT, "events added and removed leave no memory", async () => {
  const count = MANY ? 1_000_000 : 200_000;
  const [fds, rss] = await measure(growth(
    `
const base = new EventBase();
function step() {
  base.remove(base.add(pair[0], 2));
}`,
    count / 2,
    count,
  ));
  assertEquals(fds, 0);
  // An event takes 144 bytes: a million of them 137 MiB.
  assert(rss < 16 * MIB, `grew by ${rss} bytes`);
});

testWith(LIBEVENT, "listeners added and removed leave no memory", async () => {
  const count = MANY ? 1_000_000 : 200_000;
  const [fds, rss] = await measure(growth(
    `
const hub = new Hub();
function step() {
  hub.remove(hub.add(hub.READ, pair[0], none, none));
  // Forgotten at once, so that libevent's event is freed.
  hub.notifyClose(pair[0]);
}`,
    count / 2,
    count,
  ));
  assertEquals(fds, 0);
  // V8 lets its young generation grow; a leak would be 137 MiB.
  assert(rss < 80 * MIB, `grew by ${rss} bytes`);
});

const FEW_NUMBERS = `
  import { libc } from "${projectUrl("ffi/libc.ts")}";
  import * as libevent from "${projectUrl("hubs/libevent.ts")}";
  await new libevent.Hub().close();
  const hogs = [];
  for (let fd; (fd = libc().eventfd(0, 0)) >= 0;) hogs.push(fd);
  for (let free = 0; free < 6; free++) {
    if (free > 0) libc().close(hogs.pop());
    try {
      await new libevent.Hub().close();
      console.log("made");
    } catch (error) {
      console.log(error.code);
    }
  }
`;

/** Run a program that may have 128 descriptors; what it says, line by line. */
async function runWithFew(program: string): Promise<[number, string[]]> {
  const folder = await Deno.makeTempDir({ prefix: "greenhub-" });
  await Deno.writeTextFile(`${folder}/main.ts`, program);
  const deno = `${Deno.execPath()} run --no-lock --no-check -A`;
  const { code, stdout } = await new Deno.Command("sh", {
    args: ["-c", `ulimit -n 128; exec ${deno} ${folder}/main.ts`],
    stderr: "null",
  }).output();
  await Deno.remove(folder, { recursive: true });
  return [code, new TextDecoder().decode(stdout).trim().split("\n")];
}

testWith(
  LIBEVENT,
  "isAvailable() that has no descriptor left says so, and tries again",
  async () => {
    const [code, said] = await runWithFew(`
      import { libc } from "${projectUrl("ffi/libc.ts")}";
      import { useHub } from "${projectUrl("mod.ts")}";
      const hogs = [];
      for (let fd; (fd = libc().eventfd(0, 0)) >= 0;) hogs.push(fd);
      try {
        useHub("libevent");
      } catch (error) {
        console.log(error.message);
      }
      for (const fd of hogs) libc().close(fd);
      useHub("libevent");
      console.log("used");`);
    assertEquals(code, 0);
    assertMatch(said[0]!, /looked for libevent.*Too many open files/);
    assertEquals(said.slice(1), ["used"]);
  },
);

testWith(
  LIBEVENT,
  "Hub says that there are no descriptors left, and the process goes on",
  async () => {
    const [code, said] = await runWithFew(FEW_NUMBERS);
    assertEquals(code, 0);
    assertEquals(said.slice(0, 3), ["EMFILE", "EMFILE", "EMFILE"]);
    assertEquals(said.at(-1), "made");
  },
);
