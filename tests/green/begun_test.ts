/**
 * Calls that are begun now and awaited later, by a greenthread that is
 * interrupted in between: nobody's unhandled rejection, which would end the
 * process. But what fails by itself, and is never awaited, is one.
 */

import { assertEquals, assertMatch, assertStrictEquals } from "@std/assert";
import {
  asyncIO,
  GreenPile,
  GreenPool,
  kill,
  LightQueue,
  readiness,
  Semaphore,
  sleep,
  spawn,
  Timeout,
  waitFor,
  withTimeout,
} from "../../mod.ts";
import { libc } from "../../ffi/libc.ts";
import { killedBefore } from "../helpers/begun.ts";
import { projectUrl, runProgram } from "../helpers/spawn.ts";
import { failure, type Rig } from "../../hubs/conformance/rig.ts";
import { greenTest, settle, StoppedClock } from "./helpers.ts";

const BYTE = new Uint8Array(1);

const macrotask = (): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, 0));

/** Run `fn`; returns the reasons of what was rejected unhandled meanwhile. */
async function unhandledIn(fn: () => Promise<void>): Promise<unknown[]> {
  const reasons: unknown[] = [];
  const note = (event: PromiseRejectionEvent): void => {
    event.preventDefault();
    reasons.push(event.reason);
  };
  globalThis.addEventListener("unhandledrejection", note);
  try {
    await fn();
    await macrotask();
  } finally {
    globalThis.removeEventListener("unhandledrejection", note);
  }
  return reasons;
}

/** A pool with one slot, in which `gate` is waited for. */
async function fullPool(gate: Promise<void>): Promise<GreenPool> {
  const pool = new GreenPool(1);
  await pool.spawnN(() => waitFor(gate));
  return pool;
}

/** Let everything that was begun come to its end. */
async function finish(): Promise<void> {
  for (let i = 0; i < 3; i++) {
    await macrotask();
    await sleep();
  }
}

/** Prepares a call that will wait, made of waits; `gate` is opened at the end. */
type Preparation = (
  gate: Promise<void>,
  rig: Rig,
) => Promise<() => Promise<unknown>>;

const CALLS: Record<string, Preparation> = {
  "pool.spawn()": async (gate) => {
    const pool = await fullPool(gate);
    return () => pool.spawn(() => {});
  },
  "pool.spawnN()": async (gate) => {
    const pool = await fullPool(gate);
    return () => pool.spawnN(() => {});
  },
  "pile.spawn()": async (gate) => {
    const pile = new GreenPile(await fullPool(gate));
    return () => pile.spawn(() => {});
  },
  "pile.next()": async (gate) => {
    const pile = new GreenPile(1);
    await pile.spawn(() => waitFor(gate));
    return () => pile.next();
  },
  "map.next()": async (gate) => {
    const pool = await fullPool(gate);
    const map = pool.imap((n: number) => n, [1]);
    return () => map.next();
  },
  "semaphore.permit()": () => {
    const semaphore = new Semaphore(0);
    return Promise.resolve(() => semaphore.permit());
  },
  "withTimeout()": (gate) =>
    Promise.resolve(() => withTimeout(1000, () => waitFor(gate))),
  "asyncIO()": (_gate, rig) => {
    const [reader] = rig.pipe();
    return Promise.resolve(() =>
      asyncIO(reader, { read: true }, () => libc().read(reader, BYTE, 1))
    );
  },
  "readiness().next()": (_gate, rig) => {
    const [reader] = rig.pipe();
    const iterator = readiness(reader, { read: true });
    return Promise.resolve(() => iterator.next());
  },
};

/** Begin the call, be interrupted in a sleep, and await the call later. */
async function beginAndAwaitLater(
  call: () => Promise<unknown>,
): Promise<unknown[]> {
  const begun = call();
  const interrupted = await failure(sleep(60_000));
  // A turn of Deno's loop: by now the rejection would have ended the process.
  await macrotask();
  return [interrupted, await failure(begun)];
}

