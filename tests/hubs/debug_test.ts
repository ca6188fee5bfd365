/** The switches and listings of ./debug. */

import {
  assert,
  assertEquals,
  assertMatch,
  assertNotMatch,
  assertThrows,
} from "@std/assert";
import {
  formatHubListeners,
  formatHubTimers,
  hubBlockingDetection,
  hubExceptions,
  hubListenerStacks,
  hubPreventMultipleReaders,
  hubTimerStacks,
} from "../../hubs/debug.ts";
import { BlockingDetector } from "../../hubs/blocking.ts";
import { never } from "../../hubs/conformance/rig.ts";
import { macrotask } from "../../hubs/deno_loop.ts";
import { thread } from "../../hubs/thread.ts";
import {
  getHub,
  GreenletExit,
  GreenPool,
  type GreenThread,
  kill,
  sleep,
  spawn,
  spawnAfter,
  spawnAfterLocal,
  trampoline,
} from "../../mod.ts";
import { greenTest, settle } from "../green/helpers.ts";

greenTest(
  "hubExceptions(false) silences errors that nobody waits for",
  async (rig) => {
    const fail = () => {
      throw new Error("nobody's");
    };
    hubExceptions(false);
    spawn(fail);
    getHub().scheduleCallGlobal(0, fail);
    await settle();
    assertEquals(rig.takeReports(), []);
    hubExceptions(true);
    spawn(fail);
    getHub().scheduleCallGlobal(0, fail);
    await settle();
    assertEquals(rig.takeReports().length, 2);
  },
);

greenTest("formatHubListeners() shows headings when nobody listens", () => {
  assertEquals(formatHubListeners(), "READERS:\nWRITERS:");
});

greenTest(
  "formatHubListeners() shows all, also those that queue, at once",
  async (rig) => {
    hubPreventMultipleReaders(false);
    const [reader] = rig.pipe();
    const [, writer] = rig.pipe();
    rig.fill(writer);
    const gts = [1, 2].map(() =>
      spawn(function reading() {
        return trampoline(reader, { read: true });
      })
    );
    const listeners = [getHub().add(getHub().WRITE, writer, never, never)];
    await sleep();
    assertMatch(
      formatHubListeners(),
      new RegExp(
        `^READERS:\n` +
          `FdListener\\(read, fd ${reader}, GreenThread \\d+ \\(reading\\)\\)\n` +
          `FdListener\\(read, fd ${reader}, GreenThread \\d+ \\(reading\\)\\)\n` +
          `WRITERS:\n` +
          `FdListener\\(write, fd ${writer}, GreenThread \\d+ \\(main\\)\\)$`,
      ),
    );
    for (const gt of gts) await gt.kill();
    for (const listener of listeners) getHub().remove(listener);
    assertEquals(formatHubListeners(), "READERS:\nWRITERS:");
  },
);

