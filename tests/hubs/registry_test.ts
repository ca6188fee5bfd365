/** Which hub a thread uses, how it is chosen, and what becomes of the old one. */

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertMatch,
  assertNotStrictEquals,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import {
  BaseHub,
  type BuiltinHubName,
  getDefaultHub,
  getHub,
  GreenEvent,
  GreenletExit,
  type GreenThread,
  type HubClass,
  HubError,
  type HubModule,
  kill,
  type Poller,
  sleep,
  spawn,
  trampoline,
  useHub,
} from "../../mod.ts";
import * as epolls from "../../hubs/epolls.ts";
import * as poll from "../../hubs/poll.ts";
import * as selects from "../../hubs/selects.ts";
import { failure, never, within } from "../../hubs/conformance/rig.ts";
import { assertNoFdLeak } from "../helpers/fds.ts";
import { projectUrl, runFile, runProgram } from "../helpers/spawn.ts";
import * as tiny from "../third_party/tiny.ts";
import { hubTest } from "./hub_test_case.ts";

const TINY = new URL("../third_party/tiny.ts", import.meta.url).href;
const ODD = new URL("../third_party/odd.ts", import.meta.url).href;
const MOD = projectUrl("mod.ts");

/** Use another hub, any but a builtin one. */
class Mine extends tiny.Hub {}

/** Run `fn` while EVENTLET_HUB is `value`; then choose by what it was. */
async function withEnv(
  value: string | undefined,
  fn: () => void | Promise<void>,
): Promise<void> {
  const before = Deno.env.get("EVENTLET_HUB");
  const set = (to: string | undefined): void =>
    to === undefined
      ? Deno.env.delete("EVENTLET_HUB")
      : Deno.env.set("EVENTLET_HUB", to);
  set(value);
  try {
    await fn();
  } finally {
    set(before);
  }
}

/** Assert that a call fails with HubError and leaves the hub and its work. */
async function assertAtomic(
  call: () => void | Promise<void>,
  message: RegExp,
): Promise<void> {
  const hub = getHub();
  const timers = hub.getTimersCount();
  const readers = hub.getReaders();
  const error = await failure((async () => await call())());
  assertInstanceOf(error, HubError);
  assertMatch(error.message, message);
  assertStrictEquals(getHub(), hub);
  assertEquals(hub.getTimersCount(), timers);
  assertEquals(hub.getReaders(), readers);
}

for (
  const [name, module] of [
    ["epolls", epolls],
    ["poll", poll],
    ["selects", selects],
  ] as const
) {
  hubTest(`useHub("${name}") by name, blanks, module and class`, async () => {
    for (const choice of [name, ` ${name}\t\n`, module, module.Hub] as const) {
      assertEquals(useHub(choice as BuiltinHubName), undefined);
      const hub = getHub();
      assertInstanceOf(hub, module.Hub);
      assertEquals([hub.name, hub.running], [name, false]);
      await sleep(1);
      await hub.close();
    }
  });
}

hubTest("useHub() may be awaited in either form", async () => {
  await useHub("poll");
  assertEquals(getHub().name, "poll");
  const chosen = useHub(TINY);
  assertInstanceOf(chosen, Promise);
  assertEquals(await chosen, undefined);
  assertInstanceOf(getHub(), tiny.Hub);
});

hubTest(
  "useHub(): of calls that overlap, the last that succeeds counts",
  async () => {
    const slow = useHub(TINY);
    useHub("poll");
    await slow;
    assertEquals(getHub().name, "poll");
    const good = useHub(TINY);
    const bad = useHub("./no_such_file.ts") as unknown as Promise<void>;
    await Promise.allSettled([good, bad]);
    assertStrictEquals(getHub().constructor, tiny.Hub);
  },
);

hubTest("useHub() by specifier, with and without a class name", async () => {
  for (const specifier of [TINY, `${TINY}:`, `${TINY}:Hub`, ` ${TINY}:Hub `]) {
    await useHub(Mine);
    await useHub(specifier);
    assertStrictEquals(getHub().constructor, tiny.Hub);
  }
  await useHub(`${ODD}:Other`);
  assertEquals(getHub().constructor.name, "Other");
  await sleep(1);
});

hubTest(
  "useHub() resolves a relative specifier against the main module",
  async () => {
    await useHub("../third_party/tiny.ts");
    assertStrictEquals(getHub().constructor, tiny.Hub);
    await useHub("../third_party/odd.ts:Other");
    assertEquals(getHub().constructor.name, "Other");
  },
);

