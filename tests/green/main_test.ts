/** The primitives in code that nobody spawned: all of it is main. */

import { assert, assertEquals } from "@std/assert";
import {
  getCurrent,
  getHub,
  GreenEvent,
  GreenLocal,
  GreenPool,
  Queue,
  Semaphore,
  sleep,
  spawn,
} from "../../mod.ts";
import { greenTest, settle } from "./helpers.ts";
import { projectUrl, runProgram } from "../helpers/spawn.ts";

greenTest("a Deno.serve handler waits as main, several at once", async () => {
  const queue = new Queue<string>();
  const main = getCurrent();
  const local = new GreenLocal<string>(() => "main's");
  const allIn = new GreenEvent();
  const server = Deno.serve({
    hostname: "127.0.0.1",
    port: 0,
    onListen() {},
  }, async () => {
    assert(getCurrent() === main);
    if (queue.getting === 2) setTimeout(() => allIn.send());
    return new Response(`${await queue.get()} ${local.get()}`);
  });
  const { port } = server.addr;
  const asked = [1, 2, 3].map(async () =>
    await (await fetch(`http://127.0.0.1:${port}/`)).text()
  );
  const worker = spawn(async () => {
    await allIn.wait();
    assertEquals(queue.getting, 3);
    for (const item of ["a", "b", "c"]) {
      await queue.put(item);
      await sleep();
    }
  });
  await worker.wait();
  assertEquals((await Promise.all(asked)).sort(), [
    "a main's",
    "b main's",
    "c main's",
  ]);
  await server.shutdown();
});

greenTest("callbacks of setTimeout use every primitive", async () => {
  const done = Promise.withResolvers<unknown[]>();
  setTimeout(async () => {
    const sem = new Semaphore(0);
    const event = new GreenEvent<number>();
    const pool = new GreenPool(1);
    setTimeout(() => sem.release());
    const got: unknown[] = [await sem.acquire()];
    setTimeout(() => event.send(2));
    got.push(await event.wait());
    const gt = await pool.spawn(() => sleep());
    await pool.spawnN(() => got.push("pool"));
    await pool.waitAll();
    assert(gt.dead);
    done.resolve(got);
  });
  assertEquals(await done.promise, [true, 2, "pool"]);
  await settle();
});

Deno.test("a program whose main waits for ever in a queue ends by itself", async () => {
  const result = await runProgram(
    `
    import { Queue, spawn } from ${JSON.stringify(projectUrl("mod.ts"))};
    const queue = new Queue();
    spawn(() => queue.get());
    spawn(() => console.log("ran"));
  `,
    { flags: ["--allow-ffi"] },
  );
  assertEquals([result.code, result.stdout, result.stderr], [0, "ran\n", ""]);
});

Deno.test("a program that ends main lets the greenthreads finish that can", async () => {
  const result = await runProgram(
    `
    import { GreenPool, Queue, sleep, spawn } from ${
      JSON.stringify(projectUrl("mod.ts"))
    };
    const queue = new Queue<number>(1);
    spawn(async () => {
      for (let i = 0; i < 3; i++) await queue.put(i);
    });
    spawn(async () => {
      for (let i = 0; i < 3; i++) {
        await sleep(1);
        console.log(await queue.get());
      }
    });
  `,
    { flags: ["--allow-ffi"] },
  );
  assertEquals([result.code, result.stdout, result.stderr], [
    0,
    "0\n1\n2\n",
    "",
  ]);
});

greenTest(
  "what was granted is delivered though the hub stops or is closed",
  async () => {
    const queue = new Queue<number>();
    const sem = new Semaphore(0);
    for (
      const end of [
        () => getHub().abort({ wait: true }),
        () => getHub().close(),
      ]
    ) {
      const got = spawn(() => queue.get());
      const acquired = spawn(() => sem.acquire());
      await settle();
      queue.tryPut(1);
      sem.release();
      await end();
      assertEquals([await got.wait(), await acquired.wait()], [1, true]);
    }
  },
);

greenTest("who waits can be killed though its hub was closed", async () => {
  const queue = new Queue<number>();
  const gt = spawn(() => queue.get({ timeout: 60_000 }));
  await settle();
  await getHub().close();
  await gt.kill();
  assert(gt.dead);
  assertEquals(queue.getting, 0);
});

Deno.test("what is made without a type takes and gives anything", async () => {
  const event = new GreenEvent();
  const queue = new Queue();
  event.send(1);
  queue.tryPut("two");
  // The type checker has its say before the test runs.
  const one: number = await event.wait();
  const two: string = await queue.get();
  assertEquals([one, two], [1, "two"]);
});
