/**
 * BaseHub over pollers made for the test: what it makes of one that is odd,
 * slow or broken, and what its constructor takes.
 */

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertMatch,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import {
  BaseHub,
  type FdListener,
  getHub,
  type Poller,
  type Report,
  sleep,
  spawn,
  trampoline,
  useHub,
  waitReady,
} from "../../mod.ts";
import type { HubOptions } from "../../hubs/hub.ts";
import * as epolls from "../../hubs/epolls.ts";
import * as libevent from "../../hubs/libevent.ts";
import * as poll from "../../hubs/poll.ts";
import * as selects from "../../hubs/selects.ts";
import { refusesAtOnce } from "../../hubs/conformance/checks.ts";
import { failure, never, within } from "../../hubs/conformance/rig.ts";
import { hubTest } from "./hub_test_case.ts";

// What opening libevent leaves open, it keeps.
if (libevent.isAvailable()) await new libevent.Hub().close();

/** Readiness by hand: what is in `ready` is reported, masked by the interest. */
class Manual implements Poller {
  readonly watched = new Map<number, number>();
  readonly ready = new Map<number, number>();
  closed = 0;

  watch(fd: number, interest: number): void {
    if (interest === 0) this.watched.delete(fd);
    else this.watched.set(fd, interest);
  }

  sweep(report: Report): number {
    for (const [fd, bits] of this.ready) report(fd, bits);
    return this.ready.size;
  }

  close(): void {
    this.closed++;
  }
}

/** Use a hub over a poller. */
function useMade<P extends Poller>(poller: P): P {
  class Made extends BaseHub {
    constructor() {
      super(poller);
    }
  }
  useHub(Made);
  return poller;
}

hubTest("new BaseHub() wants the three methods of a poller", () => {
  const whole: Poller = new Manual();
  for (const missing of ["watch", "sweep", "close"]) {
    const part = { watch: whole.watch, sweep: whole.sweep, close: whole.close };
    Reflect.deleteProperty(part, missing);
    assertThrows(() => new BaseHub(part as Poller), TypeError, missing);
  }
  assertThrows(() => new BaseHub(null as unknown as Poller), TypeError);
});

hubTest(
  "new BaseHub() takes its name from the poller, else from the class",
  async () => {
    class Named extends Manual {
      readonly name = "by hand";
    }
    class Manually extends BaseHub {
      constructor() {
        super(new Manual());
      }
    }
    for (
      const [hub, name] of [
        [new BaseHub(new Named()), "by hand"],
        [new Manually(), "Manually"],
      ] as const
    ) {
      assertEquals(hub.name, name);
      await hub.close();
    }
  },
);

for (const [name, module] of Object.entries({ epolls, poll, selects })) {
  hubTest(`new Hub({ clock }) of ${name} takes a clock`, async () => {
    const hub = new module.Hub({ clock: () => 42 });
    assertEquals(hub.clock(), 42);
    await hub.close();
    assertThrows(() => new module.Hub({ clock: 5 as never }), TypeError);
    const plain = new module.Hub();
    assert(Math.abs(plain.clock() - plain.clock()) < 1000);
    await plain.close();
  });
}

for (
  const [name, module] of Object.entries({ epolls, poll, selects, libevent })
) {
  hubTest(`new Hub(options) of ${name} refuses wrong types`, async () => {
    if (!module.isAvailable()) return;
    const make = (options: unknown) => () =>
      new module.Hub(options as HubOptions);
    for (const options of [7, "x", true, Symbol("options"), () => {}]) {
      assertThrows(make(options), TypeError, "options is no object");
    }
    assertThrows(make({ parking: 5 }), TypeError, "parking");
    assertThrows(make({ parking: "rubbish" }), RangeError, '"rubbish"');
    assertThrows(make({ briefWait: "x" }), TypeError, "briefWait");
    assertThrows(make({ briefWait: NaN }), RangeError, "briefWait");
    assertThrows(make({ briefWait: -1 }), RangeError, "briefWait");
    const none = { parking: null, briefWait: null, clock: null };
    for (const options of [null, undefined, {}, none, { briefWait: 2 }]) {
      await make(options)().close();
    }
  });
}

hubTest("new BaseHub() closes a poller whose options are refused", () => {
  for (const options of [7, { parking: 5 }, { clock: 5 }, { briefWait: -1 }]) {
    const poller = new Manual();
    assertThrows(() => new BaseHub(poller, options as HubOptions));
    assertEquals(poller.closed, 1);
  }
});

