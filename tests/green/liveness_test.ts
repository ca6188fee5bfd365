/**
 * Random programs end and leave nothing. Whoever is owed something gets it,
 * whether microtasks, turns of Deno's loop, passes or plain computing lie
 * between two steps of anybody: a hub that parks though there is something to
 * do is found out here, and one that forgets a wait that was broken off.
 *
 * A program that fails names its seed; run it alone with `GREENHUB_SEED=<seed>`.
 * It need not fail each time, for the kernel has its say.
 */

import { AssertionError } from "@std/assert";
import type { Rig } from "../../hubs/conformance/rig.ts";
import {
  getHub,
  GreenEvent,
  GreenPool,
  kill,
  LightQueue,
  Queue,
  Semaphore,
  sleep,
  spawn,
  spawnAfter,
  Timeout,
  trampoline,
  waitFor,
  withTimeout,
} from "../../mod.ts";
import { connect, listen } from "../../green/net.ts";
import { generator } from "../helpers/random.ts";
import { quiet } from "../net/rig.ts";
import { greenTest } from "./helpers.ts";

const CI = Deno.env.get("CI") === "true";
const SEED = Number(Deno.env.get("GREENHUB_SEED") ?? NaN);
const PROGRAMS = CI ? 400 : 100;
/** A program takes some milliseconds; one that takes so long hangs. */
const HANGS_MS = 5000;
/** More microtasks than MAINLOOP waits for. */
const DEEP = 110;

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

async function microtasks(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await null;
}

function compute(ms: number): void {
  const end = performance.now() + ms;
  while (performance.now() < end);
}

/** One program: tasks that all must end. */
class Program {
  readonly rig: Rig;
  readonly #random: () => number;
  readonly #tasks: Promise<unknown>[] = [];

  constructor(rig: Rig, seed: number) {
    this.rig = rig;
    this.#random = generator(seed);
  }

  /** A number from 0 to below `most`. */
  fraction(most = 1): number {
    return this.#random() * most;
  }

