/**
 * Programs that must type-check. Most of the test is that `deno check` passes;
 * they are run as well.
 */

import { assertEquals } from "@std/assert";
import {
  asyncIO,
  getHub,
  GreenEvent,
  GreenPile,
  GreenPool,
  type GreenThread,
  type HubClass,
  type HubModule,
  PriorityQueue,
  Queue,
  Semaphore,
  spawn,
  spawnAfter,
  spawnAfterLocal,
  trampoline,
  useHub,
  waitFor,
  waitReady,
  withTimeout,
} from "../mod.ts";
import {
  connect,
  type Handler,
  listen,
  type Listener,
  serve,
  StopServe,
  type StreamConn,
} from "../green/net.ts";
import { hubTest } from "./hubs/hub_test_case.ts";

getHub();

/** Compiles only if A and B are the same type. */
function same<A, B>(
  _: (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? A
    : never,
): void {}

const cache = new Map([["a", Promise.resolve(1)]]);
/** A promise for what is in the cache, else no promise. */
const look = (key: string): Promise<number> | string =>
  cache.get(key) ?? "none";

hubTest(
  "a function that sometimes returns a promise can be spawned",
  async () => {
    const pool = new GreenPool(2);
    const pile = new GreenPile(pool);
    const gts = [
      spawn(look, "a"),
      spawnAfter(0, look, "a"),
      spawnAfterLocal(0, look, "a"),
      await pool.spawn(look, "a"),
    ];
    for (const gt of gts) {
      const got = await gt.wait();
      same<typeof got, string | number>(got);
      assertEquals(got, 1);
    }
    for (
      const map of [
        pool.imap(look, ["a", "b"]),
        pool.starmap(look, [["a"], ["b"]]),
        pile.imap(look, ["a", "b"]),
        pile.starmap(look, [["a"], ["b"]]),
      ]
    ) {
      const all: (string | number)[] = [];
      for await (const got of map) {
        same<typeof got, string | number>(got);
        all.push(got);
      }
      assertEquals(all, [1, "none"]);
    }
    const limited = await withTimeout(null, () => look("b"));
    same<typeof limited, string | number>(limited);
    const or = await withTimeout(5, () => look("b"), { timeoutValue: null });
    same<typeof or, string | number | null>(or);
    const waited = await waitFor(look("b"));
    same<typeof waited, string | number>(waited);
  },
);

hubTest("what is spawned gives the type of its result", async () => {
  function later<T>(fn: () => Promise<T>): GreenThread<T> {
    return spawn(fn);
  }
  function now<T>(fn: () => T): GreenThread<T> {
    return spawn(fn);
  }
  function identity<T>(value: T): T {
    return value;
  }
  const results: number[] = [
    await later(() => Promise.resolve(1)).wait(),
    await now(() => 2).wait(),
    await spawn(identity, 3).wait(),
    await spawn((n: number) => n, 4).wait(),
    await spawn(async (n: number) => await n, 5).wait(),
    await spawn<[string], number>((text) => Number(text), "6").wait(),
    await spawn<[], number>(() => Promise.resolve(7)).wait(),
    await withTimeout<number>(5, () => Promise.resolve(8)),
  ];
  assertEquals(results, [1, 2, 3, 4, 5, 6, 7, 8]);
  const pool = new GreenPool();
  const map = pool.imap(async (a: number, b: string) => await a + b, [1], [
    "x",
  ]);
  assertEquals((await map.next()).value satisfies string | undefined, "1x");
  // @ts-expect-error: there is no such argument
  spawn((n: number) => n, "x").cancel();
  // @ts-expect-error: nor one too few
  spawn((n: number) => n).cancel();
  // @ts-expect-error: and a result is what it is
  (spawn(() => 1) satisfies GreenThread<string>).cancel();
});

hubTest("one serve takes either kind of listener", async () => {
  for (const path of [undefined, Deno.makeTempDirSync() + "/socket"]) {
    const listener = path
      ? listen({ transport: "unix", path })
      : listen({ hostname: "127.0.0.1", port: 0 });
    const server = spawn(() =>
      serve(listener, async (conn) => {
        // Both have what streams have; only one of them has no delay.
        await conn.write(new Uint8Array(3));
        if ("setNoDelay" in conn) conn.setNoDelay();
        throw new StopServe();
      }, { onError: (error, conn) => console.error(error, conn.remoteAddr) })
    );
    const client = "port" in listener.addr
      ? await connect({ port: listener.addr.port })
      : await connect({ transport: "unix", path: listener.addr.path });
    assertEquals(await client.read(new Uint8Array(8)), 3);
    await server.wait();
    client.close();
    listener.close();
    if (path) Deno.removeSync(path.replace("/socket", ""));
  }
});

/** Compiles: what serves any listener need not know which. */
export function serveAny<T extends StreamConn>(
  listener: Listener<T>,
  handler: Handler<T>,
): Promise<void> {
  return serve(listener, handler);
}

/** Compiles: a hub from the settings is whatever they say. */
export async function useConfigured(
  hub: string | null | undefined | HubModule | HubClass,
): Promise<void> {
  await useHub(hub);
}

/** Compiles: an option that may be undefined may be passed on. */
export async function passOn(given: {
  readonly timeout?: number | null;
  readonly signal?: AbortSignal;
  readonly error?: Error;
  readonly flag?: boolean;
  readonly text?: string;
  readonly number?: number;
}): Promise<void> {
  const { timeout, signal, error, flag, text, number } = given;
  const markAsClosed = undefined;
  const waits = { timeout, signal };
  const io = { ...waits, read: flag, write: flag, timeoutError: error };
  await trampoline(0, { ...io, markAsClosed });
  await waitReady(0, { ...io, markAsClosed });
  await asyncIO(0, { ...io, markAsClosed, syscall: text }, () => 0);
  await waitFor(Promise.resolve(), waits);
  await new GreenEvent().wait(waits);
  await new Semaphore(1).acquire({ ...waits, block: flag });
  await new Queue().get({ ...waits, block: flag });
  new PriorityQueue(number, { compare: undefined });
  await withTimeout(timeout, () => {}, { error });
  const tcp = { port: 1, hostname: text, transport: undefined, noDelay: flag };
  await connect({ ...tcp, ...waits });
  await connect({ transport: "unix", path: "/", ...waits });
  listen({ ...tcp, backlog: number, tcpBacklog: number, reusePort: flag });
  await serve(listen(tcp), () => {}, {
    concurrency: number,
    onError: undefined,
  });
}