hubTest(
  "a poller that reports what nobody asked for is told to forget it",
  async (rig) => {
    const poller = useMade(new Manual());
    const hub = getHub();
    const calls: number[] = [];
    hub.add(1, 5, (fd) => calls.push(fd), never);
    poller.ready.set(77, 3);
    poller.ready.set(5, 3);
    poller.watched.set(77, 1);
    await rig.passes(3);
    assert(calls.length >= 2);
    assertEquals(poller.watched.has(77), false);
    assertEquals(poller.watched.get(5), 1);
  },
);

hubTest("a hub of ours refuses what is not open at once", (rig) => {
  // Made here, it does not take the number that is closed.
  const hub = getHub();
  const [reader] = rig.pipe();
  rig.close(reader);
  assert(refusesAtOnce(hub, reader));
});

hubTest(
  "a poller that reports BAD: EBADF for reader and writer, once",
  async (rig) => {
    const poller = useMade(new Manual());
    const hub = getHub();
    const lost: string[] = [];
    const note = (error: Error): unknown =>
      lost.push((error as Error & { code: string }).code);
    hub.add(1, 5, never, note);
    hub.add(2, 5, never, note);
    poller.ready.set(5, 4);
    await rig.passes(3);
    assertEquals(lost, ["EBADF", "EBADF"]);
    assertEquals(poller.watched.size, 0);
    rig.assertIdle();
  },
);

hubTest(
  "a poller that reports a descriptor twice: one call of each listener",
  async (rig) => {
    const poller = useMade(new Manual());
    const hub = getHub();
    const calls: string[] = [];
    const passes = (): number => hub.statistics().passes;
    hub.add(1, 5, () => calls.push(`read in ${passes()}`), never);
    hub.add(2, 5, () => calls.push(`write in ${passes()}`), never);
    poller.sweep = (report) => {
      // Each direction by itself, and then again.
      for (const bits of [1, 2, 1, 3]) report(5, bits);
      return 4;
    };
    await rig.passes(4);
    assert(calls.length >= 6, `${calls}`);
    assertEquals(calls.length, new Set(calls).size);
  },
);

hubTest(
  "a poller that refuses a descriptor leaves nothing in the hub",
  async (rig) => {
    const refusal = new Error("refused");
    const poller = useMade(new Manual());
    poller.watch = (_fd, interest) => {
      if (interest !== 0) throw refusal;
    };
    const hub = getHub();
    for (let i = 0; i < 2; i++) {
      assertStrictEquals(
        assertThrows(() => hub.add(1, 5, never, never)),
        refusal,
      );
      const error = await failure(
        trampoline(5, { read: true, timeout: 60_000 }),
      );
      assertStrictEquals(error, refusal);
    }
    rig.assertIdle();
    await sleep(1);
  },
);

hubTest(
  "a poller whose sweep throws fails its waiters and is reported",
  async (rig) => {
    const poller = useMade(new Manual());
    const broken = new Error("sweep failed");
    const gt = spawn(() => failure(trampoline(5, { read: true })));
    await sleep();
    poller.sweep = () => {
      throw broken;
    };
    assertStrictEquals(await within(5000, gt.wait()), broken);
    poller.sweep = () => 0;
    // The next switch starts MAINLOOP again.
    await within(5000, sleep(1));
    assertMatch(rig.takeReports().join(), /sweep failed/);
    rig.assertIdle();
  },
);

hubTest(
  "a poller that is called by its hub is never re-entered",
  async (rig) => {
    let inside = 0;
    class Careful extends Manual {
      override watch(fd: number, interest: number): void {
        assertEquals(inside, 0, "watch() during sweep()");
        super.watch(fd, interest);
      }
      override sweep(report: Report): number {
        inside++;
        try {
          return super.sweep(report);
        } finally {
          inside--;
        }
      }
    }
    const poller = useMade(new Careful());
    const hub = getHub();
    for (const fd of [5, 6, 7]) {
      const listener = hub.add(1, fd, () => {
        hub.remove(listener);
        hub.remove(hub.add(1, fd + 10, never, never));
      }, never);
      poller.ready.set(fd, 3);
    }
    hub.add(1, 8, never, () => {});
    poller.ready.set(8, 4);
    await rig.passes(4);
    rig.assertIdle();
  },
);