  /** A whole number from 0 to below `n`. */
  below(n: number): number {
    return Math.floor(this.#random() * n);
  }

  /** True once in `n` times. */
  once(n: number): boolean {
    return this.below(n) === 0;
  }

  /** Call `fn` from 1 to `n` times. */
  some(n: number, fn: () => void): void {
    for (let left = 1 + this.below(n); left > 0; left--) fn();
  }

  /** It must end, and well. */
  expect(task: Promise<unknown>): void {
    this.#tasks.push(task);
  }

  /** Run `fn` as main, as code that Deno's loop has called, or in a greenthread. */
  run(fn: () => Promise<unknown>): void {
    switch (this.below(4)) {
      case 0:
        return this.expect(fn());
      case 1:
        return this.expect(turn().then(fn));
      default:
        return this.expect(spawn(fn).wait());
    }
  }

  /** Something between two steps. */
  async detour(): Promise<void> {
    switch (this.below(9)) {
      case 0:
        break;
      case 1:
        await microtasks(this.below(6));
        break;
      case 2:
        await microtasks(this.below(DEEP));
        break;
      case 3:
        await turn();
        break;
      case 4:
        compute(this.fraction(0.3));
        break;
      case 5:
        await sleep();
        break;
      case 6:
        await sleep(this.fraction(2));
        break;
      case 7:
        await waitFor(turn());
        break;
      default:
        await waitFor(Promise.resolve());
    }
  }

  async end(): Promise<void> {
    await Promise.all(this.#tasks);
  }
}

/** Puts and gets, as many of one as of the other. */
function queues(it: Program): void {
  const size = it.once(3) ? null : 1 + it.below(3);
  const queue = it.once(2)
    ? new Queue<number>(size)
    : new LightQueue<number>(size);
  it.some(3, () => {
    const share = 1 + it.below(6);
    it.run(async () => {
      for (let i = 0; i < share; i++) {
        await it.detour();
        await queue.put(i);
      }
    });
    it.run(async () => {
      for (let got = 0; got < share;) {
        await it.detour();
        const timeoutValue = -1;
        const item = it.once(4)
          ? await withTimeout(it.fraction(), () => queue.get(), {
            timeoutValue,
          })
          : await queue.get();
        if (item !== timeoutValue) got++;
      }
    });
  });
}

/** Ordinary code puts, which needs no wait; somebody else waits for it. */
function deliveries(it: Program): void {
  const queue = new Queue<number>();
  const count = it.below(5);
  it.expect((async () => {
    for (let i = 0; i < count; i++) {
      await it.detour();
      queue.tryPut(i);
    }
  })());
  it.run(async () => {
    for (let i = 0; i < count; i++) {
      if (it.once(3)) await it.detour();
      await queue.get();
    }
  });
}

function events(it: Program): void {
  const event = new GreenEvent<number>();
  it.some(3, () =>
    it.run(async () => {
      if (it.once(2)) await it.detour();
      await event.wait();
    }));
  it.expect((async () => {
    await it.detour();
    await it.detour();
    event.send(1);
  })());
}

function semaphores(it: Program): void {
  const semaphore = new Semaphore(1 + it.below(2));
  it.some(5, () =>
    it.run(async () => {
      await semaphore.acquire();
      try {
        await it.detour();
      } finally {
        semaphore.release();
      }
    }));
}

/** Whatever they wait in, they end when they are killed, and who waits is told. */
function kills(it: Program): void {
  it.some(3, () => {
    const kind = it.below(4);
    const victim = spawn(async () => {
      try {
        if (kind === 0) await sleep(1e6);
        else if (kind === 1) await new GreenEvent().wait();
        else if (kind === 2) await new Queue().get();
        else await trampoline(it.rig.pipe()[0], { read: true });
      } finally {
        if (it.once(3)) await sleep();
      }
    });
    const died = async (): Promise<void> => {
      if (await victim.wait().then(() => true, () => false)) {
        throw new AssertionError("The victim returned");
      }
    };
    it.expect(died());
    it.expect(spawn(died).wait());
    it.expect((async () => {
      await sleep();
      await it.detour();
      if (it.once(2)) victim.throw(new Error("thrown at it"));
      else await kill(victim);
    })());
  });
}

/** Bytes come one by one; waiting for them is given up now and then. */
function pipes(it: Program): void {
  const [reader, writer] = it.rig.pipe();
  const count = 1 + it.below(6);
  it.expect((async () => {
    for (let i = 0; i < count; i++) {
      await it.detour();
      it.rig.write(writer);
    }
  })());
  it.expect(
    spawn(async () => {
      for (let got = 0; got < count;) {
        if (it.once(3)) await it.detour();
        const timeout = it.once(4) ? it.fraction() : null;
        try {
          await trampoline(reader, { read: true, timeout });
        } catch (error) {
          if (!(error instanceof Timeout)) throw error;
          continue;
        }
        if (it.rig.read(reader) === 1) got++;
      }
    }).wait(),
  );
}

/** Echoes, and an end of file for each. */
function sockets(it: Program): void {
  const listener = listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  const count = 1 + it.below(4);
  it.run(async () => {
    for (let i = 0; i < count; i++) {
      const conn = await listener.accept();
      it.expect(
        spawn(async () => {
          const p = new Uint8Array(64);
          for (let n; (n = await conn.read(p)) !== null;) {
            await it.detour();
            await conn.write(p.subarray(0, n));
          }
          conn.close();
        }).wait(),
      );
    }
    listener.close();
  });
  for (let i = 0; i < count; i++) {
    it.run(async () => {
      await it.detour();
      using conn = await connect({ hostname: "127.0.0.1", port });
      const p = new Uint8Array(64);
      for (let left = it.below(4); left > 0; left--) {
        await it.detour();
        await conn.write(p.subarray(0, 1 + it.below(60)));
        await conn.read(p);
      }
    });
  }
}

function pools(it: Program): void {
  const pool = new GreenPool(1 + it.below(3));
  const count = 1 + it.below(6);
  let done = 0;
  it.run(async () => {
    for (let i = 0; i < count; i++) {
      await pool.spawnN(async () => {
        await it.detour();
        done++;
      });
    }
    await pool.waitAll();
    if (done !== count) throw new AssertionError(`${done} of ${count} done`);
  });
}

function timers(it: Program): void {
  it.expect(spawnAfter(it.fraction(3), () => it.detour()).wait());
}

const PARTS = {
  queues,
  deliveries,
  events,
  semaphores,
  kills,
  pipes,
  sockets,
  pools,
  timers,
};

async function runProgram(
  rig: Rig,
  seed: number,
  parts: readonly ((it: Program) => void)[],
): Promise<void> {
  const program = new Program(rig, seed);
  for (const part of parts) part(program);
  const hangs = Promise.withResolvers<never>();
  const alarm = setTimeout(() => {
    const state = JSON.stringify(getHub().statistics());
    hangs.reject(new AssertionError(`It does not end: ${state}`));
  }, HANGS_MS);
  try {
    await Promise.race([program.end(), hangs.promise]);
    await quiet();
  } catch (cause) {
    throw new AssertionError(`GREENHUB_SEED=${seed}: ${cause}`, { cause });
  } finally {
    clearTimeout(alarm);
  }
}

/** All seeds, or the one that was asked for. */
function seeds(): number[] {
  if (!Number.isNaN(SEED)) return [SEED];
  return Array.from({ length: PROGRAMS }, (_, seed) => seed);
}

for (const [name, part] of Object.entries(PARTS)) {
  greenTest(`random programs of ${name} end and leave nothing`, async (rig) => {
    for (const seed of seeds()) await runProgram(rig, seed, [part]);
  });
}

greenTest("random programs of all kinds end and leave nothing", async (rig) => {
  for (const seed of seeds()) {
    // Each has some of them.
    const random = generator(~seed);
    const parts = Object.values(PARTS).filter(() => random() < 0.6);
    await runProgram(rig, seed, parts);
  }
});