hubTest("useHub() of an unknown name lists the valid ones", async (rig) => {
  const [reader] = rig.pipe();
  getHub().scheduleCallGlobal(60_000, never);
  getHub().add(1, reader, never, never);
  for (const name of ["nonsense", "", "  ", "Poll", "epoll"]) {
    await assertAtomic(
      () => useHub(name as BuiltinHubName),
      /epolls.*poll.*selects.*libevent/,
    );
  }
});

hubTest("useHub() that fails changes nothing, whatever fails", async (rig) => {
  const [reader, writer] = rig.pipe();
  const gt = spawn(() => trampoline(reader, { read: true, timeout: 60_000 }));
  await sleep();
  const none: HubModule = {} as HubModule;
  const unavailable: HubModule = { Hub: Mine, isAvailable: () => false };
  await assertAtomic(() => useHub(none), /Hub/);
  await assertAtomic(() => useHub({ Hub: 5 } as unknown as HubModule), /Hub/);
  await assertAtomic(() => useHub(unavailable), /not available/);
  await assertAtomic(() => useHub("./no_such_file.ts"), /no_such_file/);
  await assertAtomic(() => useHub("no.such:Thing"), /no\.such/);
  await assertAtomic(() => useHub(`${TINY}:NoSuch`), /NoSuch/);
  await assertAtomic(() => useHub(ODD), /Hub/);
  await assertAtomic(() => useHub(`${ODD}:notAClass`), /notAClass/);
  await assertAtomic(() => useHub(`${ODD}:Unavailable`), /not available/);
  await assertAtomic(() => useHub(":Hub"), /./);
  await assertAtomic(() => useHub("nonsense" as "poll"), /nonsense/);
  // What cannot be made is no class, whatever typeof says.
  const arrow = () => {};
  await assertAtomic(() => useHub({ Hub: arrow } as never), /Hub/);
  await assertAtomic(() => useHub(`${ODD}:notConstructible`), /notConstr/);
  assertThrows(() => useHub(arrow as never), TypeError, "new");
  assertThrows(() => useHub(5 as never), TypeError);
  assertThrows(() => useHub(true as never), TypeError);
  // What waited goes on as if nothing had happened.
  rig.write(writer);
  assertEquals(await gt.wait(), reader);
});

hubTest("useHub() takes a module without isAvailable as available", () => {
  useHub({ Hub: Mine });
  assertInstanceOf(getHub(), Mine);
});

hubTest("useHub() of a class that says it is not available", async () => {
  class Sad extends Mine {
    static isAvailable(): boolean {
      return false;
    }
  }
  await assertAtomic(() => useHub(Sad), /not available/);
});

hubTest("useHub() of the very class in use makes a new hub", () => {
  useHub(Mine);
  const first = getHub();
  useHub(Mine);
  assertNotStrictEquals(getHub(), first);
});

hubTest(
  "useHub() makes nothing: a constructor that throws is getHub()'s",
  () => {
    let made = 0;
    const broken = (): never => {
      made++;
      throw new Error("cannot make it");
    };
    class Broken extends BaseHub {
      constructor() {
        super(broken());
      }
    }
    useHub(Broken);
    assertEquals(made, 0);
    assertThrows(() => getHub(), Error, "cannot make it");
    assertThrows(() => spawn(never), Error, "cannot make it");
    assertEquals(made, 2);
    useHub("poll");
  },
);

/** A poller that never has anything, and whose close may fail. */
class Idle implements Poller {
  watch(): void {}
  sweep(): number {
    return 0;
  }
  close(): void {}
}

/** A wait that was granted something in the thread's hub, not yet delivered. */
async function granted(): Promise<GreenThread<unknown>> {
  const event = new GreenEvent<string>();
  const gt = spawn(async () => {
    const value = await event.wait();
    await Promise.resolve();
    return value;
  });
  await sleep();
  event.send("granted");
  return gt;
}

hubTest(
  "useHub() makes no hub for what was granted in the old one",
  async () => {
    let made = 0;
    class Counted extends BaseHub {
      constructor() {
        super(new Idle());
        made++;
      }
    }
    const gt = await granted();
    useHub(Counted);
    assertEquals(made, 0);
    // Whoever makes it first has what was left to it delivered in a pass of its.
    const hub = getHub();
    assertEquals([made, hub.running, gt.dead], [1, false, false]);
    assertEquals(await within(5000, gt.wait()), "granted");

    const alone = await granted();
    const ended = new Promise((resolve) => alone.link(resolve));
    await hub.close();
    await within(5000, ended);
    assertEquals(made, 1);
    assertEquals(await alone.wait(), "granted");
  },
);