hubTest(
  "close() closes the poller once, after its park has ended",
  async () => {
    const order: string[] = [];
    let ended = Promise.withResolvers<void>();
    class Slow extends Manual {
      async park(): Promise<void> {
        order.push("park");
        await ended.promise;
        await new Promise((resolve) => setTimeout(resolve, 5));
        order.push("ended");
        ended = Promise.withResolvers<void>();
      }
      wake(): void {
        order.push("wake");
        ended.resolve();
      }
      override close(): void {
        order.push("close");
      }
    }
    useMade(new Slow());
    const hub = getHub();
    hub.add(1, 5, never, never);
    while (!order.includes("park")) {
      await new Promise((go) => setTimeout(go, 1));
    }
    assertEquals(hub.statistics().parking, "poller");
    await Promise.all([hub.close(), hub.close()]);
    const once = order.filter((what, i) => what !== order[i - 1]);
    assertEquals(once, ["park", "wake", "ended", "close"]);
  },
);

hubTest("a poller whose park rejects is no reason to end", async (rig) => {
  class Rejecting extends Manual {
    parks = 0;
    async park(): Promise<void> {
      this.parks++;
      await new Promise((resolve) => setTimeout(resolve, 1));
      throw new Error("park failed");
    }
  }
  const poller = useMade(new Rejecting());
  const gt = spawn(() => trampoline(5, { read: true }));
  while (poller.parks < 3) await new Promise((go) => setTimeout(go, 1));
  poller.ready.set(5, 1);
  assertEquals(await within(5000, gt.wait()), 5);
  rig.takeReports();
});

hubTest("a poller whose park throws is swept from a timer", async () => {
  class Throwing extends Manual {
    parks = 0;
    park(): Promise<void> {
      this.parks++;
      throw new Error("park failed");
    }
  }
  const poller = useMade(new Throwing());
  const gt = spawn(() => trampoline(5, { read: true }));
  while (poller.parks === 0) await new Promise((go) => setTimeout(go, 1));
  assertEquals(await within(5000, sleep(2)), undefined);
  poller.ready.set(5, 1);
  assertEquals(await within(5000, gt.wait()), 5);
  assertEquals(getHub().statistics().parking, "none");
});

hubTest("a poller without wake() is asked for short waits only", async () => {
  const asked: (number | null)[] = [];
  class Deaf extends Manual {
    async park(timeout: number | null): Promise<void> {
      asked.push(timeout);
      await new Promise((resolve) => setTimeout(resolve, timeout ?? 60_000));
    }
  }
  useMade(new Deaf());
  getHub().add(1, 5, never, never);
  while (asked.length < 3) await new Promise((go) => setTimeout(go, 1));
  await within(5000, sleep(1));
  assert(asked.every((timeout) => timeout !== null && timeout <= 20));
});

hubTest(
  "park() is given the time until the next timer, never less",
  async () => {
    const asked: (number | null)[] = [];
    class Listening extends Manual {
      #end: (() => void) | null = null;
      park(timeout: number | null): Promise<void> {
        asked.push(timeout);
        return new Promise((resolve) => this.#end = resolve);
      }
      wake(): void {
        this.#end?.();
      }
    }
    useMade(new Listening());
    const hub = getHub();
    let now = 100;
    hub.clock = () => now;
    let fired = 0;
    hub.scheduleCallGlobal(7.25, () => fired++);
    while (asked.length === 0) await new Promise((go) => setTimeout(go, 1));
    assertEquals(asked[0], 7.25);
    now = 107.25;
    hub.clock = () => now;
    while (fired === 0) await new Promise((go) => setTimeout(go, 1));
    assertEquals(fired, 1);
  },
);

hubTest("a hub that stays idle parks for longer and longer", async () => {
  const asked: (number | null)[] = [];
  class Brief extends Manual {
    park(timeout: number | null): Promise<void> {
      asked.push(timeout);
      return Promise.resolve();
    }
    wake(): void {}
  }
  useMade(new Brief());
  getHub().add(1, 5, never, never);
  while (asked.length < 3) await new Promise((go) => setTimeout(go, 1));
  // Only to look for descriptors that were closed in silence.
  assertEquals(asked.slice(0, 3), [20, 200, 2000]);
  const before = asked.length;
  await sleep();
  while (asked.length === before) await new Promise((go) => setTimeout(go, 1));
  assertEquals(asked[before], 20);
});

hubTest("one park at a time, whatever happens meanwhile", async (rig) => {
  let underWay = 0;
  let most = 0;
  class Counting extends Manual {
    #end: (() => void) | null = null;
    async park(timeout: number | null): Promise<void> {
      most = Math.max(most, ++underWay);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, timeout ?? 1000);
        this.#end = () => {
          clearTimeout(timer);
          // It takes a while to come back.
          setTimeout(resolve, 2);
        };
      });
      underWay--;
    }
    wake(): void {
      this.#end?.();
    }
  }
  useMade(new Counting());
  for (let i = 0; i < 20; i++) {
    const gt = spawn(() => sleep(i % 3));
    await new Promise((go) => setTimeout(go, i % 4));
    getHub().scheduleCallGlobal(1, () => {});
    await gt.wait();
  }
  assertEquals(most, 1);
  rig.takeReports();
});