for (const [name, prepare] of Object.entries(CALLS)) {
  greenTest(
    `${name} begun and awaited after a kill is no unhandled rejection`,
    async (rig) => {
      const gate = Promise.withResolvers<void>();
      const call = await prepare(gate.promise, rig);
      const boom = new Error("boom");
      const gt = spawn(() => beginAndAwaitLater(call));
      await sleep();
      await kill(gt, boom);
      for (const error of await gt.wait()) assertStrictEquals(error, boom);
      gate.resolve();
      await finish();
    },
  );

  greenTest(
    `${name} begun and awaited after a Timeout is no unhandled rejection`,
    async (rig) => {
      const clock = new StoppedClock();
      const gate = Promise.withResolvers<void>();
      const call = await prepare(gate.promise, rig);
      let limit: Timeout | undefined;
      const gt = spawn(async () => {
        using timeout = limit = new Timeout(10);
        const errors = await beginAndAwaitLater(call);
        return [...errors, timeout];
      });
      await sleep();
      await clock.advance(10);
      for (const error of await gt.wait()) assertStrictEquals(error, limit);
      gate.resolve();
      await finish();
    },
  );

  greenTest(
    `${name} that meets a kill from before is no unhandled rejection`,
    async (rig) => {
      const gate = Promise.withResolvers<void>();
      const call = await prepare(gate.promise, rig);
      await killedBefore(call);
      gate.resolve();
      await finish();
    },
  );
}

greenTest(
  "pool.spawn() of a member, begun and awaited after a kill, is no unhandled rejection",
  async () => {
    const pool = new GreenPool(1);
    const boom = new Error("boom");
    const member = await pool.spawn(() =>
      beginAndAwaitLater(() => pool.spawn(() => sleep(60_000)))
    );
    await settle();
    await kill(member, boom);
    for (const error of await member.wait()) assertStrictEquals(error, boom);
  },
);

greenTest(
  "pile.next() awaited after its call has failed is no unhandled rejection",
  async () => {
    const pile = new GreenPile(1);
    await pile.spawn(() => {
      throw new Error("boom");
    });
    const later = pile.next();
    await macrotask();
    assertEquals((await failure(later)).message, "boom");
  },
);

greenTest(
  "what fails by itself and is never awaited is an unhandled rejection",
  async () => {
    const pool = new GreenPool(1);
    const pile = new GreenPile(1);
    const boom = new Error("boom");
    const unhandled = await unhandledIn(async () => {
      void withTimeout(60_000, () => Promise.reject(boom));
      void new Semaphore(0).permit({ timeout: 0 });
      void pool.spawn(5 as never);
      void pile.spawn(5 as never);
      void new LightQueue().get({ block: false });
      await sleep(1);
    });
    assertEquals(
      unhandled.map((reason) => (reason as Error).name).sort(),
      ["Error", "QueueEmpty", "Timeout", "TypeError", "TypeError"],
    );
  },
);

