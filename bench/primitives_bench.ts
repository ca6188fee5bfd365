/**
 * Queue hand-off, contended semaphore and the pool's `imap`, against eventlet
 * and gevent where `/usr/bin/python3` has them; and what debugging costs while
 * it is off.
 *
 * Each iteration does a work 10,000 times. The peers run in a process each that
 * is started beforehand; asking it costs one trip through a pipe, which is
 * nothing beside the work.
 */

import {
  getHub,
  GreenPool,
  type GreenThread,
  LightQueue,
  Semaphore,
  sleep,
  spawn,
} from "../mod.ts";
import { hubBlockingDetection } from "../hubs/debug.ts";

const N = 10_000;
/** `deno bench` takes an async function for one only if it says `async`. */
const ROUNDS = { n: 20, warmup: 3 };
const PYTHON = "/usr/bin/python3";

async function join(gts: readonly GreenThread<void>[]): Promise<void> {
  for (const gt of gts) await gt.wait();
}

async function handoff(n: number): Promise<void> {
  const queue = new LightQueue<number>(1);
  const taker = spawn(async () => {
    for (let i = 0; i < n; i++) await queue.get();
  });
  const putter = spawn(async () => {
    for (let i = 0; i < n; i++) await queue.put(i);
  });
  await join([taker, putter]);
}

async function contention(n: number): Promise<void> {
  const semaphore = new Semaphore(1);
  const work = async () => {
    for (let i = 0; i < n / 10; i++) {
      await semaphore.acquire();
      await sleep();
      semaphore.release();
    }
  };
  await join(Array.from({ length: 10 }, () => spawn(work)));
}

async function imap(n: number): Promise<void> {
  const pool = new GreenPool(10);
  const work = async (i: number) => {
    await sleep();
    return i;
  };
  let total = 0;
  const inputs = Array.from({ length: n }, (_, i) => i);
  for await (const i of pool.imap(work, inputs)) total += i;
  if (total !== n * (n - 1) / 2) throw new Error(`Wrong sum: ${total}`);
}

async function switches(n: number): Promise<void> {
  const work = async () => {
    for (let i = 0; i < n / 2; i++) await sleep();
  };
  await join([spawn(work), spawn(work)]);
}

/** A peer: a process that works when told. */
class Peer {
  readonly #child: Deno.ChildProcess;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;

  constructor(name: string) {
    const script = new URL("./peers/primitives.py", import.meta.url).pathname;
    this.#child = new Deno.Command(PYTHON, {
      args: ["-W", "ignore", script, name],
      stdin: "piped",
      stdout: "piped",
      stderr: "null",
    }).spawn();
    this.#writer = this.#child.stdin.getWriter();
    this.#reader = this.#child.stdout.getReader();
  }

  /** One line, which may come in pieces; false if there is none any more. */
  async answer(): Promise<boolean> {
    for (;;) {
      const { done, value } = await this.#reader.read();
      if (done === true) return false;
      if (value.at(-1) === 0x0a) return true;
    }
  }

  /** Have it work. */
  async work(name: string): Promise<void> {
    await this.#writer.write(new TextEncoder().encode(`${name} ${N}\n`));
    if (!await this.answer()) throw new Error(`The peer ended in ${name}`);
  }
}

async function findPeer(name: string): Promise<Peer | null> {
  try {
    const peer = new Peer(name);
    if (await peer.answer()) return peer;
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  console.warn(`Skipping ${name}: ${PYTHON} does not have it`);
  return null;
}

getHub();
const peers: [name: string, peer: Peer | null][] = [];
for (const name of ["eventlet", "gevent"]) {
  peers.push([name, await findPeer(name)]);
}

for (const work of [handoff, contention, imap]) {
  const group = `${work.name}, ${N} times`;
  Deno.bench({
    name: "greenhub",
    group,
    baseline: true,
    ...ROUNDS,
    async fn() {
      await work(N);
    },
  });
  for (const [name, peer] of peers) {
    if (peer === null) continue;
    Deno.bench({
      name,
      group,
      ...ROUNDS,
      async fn() {
        await peer.work(work.name);
      },
    });
  }
}

const group = `switches, ${N} times`;
Deno.bench({
  name: "debugging off",
  group,
  baseline: true,
  ...ROUNDS,
  async fn() {
    await switches(N);
  },
});
Deno.bench({
  name: "blocking detection on",
  group,
  ...ROUNDS,
  async fn(b) {
    hubBlockingDetection(true, 1000);
    b.start();
    await switches(N);
    b.end();
    hubBlockingDetection(false);
  },
});
