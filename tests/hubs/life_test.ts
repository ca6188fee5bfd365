/**
 * The life of a process: it ends by itself when nothing can wake it, stays
 * while something can, and every way of ending it while greenthreads are
 * parked is clean and quick. Seen from outside, in a Deno of its own.
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import {
  projectUrl,
  type RunOptions,
  runProgram,
  type RunResult,
} from "../helpers/spawn.ts";

/** Whoever should end at once has this long, start of Deno included. */
const PROMPT_MS = 10_000;

const PRELUDE = `
  import {
    getHub, HubError, kill, sleep, spawn, spawnAfter, spawnN, trampoline, useHub,
  } from "${projectUrl("mod.ts")}";
  import { libc } from "${projectUrl("ffi/libc.ts")}";
  function pipe() {
    const pair = new Int32Array(2);
    libc().pipe(pair);
    return [...pair];
  }
  const say = (...words) => console.log(...words);
`;

/** Run a program with everything imported; it must end in time. */
async function live(
  text: string,
  options: RunOptions = {},
): Promise<RunResult> {
  const result = await runProgram(PRELUDE + text, {
    flags: ["-A"],
    ...options,
  });
  assertEquals(result.timedOut, false, result.stderr);
  assert(result.elapsed < PROMPT_MS, `${result.elapsed} ms`);
  return result;
}

/** Assert that the program ends by itself, having said this. */
async function assertEnds(text: string, ...lines: string[]): Promise<void> {
  const { code, stdout, stderr } = await live(text);
  assertEquals(stderr, "");
  assertEquals(stdout, lines.map((line) => `${line}\n`).join(""));
  assertEquals(code, 0);
}

Deno.test("a main module that only spawns sees its greenthreads run", async () => {
  await assertEnds(
    `const gt = spawn(async () => {
       say("started");
       await sleep(5);
       say("slept");
     });
     spawnN(() => say("n"));
     // Last: on a slow machine it may be due before the next call.
     spawnAfter(1, () => say("after"));
     say("main", getHub().running);`,
    "main false",
    "started",
    "n",
    "after",
    "slept",
  );
});

Deno.test("a process that imported and chose only ends by itself", async () => {
  await assertEnds(`useHub("poll"); getHub(); say("done");`, "done");
});

Deno.test("a timer keeps the process alive, a cancelled one does not", async () => {
  await assertEnds(
    `const hub = getHub();
     const far = hub.scheduleCallGlobal(3_600_000, () => {});
     hub.scheduleCallGlobal(20, () => { say("fired"); far.cancel(); });`,
    "fired",
  );
});

Deno.test("a local timer of one that has ended does not keep the process alive", async () => {
  await assertEnds(
    `const hub = getHub();
     const maker = spawn(async () => {
       hub.scheduleCallLocal(3_600_000, () => {});
       await new Promise((resolve) => setTimeout(resolve, 20));
     });
     await maker.wait();
     say("ended");`,
    "ended",
  );
});

Deno.test("a listener keeps the process alive, removed it does not", async () => {
  await assertEnds(
    `const [reader, writer] = pipe();
     const hub = getHub();
     const listener = hub.add(hub.READ, reader, () => {
       say("ready");
       hub.remove(listener);
     }, () => {});
     const timer = setTimeout(() => {
       libc().write(writer, new Uint8Array(1), 1);
     }, 50);
     Deno.unrefTimer(timer);`,
    "ready",
  );
});

Deno.test("a parked trampoline keeps the process alive, killed it does not", async () => {
  await assertEnds(
    `const [reader] = pipe();
     const gt = spawn(() => trampoline(reader, { read: true }));
     gt.link(() => say("dead"));
     const timer = setTimeout(() => { say("killing"); kill(gt); }, 50);
     Deno.unrefTimer(timer);`,
    "killing",
    "dead",
  );
});

Deno.test("a bare switch keeps nothing alive", async () => {
  await assertEnds(
    `spawn(async () => {
       say("parked");
       await getHub().switch();
       say("never");
     });
     await sleep(1);
     say("end");`,
    "parked",
    "end",
  );
});

Deno.test("a greenthread that waits for a parked one keeps nothing alive", async () => {
  await assertEnds(
    `const gt = spawn(() => getHub().switch());
     spawn(() => gt.wait());
     await sleep();
     say("end");`,
    "end",
  );
});