/** A class of hubs over BaseHub, as another language's author may write it. */
function hubClass(make: (Base: AnyClass) => AnyClass): new () => BaseHub {
  class Base extends BaseHub {
    constructor() {
      super(new Manual());
    }
  }
  return make(Base as unknown as AnyClass) as unknown as new () => BaseHub;
}

// TypeScript would have none of these: to it, clock is an accessor.
// deno-lint-ignore no-explicit-any
type AnyClass = new () => any;

let now = 0;
const OWN_CLOCKS = {
  "a method": (Base: AnyClass) =>
    class extends Base {
      readonly #step = 1;
      clock(): number {
        return now * this.#step;
      }
    },
  "a getter": (Base: AnyClass) =>
    class extends Base {
      readonly #step = 1;
      get clock(): () => number {
        return () => now * this.#step;
      }
    },
  "a field": (Base: AnyClass) =>
    class extends Base {
      clock = (): number => now;
    },
  "a getter and a setter": (Base: AnyClass) =>
    class extends Base {
      get clock(): () => number {
        const inherited = super.clock;
        return () => now + 0 * inherited();
      }
      set clock(clock: () => number) {
        super.clock = clock;
      }
    },
};

for (const [what, make] of Object.entries(OWN_CLOCKS)) {
  hubTest(`a subclass's clock that is ${what} is the timers'`, async () => {
    now = 1000;
    useHub(hubClass(make));
    const hub = getHub();
    assertEquals(hub.clock(), 1000);
    const fired: number[] = [];
    for (const ms of [20, 10]) {
      hub.scheduleCallGlobal(ms, () => fired.push(ms));
    }
    await sleep();
    now = 1009.999;
    await sleep();
    assertEquals(fired, []);
    for (now of [1010, 1020]) await sleep();
    assertEquals(fired, [10, 20]);
  });
}

hubTest(
  "a subclass that has but a setter for its clock goes by that",
  async () => {
    let set = 0;
    useHub(hubClass((Base) =>
      class extends Base {
        set clock(clock: () => number) {
          set++;
          super.clock = clock;
        }
      }
    ));
    const hub = getHub();
    const fired = Promise.withResolvers<void>();
    hub.scheduleCallGlobal(60_000, () => fired.resolve());
    hub.clock = () => Infinity;
    await within(5000, fired.promise);
    assertEquals(set, 1);
  },
);

hubTest(
  "a subclass's add() and remove() see the same listeners",
  async (rig) => {
    const seen: string[] = [];
    class Watching extends epolls.Hub {
      override add(...args: Parameters<BaseHub["add"]>): FdListener {
        seen.push(`add ${args[1]}`);
        return super.add(...args);
      }
      override remove(listener: FdListener): void {
        seen.push(`remove ${listener.fd}`);
        super.remove(listener);
      }
    }
    useHub(Watching);
    const [reader, writer] = rig.pipe();
    // Waits of the library's own are none of theirs.
    await trampoline(writer, { write: true });
    await failure(trampoline(reader, { read: true, timeout: 0 }));
    assertEquals(seen, []);
    const hub = getHub();
    hub.remove(hub.add(hub.READ, reader, never, never));
    assertEquals(seen, [`add ${reader}`, `remove ${reader}`]);
    await waitReady(writer, { write: true });
    assertEquals(seen.slice(2), [`add ${writer}`, `remove ${writer}`]);
    rig.assertIdle();
  },
);

hubTest("a subclass's name that is a getter is the hub's", async () => {
  useHub(hubClass((Base) =>
    class extends Base {
      readonly #name = "theirs";
      get name(): string {
        return this.#name;
      }
    }
  ));
  const hub = getHub();
  assertEquals(hub.name, "theirs");
  await hub.close();
  assertThrows(() => hub.add(1, 0, never, never), Error, "hub theirs");
});