hubTest("what is granted after a close is delivered, too", async () => {
  const event = new GreenEvent<string>();
  const gt = spawn(() => event.wait());
  await sleep();
  const old = getHub();
  await old.close();
  event.send("late");
  const ended = new Promise((resolve) => gt.link(resolve));
  await within(5000, ended);
  assertEquals(await gt.wait(), "late");
  await old.close();
});

hubTest(
  "a hub that cannot be made loses nobody, and leaks nothing",
  async () => {
    class Broken extends BaseHub {
      constructor() {
        super(new Idle());
        throw new Error("cannot make it");
      }
    }
    let closed = 0;
    class Old extends BaseHub {
      constructor() {
        super(Object.assign(new Idle(), { close: () => closed++ }));
      }
    }
    useHub(Old);
    const gt = await granted();
    useHub(Broken);
    const ended = new Promise((resolve) => gt.link(resolve));
    await within(5000, ended);
    assertEquals([gt.dead, closed], [true, 1]);
    useHub("poll");
    assertEquals(await gt.wait(), "granted");
  },
);

hubTest(
  "a hub whose constructor throws after super() gives everything back",
  async () => {
    const closed: string[] = [];
    class Half extends BaseHub {
      #name = "whole";
      constructor() {
        const poller = new Idle();
        super(Object.assign(poller, { close: () => closed.push("half") }));
        this.scheduleCallGlobal(0, never);
        throw new Error("no licence");
      }
      override close(): Promise<void> {
        closed.push(this.#name);
        return super.close();
      }
    }
    useHub(Half);
    assertThrows(() => getHub(), Error, "no licence");
    assertThrows(() => spawn(never), Error, "no licence");
    assertEquals(closed, ["half", "half"]);
    for (const { Hub } of [epolls, poll, selects]) {
      class Broken extends Hub {
        constructor() {
          super();
          throw new Error("no licence");
        }
      }
      useHub(Broken);
      await assertNoFdLeak(() => {
        for (let i = 0; i < 10; i++) assertThrows(() => getHub(), Error);
      });
    }
    useHub("poll");
    await sleep(1);
  },
);

hubTest(
  "a constructor that throws has its own error, whatever the close says",
  async (rig) => {
    class Half extends BaseHub {
      constructor() {
        const close = (): void => {
          throw new Error("close failed");
        };
        super(Object.assign(new Idle(), { close }));
        throw new Error("no licence");
      }
    }
    useHub(Half);
    assertThrows(() => getHub(), Error, "no licence");
    useHub("poll");
    await sleep(1);
    assertMatch(rig.takeReports().join(), /close of hub Half.*close failed/);
  },
);

hubTest("useHub() reports a poller whose close() throws", async (rig) => {
  class Clinging extends BaseHub {
    constructor() {
      const close = (): void => {
        throw new Error("close failed");
      };
      super(Object.assign(new Idle(), { close }));
    }
  }
  useHub(Clinging);
  await sleep(1);
  useHub("poll");
  assertEquals(getHub().name, "poll");
  await sleep(1);
  assertMatch(rig.takeReports().join(), /close of hub Clinging.*close failed/);
});

hubTest("useHub() after a class without close() forgets it", () => {
  class Foreign {}
  useHub(Foreign as unknown as HubClass);
  assertInstanceOf(getHub(), Foreign);
  useHub("poll");
  assertEquals(getHub().name, "poll");
});

hubTest("useHub() from MAINLOOP is a HubError, in either form", async () => {
  const hub = getHub();
  const errors = await new Promise<unknown[]>((resolve) => {
    hub.scheduleCallGlobal(0, async () => {
      const errors: unknown[] = [];
      for (const choice of ["poll", null, tiny, undefined] as const) {
        try {
          useHub(choice as "poll");
        } catch (error) {
          errors.push(error);
        }
      }
      errors.push(await failure(useHub(TINY)));
      resolve(errors);
    });
  });
  assertEquals(errors.length, 5);
  for (const error of errors) assertInstanceOf(error, HubError);
  assertStrictEquals(getHub(), hub);
});

hubTest("useHub() works in a greenthread", async () => {
  const old = getHub();
  const gt = spawn(() => useHub(Mine));
  await gt.wait().catch(() => {});
  assertInstanceOf(getHub(), Mine);
  assertEquals(old.running, false);
});

hubTest("useHub() eliminates the old hub", async (rig) => {
  const old = getHub();
  const [reader, writer] = rig.pipe();
  const listener = old.add(1, reader, never, never);
  const timers = [0, 1, 60_000].map((ms) => old.scheduleCallGlobal(ms, never));
  const parked = [
    spawn(() => sleep(60_000)),
    spawn(() => trampoline(rig.socketpair()[0], { read: true })),
  ];
  const unstarted = spawn(never);
  timers.forEach((timer) => timer.pending);
  useHub(Mine);
  assertEquals(old.running, false);
  assertEquals(listener.spent, true);
  assertEquals(timers.some((timer) => timer.pending), false);
  assertEquals([old.getReaders().length, old.getTimersCount()], [0, 0]);
  rig.write(writer);
  await sleep(2);
  assertEquals(unstarted.dead, true);
  for (const gt of parked) {
    await within(5000, kill(gt));
    assertInstanceOf(await failure(gt.wait()), GreenletExit);
  }
  await old.close();
});

hubTest("useHub(): an orphan parked in the old hub hangs nobody", async () => {
  const old = getHub();
  const orphans = [0, 1].map(() => spawn(() => sleep(60_000)));
  const bare = spawn(() => old.switch());
  const waiter = spawn(() => failure(orphans[0]!.wait()));
  await sleep();
  useHub(Mine);
  await within(5000, kill(orphans[0]!));
  orphans[1]!.cancel();
  assertEquals(orphans[1]!.dead, false);
  await within(5000, orphans[1]!.kill());
  await within(5000, kill(bare));
  assertInstanceOf(await failure(orphans[0]!.wait()), GreenletExit);
  assertInstanceOf(await within(5000, waiter.wait()), GreenletExit);
  await sleep(1);
  await old.close();
});

hubTest("useHub(): cancelling an old timer leaves the new hub alone", () => {
  const timer = getHub().scheduleCallGlobal(60_000, never);
  useHub(Mine);
  const fresh = getHub();
  fresh.scheduleCallGlobal(60_000, never);
  timer.cancel();
  assertEquals(fresh.getTimersCount(), 1);
});

Deno.test("useHub() closes the old hub's descriptors", async () => {
  await assertNoFdLeak(async () => {
    for (const name of ["epolls", "poll", "selects"] as const) {
      useHub(name);
      const hub = getHub();
      await sleep(1);
      useHub(Mine);
      await hub.close();
    }
    await getHub().close();
  });
  useHub();
});

hubTest(
  "getDefaultHub() is the first available of epolls, poll, selects",
  () => {
    const module = getDefaultHub();
    assertEquals(module.Hub, Deno.build.os === "linux" ? epolls.Hub : poll.Hub);
    assertEquals(module.isAvailable?.(), true);
  },
);

hubTest(
  "useHub(), useHub(null) and no call: EVENTLET_HUB, else the default",
  async () => {
    for (const choice of [undefined, null]) {
      await withEnv(" selects ", () => {
        useHub(choice);
        assertEquals(getHub().name, "selects");
      });
      for (const unset of [undefined, "", "  "]) {
        await withEnv(unset, () => {
          useHub(choice);
          assertStrictEquals(getHub().constructor, getDefaultHub().Hub);
        });
      }
    }
  },
);

hubTest("useHub(name) beats EVENTLET_HUB", async () => {
  await withEnv("selects", () => {
    useHub("poll");
    assertEquals(getHub().name, "poll");
  });
});

hubTest("useHub(null) with an unknown EVENTLET_HUB is a HubError", async () => {
  await withEnv("nonsense", async () => {
    await assertAtomic(() => useHub(null), /nonsense.*epolls/);
  });
});

const report = `console.log(getHub().name, getHub().constructor.name);`;

for (
  const [value, output] of [
    ["selects", "selects Hub\n"],
    ["  poll ", "poll Hub\n"],
    [TINY, "Hub Hub\n"],
    [`${ODD}:Other`, "Other Other\n"],
    ["", null],
    [undefined, null],
  ] as const
) {
  Deno.test(`EVENTLET_HUB=${value?.replace(/.*\//, "…/")} chooses the hub`, async () => {
    const result = await runProgram(
      `import { getHub, sleep, spawn } from "${MOD}";
       ${report}
       await spawn(() => sleep(1)).wait();`,
      { flags: ["-A"], env: { EVENTLET_HUB: value } },
    );
    assertEquals([result.code, result.stderr], [0, ""]);
    const expected = output ??
      `${Deno.build.os === "linux" ? "epolls" : "poll"} Hub\n`;
    assertEquals(result.stdout, expected);
  });
}

Deno.test("EVENTLET_HUB with a relative specifier stands beside the main module", async () => {
  const folder = await Deno.makeTempDir({ prefix: "greenhub-" });
  await Deno.writeTextFile(
    `${folder}/their_hub.ts`,
    `export { Hub as Theirs } from "${TINY}";`,
  );
  await Deno.writeTextFile(
    `${folder}/main.ts`,
    `import { getHub, sleep } from "${MOD}"; await sleep(1); ${report}`,
  );
  const result = await runFile(`${folder}/main.ts`, {
    flags: ["-A"],
    env: { EVENTLET_HUB: "./their_hub.ts:Theirs" },
    cwd: "/",
  });
  await Deno.remove(folder, { recursive: true });
  assertEquals([result.stderr, result.stdout], ["", "Hub Hub\n"]);
});

for (const value of ["nonsense", "./nothing/here.ts", "no.such:Hub"]) {
  Deno.test(`EVENTLET_HUB=${value} fails at first use, not at import`, async () => {
    const result = await runProgram(
      `import { getHub, HubError, spawn, useHub } from "${MOD}";
       console.log("imported");
       for (const use of [getHub, () => spawn(() => {}), () => useHub()]) {
         try { use(); } catch (error) {
           console.log(error instanceof HubError, error.message.includes("${value}"));
         }
       }
       useHub("poll");
       console.log(getHub().name);`,
      { flags: ["-A"], env: { EVENTLET_HUB: value } },
    );
    assertEquals(result.stderr, "");
    assertEquals(
      result.stdout,
      "imported\ntrue true\ntrue true\ntrue true\npoll\n",
    );
  });
}

Deno.test("EVENTLET_HUB changed after the import is not taken for what was loaded", async () => {
  const first = projectUrl("hubs/poll.ts");
  const second = projectUrl("hubs/selects.ts");
  const result = await runProgram(
    `import { getHub, useHub } from "${projectUrl("mod.ts")}";
Deno.env.set("EVENTLET_HUB", ${JSON.stringify(second)});
try {
  getHub();
} catch (error) {
  console.log((error as Error).name, (error as Error).message.includes("await"));
}
await useHub(${JSON.stringify(second)});
console.log(getHub().name);
`,
    { flags: ["-A"], env: { EVENTLET_HUB: first } },
  );
  assertEquals(result.stdout, "HubError true\nselects\n", result.stderr);
});

Deno.test("EVENTLET_HUB is not read without permission, and nothing prompts", async () => {
  const result = await runProgram(
    `import { getHub } from "${MOD}"; ${report}`,
    { flags: ["--allow-ffi"], env: { EVENTLET_HUB: "selects" } },
  );
  assertEquals(result.stderr, "");
  assert(!result.stdout.includes("selects"), result.stdout);
});

/** Run a module in a Worker; resolves to what it posts. */
async function inWorker(code: string): Promise<unknown> {
  const blob = new Blob([code], { type: "application/typescript" });
  const url = URL.createObjectURL(blob);
  const worker = new Worker(url, { type: "module" });
  const posted = Promise.withResolvers<unknown>();
  worker.onmessage = ({ data }) => posted.resolve(data);
  worker.onerror = (event) => {
    event.preventDefault();
    posted.reject(new Error(event.message));
  };
  try {
    return await within(10_000, posted.promise);
  } finally {
    worker.terminate();
    URL.revokeObjectURL(url);
  }
}

// No hubTest: Deno itself keeps two descriptors of a Worker that has ended.
Deno.test("getHub() is thread-local: a Worker has its own", async () => {
  useHub("poll");
  const mine = getHub();
  const gt = spawn(() => sleep(1));
  const name = await inWorker(`
    import { getHub, sleep, spawn, useHub } from "${MOD}";
    useHub("selects");
    const gt = spawn(async () => { await sleep(1); return getHub().name; });
    const name = await gt.wait();
    await getHub().close();
    self.postMessage(name);
  `);
  assertEquals(name, "selects");
  await gt.wait();
  assertStrictEquals(getHub(), mine);
  assertEquals(mine.name, "poll");
  await mine.close();
  useHub();
});

Deno.test("getHub() in a Worker that chose nothing is the default", async () => {
  useHub(Mine);
  const name = await inWorker(`
    import { getHub } from "${MOD}";
    const chosen = getHub().name;
    self.postMessage(chosen);
    await getHub().close();
  `);
  await getHub().close();
  useHub();
  assertEquals(name, getHub().name);
  await getHub().close();
});