Deno.test("main parked for good ends with Deno's own error", async () => {
  const { code, stderr } = await live(`await getHub().switch();`);
  assertEquals(code, 1);
  assertMatch(stderr, /never resolved/);
});

Deno.test("an ordinary promise inside a greenthread is Deno's to keep alive", async () => {
  await assertEnds(
    `spawn(async () => {
       await new Promise((resolve) => setTimeout(resolve, 20));
       say("timer");
       await sleep(1);
       say("slept");
     });`,
    "timer",
    "slept",
  );
});

for (const hub of ["Hub", "UnwakeableHub"]) {
  const use = `await useHub("${
    projectUrl("tests/third_party/unref.ts")
  }:${hub}");`;

  Deno.test(`a park that Deno does not know of keeps the process alive (${hub})`, async () => {
    await assertEnds(
      `${use}
       await sleep(50);
       say("slept");
       const [reader, writer] = pipe();
       const timer = setTimeout(() => {
         libc().write(writer, new Uint8Array(1), 1);
       }, 50);
       Deno.unrefTimer(timer);
       await trampoline(reader, { read: true, timeout: 5000 });
       say("ready");
       spawn(() => trampoline(reader, { read: true }).then(sleep));
       await sleep(20);
       await getHub().close();
       say("closed");`,
      "slept",
      "ready",
      "closed",
    );
  });

  Deno.test(`nothing else is kept alive by it (${hub})`, async () => {
    await assertEnds(
      `${use}
       const [reader] = pipe();
       const gt = spawn(() => trampoline(reader, { read: true }));
       spawn(() => getHub().switch());
       const timer = setTimeout(() => { say("killing"); kill(gt); }, 50);
       Deno.unrefTimer(timer);`,
      "killing",
    );
  });
}

Deno.test("close() lets the process end whatever is parked", async () => {
  await assertEnds(
    `const [reader] = pipe();
     spawn(() => trampoline(reader, { read: true }));
     spawn(() => sleep(3_600_000));
     await sleep(10);
     await getHub().close();
     say("closed");`,
    "closed",
  );
});

Deno.test("an uncaught error is on stderr once and ends nothing", async () => {
  const { code, stdout, stderr } = await live(
    `spawn(() => { throw new Error("boom-1"); });
     spawnN(async () => { await sleep(1); throw new Error("boom-2"); });
     getHub().scheduleCallGlobal(1, () => { throw new Error("boom-3"); });
     spawn(async () => { await sleep(10); say("alive"); });`,
  );
  assertEquals([code, stdout], [0, "alive\n"]);
  for (const text of ["boom-1", "boom-2", "boom-3"]) {
    assertEquals(stderr.split(`Error: ${text}`).length - 1, 1, stderr);
  }
  assert(!stderr.includes("in promise"), stderr);
});

Deno.test("an uncaught error that is waited for is not on stderr", async () => {
  await assertEnds(
    `const gt = spawn(async () => { await sleep(1); throw new Error("boom"); });
     const waiter = spawn(() => gt.wait().catch((error) => say(error.message)));
     await waiter.wait();`,
    "boom",
  );
});

const PARKED = `
  const [reader] = pipe();
  const [one, other] = [pipe(), pipe()];
  spawn(() => trampoline(reader, { read: true }));
  spawn(() => trampoline(one[0], { read: true, timeout: 3_600_000 }));
  spawn(() => sleep(3_600_000));
  const hub = getHub();
  hub.add(hub.READ, other[0], () => {}, () => {});
  const parked = async () => {
    while (hub.statistics().parks === 0) {
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  };
`;

