/**
 * The life of a park: `close()` and `useHub()` while it is under way, and two
 * hubs in turn, by each way. Neither a descriptor nor a mapping nor a thread is
 * left.
 */

import { assert, assertEquals } from "@std/assert";
import { libc } from "../../ffi/libc.ts";
import { getHub, sleep, spawn, trampoline, useHub } from "../../mod.ts";
import { countFds } from "../helpers/fds.ts";
import { useWay, type Way, WAYS } from "../helpers/ways.ts";

const ROUNDS = 20;

/** Deno's pool of threads for calls like these keeps one or two. */
const SLACK = 4;

interface Held {
  readonly fds: number;
  readonly maps: number;
  readonly threads: number;
}

function held(): Held {
  const maps = Deno.readTextFileSync("/proc/self/maps");
  return {
    fds: countFds(),
    maps: maps.split(/\[aio\]|io_uring/).length - 1,
    threads: [...Deno.readDirSync("/proc/self/task")].length,
  };
}

async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
}

/** Have a greenthread wait for a pipe, until the hub is parked. */
async function park(way: Way, reader: number): Promise<void> {
  useWay(way);
  const { parks } = getHub().statistics();
  spawn(() => trampoline(reader, { read: true })).link(() => {});
  spawn(() => sleep(3_600_000)).link(() => {});
  while (getHub().statistics().parks === parks) await turns(1);
}

const ENDS = {
  "close()": () => getHub().close(),
  "useHub()": async () => {
    const old = getHub();
    useHub();
    // Null unless a call is under way; it is closed as soon as that has ended.
    await old.close();
    await getHub().close();
  },
} as const;

for (const way of WAYS) {
  for (const [end, act] of Object.entries(ENDS)) {
    Deno.test(`${end} during a park leaves nothing (${way})`, async () => {
      const pair = new Int32Array(2);
      libc().pipe(pair);
      const round = async (): Promise<void> => {
        await park(way, pair[0]!);
        await act();
        await turns(3);
      };
      // The first makes what stays: the main thread's AIO context.
      await round();
      const before = held();
      for (let i = 0; i < ROUNDS; i++) await round();
      const after = held();
      assertEquals([after.fds, after.maps], [before.fds, before.maps]);
      assert(after.threads - before.threads <= SLACK, `${after.threads}`);
      for (const fd of pair) libc().close(fd);
      useHub();
    });
  }

  Deno.test(`two hubs in turn, really parked, leave nothing (${way})`, async () => {
    let parks = 0;
    const round = async (): Promise<void> => {
      useWay(way);
      await sleep(0.5);
      parks += getHub().statistics().parks;
    };
    await round();
    await getHub().close();
    const before = held();
    for (let i = 0; i < 200; i++) await round();
    await getHub().close();
    await turns(3);
    assert(parks >= 100, `${parks} parks`);
    const after = held();
    assertEquals([after.fds, after.maps], [before.fds, before.maps]);
    assert(after.threads - before.threads <= SLACK, `${after.threads}`);
    useHub();
  });
}