greenTest(
  "hubListenerStacks() records where later listeners are added",
  (rig) => {
    const [reader, writer] = rig.pipe();
    const { READ, WRITE } = getHub();
    const before = getHub().add(WRITE, writer, never, never);
    hubListenerStacks(true);
    const listener = getHub().add(READ, reader, never, never);
    hubListenerStacks(false);
    const lines = formatHubListeners().split("\n");
    assertMatch(lines[1]!, /^FdListener\(read/);
    assertMatch(lines[2]!, /debug_test\.ts/);
    assertEquals(lines.at(-2), "WRITERS:");
    assertMatch(lines.at(-1)!, /^FdListener\(write/);
    assertThrows(
      () => getHub().add(READ, reader, never, never),
      Error,
      "debug_test.ts",
    );
    getHub().remove(listener);
    getHub().remove(before);
  },
);

greenTest("formatHubTimers() shows all that will fire, soonest first", () => {
  assertEquals(formatHubTimers(), "TIMERS:");
  const hub = getHub();
  hub.clock = () => 0;
  const timers = [
    hub.scheduleCallGlobal(50, function last() {}),
    hub.scheduleCallGlobal(0, function now() {}),
    hub.scheduleCallLocal(20, function first() {}),
    hub.scheduleCallGlobal(30, function gone() {}),
  ];
  timers.pop()!.cancel();
  assertEquals(formatHubTimers().split("\n").map((line) => line.trim()), [
    "TIMERS:",
    "(in 0.000 ms) Timer(0.000, now)",
    "(in 20.000 ms) Timer(20.000, first)",
    "(in 50.000 ms) Timer(50.000, last)",
  ]);
  for (const timer of timers) timer.cancel();
  assertEquals(formatHubTimers(), "TIMERS:");
});

greenTest(
  "formatHubTimers() shows what the hub's own functions wait for",
  async () => {
    const gt = spawnAfter(60_000, never);
    assertEquals(formatHubTimers().split("\n").length, 2);
    gt.cancel();
    assertEquals(formatHubTimers(), "TIMERS:");
    const sleeper = spawn(() => sleep(60_000));
    await settle();
    assertMatch(formatHubTimers(), /^TIMERS:\n\(in 59\d+\.\d+ ms\) Timer/);
    await sleeper.kill();
  },
);

greenTest("formatHubTimers() names the greenthreads that timers start", () => {
  getHub().clock = () => 0;
  const gts = [
    spawnAfter(20, function early() {}),
    spawnAfterLocal(30, function late() {}),
  ];
  assertEquals(formatHubTimers().split("\n").slice(1), [
    "(in 20.000 ms) Timer(20.000, early)",
    "(in 30.000 ms) Timer(30.000, late)",
  ]);
  for (const gt of gts) gt.cancel();
});

greenTest("hubTimerStacks() records where later timers are made", () => {
  const before = getHub().scheduleCallGlobal(10, function before() {});
  hubTimerStacks(true);
  const timer = getHub().scheduleCallGlobal(20, function after() {});
  hubTimerStacks(false);
  const text = formatHubTimers();
  const [first, second] = [text.indexOf("before"), text.indexOf("after")];
  assert(first > 0 && second > first);
  assertNotMatch(text.slice(first, second), /debug_test/);
  assertMatch(text.slice(second), /debug_test\.ts/);
  before.cancel();
  timer.cancel();
});

/** Detection of 20 ms and more, by a clock that only the test moves. */
class Detection implements Disposable {
  now = 0;

  constructor() {
    thread.observer = new BlockingDetector(20, () => this.now);
  }

  [Symbol.dispose](): void {
    hubBlockingDetection(false);
  }
}

greenTest(
  "hubBlockingDetection() reports who kept the thread, and its spawn",
  async (rig) => {
    hubBlockingDetection(true, 20);
    try {
      spawn(function hog() {
        const end = performance.now() + 30;
        while (performance.now() < end);
      });
      await settle();
    } finally {
      hubBlockingDetection(false);
    }
    const [report] = rig.takeReports();
    assertMatch(
      report!,
      /GreenThread \d+ \(hog\) kept the thread for \d+\.\d ms/,
    );
    assertMatch(report!, /debug_test\.ts/);
    assertNotMatch(report!, /hubs\/spawn\.ts/);
  },
);

greenTest(
  "hubBlockingDetection() reports one that blocks after a wait, in a pool",
  async (rig) => {
    using detection = new Detection();
    const pool = new GreenPool(2);
    await pool.spawnN(async function late() {
      await sleep();
      await Promise.resolve();
      detection.now += 21;
    });
    await pool.spawnN(async function good() {
      for (let i = 0; i < 10; i++) {
        detection.now += 20;
        await sleep();
      }
    });
    await pool.waitAll();
    const reports = rig.takeReports();
    assertEquals(reports.length, 1);
    assertMatch(
      reports[0]!,
      /\(late\) kept the thread for 21\.0 ms[^]*debug_test\.ts/,
    );
  },
);

greenTest(
  "hubBlockingDetection() reports callbacks, but no parks and no other code",
  async (rig) => {
    using detection = new Detection();
    const sleeper = spawn(() => sleep(10));
    await rig.parked();
    setTimeout(() => detection.now += 1000);
    await sleeper.wait();
    assertEquals(rig.takeReports(), []);
    getHub().scheduleCallGlobal(0, () => {
      detection.now += 30;
    });
    await settle();
    const [report] = rig.takeReports();
    assertMatch(report!, /A callback of the hub kept the thread for 30\.0 ms/);
  },
);

/** How a greenthread resumes another, and then waits. */
const resumers: [string, (victim: GreenThread) => () => Promise<unknown>][] = [
  ["kill", (victim) => () => kill(victim)],
  ["throw", (victim) => (victim.throw(new GreenletExit()), sleep)],
  ["switch", (victim) => (victim.switch(), sleep)],
];

for (const [verb, resume] of resumers) {
  greenTest(
    `hubBlockingDetection() reports who blocked, not whom it resumes by ${verb}`,
    async (rig) => {
      using detection = new Detection();
      const block = async (before: number, after: number, ms: number) => {
        const victim = spawn(async function victim() {
          try {
            await getHub().switch();
          } finally {
            detection.now += ms;
          }
        });
        const resumer = spawn(async function resumer() {
          await sleep();
          detection.now += before;
          const wait = resume(victim);
          detection.now += after;
          await wait();
        });
        await resumer.wait();
        await victim.wait().catch(() => {});
        return rig.takeReports().map((report) =>
          report.match(/\((\w+)\) kept the thread for [\d.]+ ms/)?.[0]
        );
      };
      const reported = (who: string, ms: number) => [
        `(${who}) kept the thread for ${ms.toFixed(1)} ms`,
      ];
      assertEquals(await block(30, 0, 0), reported("resumer", 30));
      assertEquals(await block(0, 0, 30), reported("victim", 30));
      assertEquals(await block(15, 0, 15), []);
      // What it does on the way to its next wait is its own, too.
      assertEquals(await block(15, 15, 15), reported("resumer", 30));
      assertEquals(await block(0, 15, 15), []);
    },
  );
}

greenTest(
  "hubBlockingDetection() with a stderr that takes nothing harms nobody",
  async () => {
    using detection = new Detection();
    const { error } = console;
    console.error = () => {
      throw new Error("No space left on device");
    };
    try {
      const gt = spawn(async () => {
        detection.now += 30;
        await sleep();
        return "well";
      });
      assertEquals(await gt.wait(), "well");
    } finally {
      console.error = error;
    }
  },
);

greenTest(
  "hubBlockingDetection() tells a callback from whom it resumes",
  async (rig) => {
    using detection = new Detection();
    for (const [before, after] of [[30, 0], [0, 30], [15, 15]] as const) {
      const gt = spawn(() => getHub().switch());
      await settle();
      getHub().scheduleCallGlobal(0, () => {
        detection.now += before;
        gt.switch();
        detection.now += after;
      });
      await gt.wait();
      await settle();
      const reports = rig.takeReports();
      assertEquals(reports.length, 1);
      assertMatch(reports[0]!, /A callback of the hub kept .* 30\.0 ms/);
    }
    const innocent = spawn(async () => {
      await getHub().switch();
      detection.now += 15;
    });
    await settle();
    getHub().scheduleCallGlobal(0, () => {
      detection.now += 15;
      innocent.switch();
    });
    await innocent.wait();
  },
);

greenTest(
  "hubBlockingDetection() charges nobody with the time of Deno's loop",
  async (rig) => {
    using detection = new Detection();
    const [reader] = rig.pipe();
    let on = false;
    const states = [
      // MAINLOOP has left, for want of anything to do.
      async () => {
        while (getHub().running) await macrotask();
      },
      // It is parked, ...
      async () => {
        getHub().add(getHub().READ, reader, () => {}, never);
        await rig.parked();
      },
      // ... or gives Deno's loop a turn now and then.
      () => {
        on = true;
        spawn(async () => {
          while (on) await sleep();
        });
      },
    ];
    for (const reach of states) {
      const gt = spawn(async () => {
        await getHub().switch();
        await sleep();
        on = false;
      });
      await sleep();
      await reach();
      // Resumed by other code.
      setTimeout(() => {
        detection.now += 1000;
        gt.switch();
        detection.now += 1000;
      });
      await new Promise<void>((resolve) => gt.link(() => resolve()));
    }
    // Off in an ordinary await that MAINLOOP does not wait for, and back.
    for (let turns = 1; turns < 4; turns++) {
      await spawn(async () => {
        await sleep();
        for (let turn = 0; turn < turns; turn++) {
          await new Promise<void>((resolve) => {
            setImmediate(() => {
              detection.now += 1000;
              resolve();
            });
          });
        }
        await sleep();
      }).wait();
    }
    getHub().removeDescriptor(reader);
    assertEquals(rig.takeReports(), []);
  },
);

greenTest(
  "hubBlockingDetection(false) leaves nothing that could cost",
  async () => {
    hubBlockingDetection(true, 1);
    assert(thread.observer !== null);
    hubBlockingDetection(false);
    assertEquals(thread.observer, null);
    await settle();
  },
);

greenTest("hubBlockingDetection() refuses what is no time above 0", () => {
  for (const ms of [0, -1, NaN]) {
    assertThrows(() => hubBlockingDetection(true, ms), RangeError);
  }
  const text = "1" as unknown as number;
  assertThrows(() => hubBlockingDetection(true, text), TypeError);
  assertEquals(thread.observer, null);
});

/** Each switch, how it is set, and what it is without an argument. */
const SWITCHES: readonly [(on?: boolean) => void, () => boolean, boolean][] = [
  [hubExceptions, () => thread.settings.exceptions, true],
  [hubListenerStacks, () => thread.settings.listenerStacks, false],
  [hubTimerStacks, () => thread.settings.timerStacks, false],
  [
    hubPreventMultipleReaders,
    () => thread.settings.preventMultipleReaders,
    true,
  ],
  [hubBlockingDetection, () => thread.observer !== null, false],
];

greenTest("a debug switch without an argument takes eventlet's default", () => {
  for (const [set, get, byDefault] of SWITCHES) {
    for (const before of [true, false]) {
      set(before);
      assertEquals(get(), before);
      set();
      assertEquals(get(), byDefault, set.name);
    }
  }
});

greenTest("a debug switch refuses what is no boolean, and stays", () => {
  for (const [set, get, byDefault] of SWITCHES) {
    for (const wrong of ["off", "", 0, 1, null, {}]) {
      assertThrows(() => set(wrong as never), TypeError, "on is no boolean");
      assertEquals(get(), byDefault, set.name);
    }
  }
});