/** Programs that an unhandled rejection would end, and what they print. */
const OWN_PROMISES: Record<string, [program: string, prints: string[]]> = {
  "a Timeout, with one begun on the side": [
    `const gt = spawn(async () => {
      const begun = job();
      try {
        using _limit = new Timeout(1);
        await sleep(1e6);
      } catch (error) {
        console.log(error.name);
      }
      await turns(3);
      return await begun.catch((error) => error.name);
    });
    console.log(await gt.wait());`,
    ["Timeout", "Timeout"],
  ],
  "kill(), with one begun on the side": [
    `const gt = spawn(async () => {
      const begun = job();
      await sleep(1e6);
      await begun;
    });
    await sleep();
    await kill(gt);
    await turns(3);
    console.log(await end(gt));`,
    ["GreenletExit"],
  ],
  "kill() in an ordinary await, with one begun on the side": [
    `const gt = spawn(async () => {
      const begun = job();
      await turns(5);
      await sleep();
      await begun;
    });
    await sleep();
    await kill(gt);
    console.log(await end(gt));`,
    ["GreenletExit"],
  ],
  "kill() of oneself that is not awaited": [
    `const gts = [
      spawn(async () => {
        kill(getCurrent());
        await sleep(1e6);
      }),
      spawn(async () => {
        const self = getCurrent();
        setTimeout(() => { self.kill(); });
        await turns(5);
        await sleep(1e6);
      }),
    ];
    for (const gt of gts) console.log(await end(gt));`,
    ["GreenletExit", "GreenletExit"],
  ],
  "kill() of oneself that is awaited, once": [
    `const gt = spawn(async () => {
      await kill(getCurrent()).catch((error) => console.log(error.name));
      await sleep();
      return "went on";
    });
    console.log(await end(gt));`,
    ["GreenletExit", "went on"],
  ],
  "kill() by a primitive": [
    `const pool = new GreenPool(0);
    const gt = spawn(async () => {
      const begun = pool.spawn(job);
      await sleep(1e6);
      await begun;
    });
    const ended = end(gt);
    await sleep();
    await kill(gt, "stop");
    await turns(3);
    console.log(await ended);`,
    ["stop"],
  ],
};

for (const [what, [program, prints]] of Object.entries(OWN_PROMISES)) {
  Deno.test(`${what} is no unhandled rejection`, async () => {
    const result = await runProgram(
      `import { getCurrent, GreenPool, kill, sleep, spawn, Timeout }
        from "${projectUrl("mod.ts")}";
      const job = async () => await sleep(1e6);
      const end = (gt) => gt.wait().catch((error) => error.name ?? error);
      const turns = async (count) => {
        while (count-- > 0) await new Promise((done) => setTimeout(done));
      };
      ${program}
      Deno.exit();`,
      { flags: ["--allow-all", "--no-check"] },
    );
    assertEquals(result.stdout.split("\n"), [...prints, ""], result.stderr);
    assertEquals(result.code, 0);
  });
}

/** Programs that an unhandled rejection must end. */
const LOUD: Record<string, string> = {
  "an async function that fails by itself": `
    spawn(() => {
      void (async () => { throw new Error("boom"); })();
    });
    await turns(3);`,
  "an async function that waits for one who is killed": `
    const gt = spawn(() => sleep(1e6));
    (async () => await gt.wait())();
    await sleep();
    await kill(gt, new Error("boom"));
    await turns(3);`,
  "one that waits for one who is killed, once it has ended": `
    const gt = spawn(() => sleep(1e6));
    await sleep();
    await kill(gt, new Error("boom"));
    (async () => await gt.wait())();
    await turns(3);`,
  "an async function of main's that waits, when something is thrown at main": `
    const main = getCurrent();
    (async () => await sleep(1e6))();
    await turns(1);
    main.throw(new Error("boom"));
    await turns(3);`,
  "an async function whose own time limit strikes": `
    spawn(() => {
      void (async () => {
        using _limit = new Timeout(1, new Error("boom"));
        await sleep(1e6);
      })();
    });
    await sleep(3);
    await turns(3);`,
};

for (const [what, program] of Object.entries(LOUD)) {
  Deno.test(`${what} stays an unhandled rejection`, async () => {
    const result = await runProgram(
      `import { getCurrent, kill, sleep, spawn, Timeout } from "${
        projectUrl("mod.ts")
      }";
      const turns = async (count) => {
        while (count-- > 0) await new Promise((done) => setTimeout(done));
      };
      const victim = spawn(() => sleep(1e6));
      await sleep();
      await kill(victim);
      ${program}
      console.log("went on");
      Deno.exit();`,
      { flags: ["--allow-all", "--no-check"] },
    );
    assertEquals([result.code, result.stdout], [1, ""]);
    assertMatch(result.stderr, /Uncaught \(in promise\) Error: boom/);
  });
}