hubTest("getTimers() lists live timers, soonest first", async () => {
  const hub = getHub();
  hub.clock = () => 100;
  const named = (name: string) => ({ [name]: () => {} })[name]!;
  const far = hub.scheduleCallGlobal(500, named("far"));
  const near = hub.scheduleCallGlobal(5, named("near"));
  const zero = hub.scheduleCallGlobal(0, named("zero"));
  hub.scheduleCallGlobal(7, named("gone")).cancel();
  assertEquals(hub.getTimers(), [zero, near, far]);
  assertMatch(String(near), /^Timer\(105\.000, near\)/);
  await sleep();
  far.cancel();
  near.cancel();
  assertEquals(hub.getTimers(), []);
});

hubTest("methods that take a descriptor refuse what is none", (rig) => {
  const { hub } = rig;
  for (
    const method of [
      "notifyClose",
      "markAsReopened",
      "removeDescriptor",
    ] as const
  ) {
    for (const fd of ["x", undefined, {}]) {
      assertThrows(
        () => hub[method](fd as never),
        TypeError,
        "fd is no number",
      );
    }
    for (const fd of [-1, 1.5, NaN]) {
      assertThrows(() => hub[method](fd), RangeError, "fd is no descriptor");
    }
  }
});

hubTest(
  "a poller that throws when it is to forget keeps nobody waiting",
  async (rig) => {
    class Forgetful extends Manual {
      override watch(fd: number, interest: number): void {
        if (interest === 0) throw new Error("I cannot forget");
        super.watch(fd, interest);
      }
    }
    useHub(
      class extends BaseHub {
        constructor() {
          super(new Forgetful());
        }
      },
    );
    const [reader] = rig.pipe();
    const ended = failure(
      spawn(() => trampoline(reader, { read: true })).wait(),
    );
    await sleep();
    getHub().notifyClose(reader);
    assertEquals((await within(5000, ended)).name, "IOClosed");
    const [report] = rig.takeReports();
    assertMatch(
      report!,
      new RegExp(`forget fd ${reader}: Error: I cannot forget`),
    );
  },
);

hubTest("abort() refuses what are no options, and goes on", async (rig) => {
  const { hub } = rig;
  let fired = false;
  hub.scheduleCallGlobal(1, () => fired = true);
  for (
    const [options, message] of [
      [true, "Cannot abort: options is no object: boolean"],
      ["wait", "Cannot abort: options is no object: string"],
      [{ wait: "yes" }, "Cannot abort: wait is no boolean: string"],
      [{ wait: 1 }, "Cannot abort: wait is no boolean: number"],
    ] as const
  ) {
    assertThrows(() => hub.abort(options as never), TypeError, message);
  }
  await sleep(2);
  assert(fired);
  await hub.abort({ wait: true });
  assertEquals(hub.abort(null as never), undefined);
});

hubTest("a listener's text says direction, descriptor and who", (rig) => {
  const [reader] = rig.pipe();
  const listener = getHub().add(1, reader, never, never);
  assertEquals(
    String(listener),
    `FdListener(read, fd ${reader}, GreenThread 0 (main))`,
  );
  getHub().remove(listener);
  assertMatch(String(listener), /spent/);
});

hubTest("two hubs at once: listeners stay with theirs", async (rig) => {
  const first = getHub();
  const second = new (first.constructor as new () => BaseHub)();
  const [reader, writer] = rig.pipe();
  const got = Promise.withResolvers<number>();
  second.add(1, reader, (fd) => {
    rig.read(fd);
    got.resolve(fd);
  }, never);
  rig.write(writer);
  assertEquals(await within(5000, got.promise), reader);
  assertEquals(first.getReaders(), []);
  await second.close();
  assertInstanceOf(first, BaseHub);
});

hubTest("a poller whose park fails at once is no busy loop", async (rig) => {
  class Failing extends Manual {
    parks = 0;
    // deno-lint-ignore require-await
    async park(): Promise<void> {
      this.parks++;
      throw new Error("no descriptor left");
    }
  }
  const poller = useMade(new Failing());
  const gt = spawn(() => trampoline(5, { read: true }));
  const start = performance.now();
  while (poller.parks < 4) await new Promise((go) => setTimeout(go, 1));
  const each = (performance.now() - start) / poller.parks;
  assert(each > 5, `${each} ms each`);
  poller.ready.set(5, 1);
  assertEquals(await within(5000, gt.wait()), 5);
  rig.assertIdle();
});