for (const name of ["epolls", "poll", "selects"]) {
  const env = { EVENTLET_HUB: name };

  Deno.test(`Deno.exit() while parked (${name})`, async () => {
    const { code, stdout, stderr } = await live(
      `${PARKED} await parked(); say("exit"); Deno.exit(7);`,
      { env },
    );
    assertEquals([code, stdout, stderr], [7, "exit\n", ""]);
  });

  Deno.test(`Deno.exit() in a greenthread, in MAINLOOP (${name})`, async () => {
    const inGreenthread = await live(
      `${PARKED} spawn(async () => { await sleep(5); Deno.exit(8); });`,
      { env },
    );
    assertEquals([inGreenthread.code, inGreenthread.stderr], [8, ""]);
    const inCallback = await live(
      `${PARKED} hub.scheduleCallGlobal(5, () => Deno.exit(9));`,
      { env },
    );
    assertEquals([inCallback.code, inCallback.stderr], [9, ""]);
  });

  Deno.test(`an uncaught throw while parked ends the process (${name})`, async () => {
    const { code, signal, stderr } = await live(
      `${PARKED} await parked(); setTimeout(() => { throw new Error("mine"); });`,
      { env },
    );
    assertEquals([code, signal], [1, null]);
    assertMatch(stderr, /Uncaught[^]*Error: mine/);
  });

  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    Deno.test(`${signal} while parked ends the process (${name})`, async () => {
      const result = await live(
        `${PARKED} await parked(); Deno.kill(Deno.pid, "${signal}");`,
        { env },
      );
      assertEquals([result.signal, result.stderr], [signal, ""]);
    });
  }

  Deno.test(`worker.terminate() while it is parked (${name})`, async () => {
    const { code, stdout, stderr } = await live(
      `const text = \`${
        PRELUDE.replaceAll("`", "").replaceAll("$", "")
      } ${PARKED} await parked(); self.postMessage("parked"); \`;
       const blob = new Blob([text], { type: "application/typescript" });
       const url = URL.createObjectURL(blob);
       for (let i = 0; i < 3; i++) {
         const worker = new Worker(url, { type: "module" });
         const message = await new Promise((resolve) => {
           worker.onmessage = ({ data }) => resolve(data);
         });
         say(message);
         worker.terminate();
       }
       await sleep(20);
       say("main goes on");`,
      { env },
    );
    assertEquals(stderr, "");
    assertEquals(stdout, "parked\nparked\nparked\nmain goes on\n");
    assertEquals(code, 0);
  });

  Deno.test(`the process exits while a Worker is parked (${name})`, async () => {
    const { code, stdout, stderr } = await live(
      `const text = \`${
        PRELUDE.replaceAll("`", "").replaceAll("$", "")
      } ${PARKED} await parked(); self.postMessage("parked"); \`;
       const blob = new Blob([text], { type: "application/typescript" });
       const url = URL.createObjectURL(blob);
       const worker = new Worker(url, { type: "module" });
       const message = await new Promise((resolve) => {
         worker.onmessage = ({ data }) => resolve(data);
       });
       say(message);
       Deno.exit(6);`,
      { env },
    );
    assertEquals([code, stdout, stderr], [6, "parked\n", ""]);
  });
}

Deno.test("a signal handler of Deno's runs while parked", async () => {
  await assertEnds(
    `${PARKED}
     await parked();
     Deno.addSignalListener("SIGTERM", () => {
       say("handled");
       Deno.exit(0);
     });
     Deno.kill(Deno.pid, "SIGTERM");`,
    "handled",
  );
});

Deno.test("a process that was stopped goes on where it was", async () => {
  await assertEnds(
    `${PARKED}
     await parked();
     // A shell's child continues us: nobody else would.
     const shell = new Deno.Command("sh", {
       args: ["-c", \`sleep 0.2; kill -CONT \${Deno.pid}\`],
     }).spawn();
     const writer = pipe();
     const late = spawn(() => trampoline(writer[0], { read: true }));
     await parked();
     Deno.kill(Deno.pid, "SIGSTOP");
     libc().write(writer[1], new Uint8Array(1), 1);
     say(await late.wait() === writer[0]);
     await sleep(5);
     await shell.status;
     say("slept");
     Deno.exit(0);`,
    "true",
    "slept",
  );
});

Deno.test("an idle hub uses no CPU", async () => {
  const { stdout, stderr } = await live(
    `${PARKED}
     import process from "node:process";
     await parked();
     const before = process.cpuUsage();
     await new Promise((resolve) => setTimeout(resolve, 1000));
     const { user, system } = process.cpuUsage(before);
     say((user + system) / 1000);
     Deno.exit(0);`,
  );
  assertEquals(stderr, "");
  assert(Number(stdout) < 100, `${stdout.trim()} ms of CPU in 1 s`);
});
