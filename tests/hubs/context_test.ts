/**
 * The current value follows the code, in both ways there are, and beside the
 * `AsyncLocalStorage`s of others.
 */

import { AsyncLocalStorage } from "node:async_hooks";
import { assert, assertEquals } from "@std/assert";
import {
  type Context,
  directContext,
  internals,
  storedContext,
} from "../../hubs/context.ts";
import { getCurrent, getHub, sleep, spawn } from "../../mod.ts";
import { close, pipe, write } from "../helpers/pipes.ts";

getHub();

function ways(): [name: string, context: Context<string>][] {
  const core = internals();
  assert(core !== null, "this Deno has no such corner");
  return [["direct", directContext(core)], ["stored", storedContext()]];
}

for (const [name, context] of ways()) {
  Deno.test(`Context (${name}) follows the code across awaits`, async () => {
    const other = new AsyncLocalStorage<number>();
    const seen: unknown[] = [];
    const { promise, resolve } = Promise.withResolvers<void>();
    other.run(7, () => {
      context.run("a", () => {
        void (async () => {
          await null;
          seen.push(context.get(), other.getStore());
          await new Promise((done) => setTimeout(done, 1));
          seen.push(context.get(), other.getStore());
          other.run(8, () => seen.push(context.get(), other.getStore()));
          context.run("b", () => seen.push(context.get(), other.getStore()));
          seen.push(context.get());
          resolve();
        })();
      });
      seen.push(context.get(), other.getStore());
    });
    seen.push(context.get());
    await promise;
    assertEquals(seen, [
      ...[undefined, 7, undefined],
      ...["a", 7, "a", 7, "a", 8, "b", 7, "a"],
    ]);
  });

  Deno.test(`Context (${name}) enters for one reaction only`, async () => {
    const entered = Promise.resolve().then(async () => {
      context.enter("in");
      await null;
      return context.get();
    });
    assertEquals(await entered, "in");
    assertEquals(context.get(), undefined);
  });
}

Deno.test("spawn() hands on the AsyncLocalStorages of the spawner", async () => {
  const request = new AsyncLocalStorage<string>();
  const inner = request.run("42", () =>
    spawn(async () => {
      await sleep();
      const deep = spawn(() => request.getStore());
      return [request.getStore(), await deep.wait()];
    }));
  const outer = spawn(() => request.getStore());
  assertEquals(await inner.wait(), ["42", "42"]);
  assertEquals(await outer.wait(), undefined);
});

Deno.test("getCurrent() is right within and without other storages", async () => {
  const storage = new AsyncLocalStorage<number>();
  const main = getCurrent();
  const gt = spawn(async () => {
    const seen = [getCurrent()];
    await storage.run(1, async () => {
      seen.push(getCurrent());
      await sleep(1);
      seen.push(getCurrent());
    });
    return seen;
  });
  assertEquals(await gt.wait(), [gt, gt, gt]);
  assertEquals(storage.run(1, getCurrent), main);
});

Deno.test("spawn() hands on nothing of whoever launched MAINLOOP", async () => {
  const storage = new AsyncLocalStorage<number>();
  await getHub().close();
  await storage.run(9, () => sleep());
  const gt = spawn(async () => {
    const first = storage.getStore();
    await sleep();
    return [first, storage.getStore(), getCurrent()];
  });
  assertEquals(await gt.wait(), [undefined, undefined, gt]);
});

Deno.test("timers hand on the AsyncLocalStorages of who has made them", async () => {
  const request = new AsyncLocalStorage<string>();
  const hub = getHub();
  const seen: unknown[] = [];
  const callback = (way: string): void => {
    seen.push(way, request.getStore(), getCurrent() === hub.greenlet);
    spawn(() => seen.push(`${way}: ${request.getStore()}`));
  };
  request.run("a", () => hub.scheduleCallGlobal(0, callback, "global"));
  request.run("b", () => hub.scheduleCallLocal(0, callback, "local"));
  hub.scheduleCallGlobal(0, callback, "bare");
  assertEquals(hub.getTimers().map((timer) => timer.what), [
    "callback",
    "callback",
    "callback",
  ]);
  await sleep();
  await sleep();
  assertEquals(seen, [
    ...["global", "a", true],
    ...["local", "b", true],
    ...["bare", undefined, true],
    ...["global: a", "local: b", "bare: undefined"],
  ]);
});

/** So many that whatever has happened has been told of. */
async function passes(): Promise<void> {
  for (let i = 0; i < 4; i++) await sleep();
}

Deno.test("listeners hand on the AsyncLocalStorages of who has added them", async () => {
  const request = new AsyncLocalStorage<string>();
  const hub = getHub();
  const [read, end] = pipe();
  const seen: unknown[] = [];
  const tell = (what: string): void => {
    seen.push(what, request.getStore(), getCurrent() === hub.greenlet);
  };
  function ready(): void {
    tell("cb");
    spawn(() => seen.push(`spawned: ${request.getStore()}`));
    hub.remove(listener);
  }
  const lost = (): void => tell("tb");
  const reopened = (): void => void seen.push(request.getStore());
  const listener = request.run("a", () => hub.add(hub.READ, read, ready, lost));
  assertEquals(listener.cb.name, "ready");
  write(end);
  await passes();
  assertEquals(seen.splice(0), ["cb", "a", true, "spawned: a"]);

  request.run("b", () => hub.add(hub.READ, read, () => {}, lost));
  hub.notifyClose(read);
  await passes();
  assertEquals(seen.splice(0), ["tb", "b", true]);

  request.run("c", () => hub.add(hub.READ, read, () => {}, lost, reopened));
  hub.markAsReopened(read);
  await passes();
  assertEquals(seen, ["c", "tb", "c", true]);
  close(read, end);
});

Deno.test("MAINLOOP's callbacks see nothing of whoever launched it", async () => {
  const storage = new AsyncLocalStorage<number>();
  await getHub().close();
  await storage.run(9, () => sleep());
  const seen = await new Promise((resolve) =>
    getHub().scheduleCallGlobal(0, () => resolve(storage.getStore()))
  );
  assertEquals(seen, undefined);
});

Deno.test("spawn() ends the right one, whatever its function enters", async () => {
  const storage = new AsyncLocalStorage<number>();
  const gts = [1, 2, 3].map((n) =>
    spawn(async () => {
      storage.enterWith(n);
      await sleep();
      if (n === 3) throw new Error("third");
      return n;
    })
  );
  const ends = await Promise.allSettled(gts.map((gt) => gt.wait()));
  assertEquals(
    ends.map((end) => end.status === "fulfilled" ? end.value : "failed"),
    [1, 2, "failed"],
  );
});
