/** Calls into C: their errors, and the way from EAGAIN to a result. */

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { check } from "../ffi/errors.ts";
import { libc, LIBC_PATHS } from "../ffi/libc.ts";
import {
  asyncIO,
  getHub,
  GreenletExit,
  HubError,
  notifyClose,
  notifyOpened,
  sleep,
  spawn,
  systemCall,
  SystemError,
  Timeout,
  tryIO,
} from "../mod.ts";
import { failure } from "../hubs/conformance/rig.ts";
import { assertStarvesNobody, greenTest } from "./green/helpers.ts";
import { projectUrl, runProgram } from "./helpers/spawn.ts";

getHub();

const EFD_NONBLOCK = 0o4000;

/** A counter: reading it takes it, and is EAGAIN while it is 0. */
class Counter implements Disposable {
  readonly fd: number = check(libc().eventfd(0, EFD_NONBLOCK), "eventfd");
  readonly value = new BigUint64Array(1);
  calls = 0;

  readonly read = (): number => {
    this.calls++;
    return libc().read(this.fd, new Uint8Array(this.value.buffer), 8);
  };

  add(count: bigint): void {
    const bytes = new Uint8Array(new BigUint64Array([count]).buffer);
    check(libc().write(this.fd, bytes, 8), "write");
  }

  [Symbol.dispose](): void {
    libc().close(this.fd);
    const hub = getHub();
    assertEquals([...hub.getReaders(), ...hub.getWriters()], []);
    assertEquals(hub.getTimersCount(), 0);
  }
}

Deno.test("systemCall() returns the result as a number", () => {
  assertEquals(systemCall(() => 7, "seven"), 7);
  assertEquals(systemCall(() => 7n, "seven"), 7);
});

Deno.test("systemCall() throws what errno says, by name", () => {
  const error = assertThrows(
    () => systemCall(() => libc().close(2 ** 30), "close"),
    SystemError,
  );
  assertEquals([error.code, error.syscall], ["EBADF", "close"]);
});

Deno.test("systemCall() has nothing to wait for: EAGAIN is an error", () => {
  using counter = new Counter();
  const error = assertThrows(
    () => systemCall(counter.read, "read"),
    SystemError,
  );
  assertEquals(error.code, "EAGAIN");
});

Deno.test("systemCall() knows errno in a program that used no hub yet", async () => {
  const { stdout, stderr } = await runProgram(
    `import { systemCall } from "${projectUrl("mod.ts")}";
     const { dup } = Deno.dlopen("libc.so.6", {
       dup: { parameters: ["i32"], result: "i32" },
     }).symbols;
     try {
       systemCall(() => dup(-1), "dup");
     } catch (error) {
       console.log(error.code);
     }`,
    { flags: ["--allow-ffi"] },
  );
  assertEquals(stdout, "EBADF\n", stderr);
});

Deno.test("systemCall() knows errno when only libc is granted", async () => {
  const path = LIBC_PATHS.find((path) => {
    try {
      return Deno.statSync(path).isFile;
    } catch {
      return false;
    }
  });
  const { stdout, stderr } = await runProgram(
    `import { asyncIO, systemCall } from "${projectUrl("mod.ts")}";
     const libc = Deno.dlopen("${path}", {
       eventfd: { parameters: ["u32", "i32"], result: "i32" },
       read: { parameters: ["i32", "buffer", "usize"], result: "isize" },
     }).symbols;
     const fd = systemCall(() => libc.eventfd(1, ${EFD_NONBLOCK}), "eventfd");
     const value = new BigUint64Array(1);
     const read = () => libc.read(fd, value, 8n);
     console.log(await asyncIO(fd, { read: true }, read), value[0]);
     await asyncIO(fd, { read: true, timeout: 1 }, read).catch((error) => {
       console.log(error.name);
     });`,
    { flags: [`--allow-ffi=${path}`] },
  );
  assertEquals(stdout, "8 1n\nTimeout\n", stderr);
});

Deno.test("tryIO() is null on EAGAIN, also in MAINLOOP", async () => {
  using counter = new Counter();
  assertEquals(tryIO(counter.read, "read"), null);
  const { promise, resolve } = Promise.withResolvers<number | null>();
  getHub().scheduleCallGlobal(0, () => resolve(tryIO(counter.read, "read")));
  assertEquals(await promise, null);
  counter.add(3n);
  assertEquals(tryIO(counter.read, "read"), 8);
  assertEquals(counter.value[0], 3n);
});

Deno.test("asyncIO() does not wait when the first try succeeds", async () => {
  using counter = new Counter();
  counter.add(1n);
  const { passes } = getHub().statistics();
  assertEquals(await asyncIO(counter.fd, { read: true }, counter.read), 8);
  assertEquals([counter.calls, getHub().statistics().passes], [1, passes]);
});

greenTest("asyncIO() that never waits starves nobody", async (rig) => {
  using counter = new Counter();
  const options = { read: true };
  await assertStarvesNobody(rig, () => asyncIO(counter.fd, options, () => 8));
});

for (
  const [name, notify] of [
    ["notifyClose()", notifyClose],
    ["notifyOpened()", notifyOpened],
  ] as const
) {
  Deno.test(`asyncIO() does not use what ${name} says is gone`, async () => {
    const outcomes = new Map<string, number>();
    let marked = 0;
    // More than may succeed at once, whichever of them it is that others go before.
    for (let i = 0; i < 100; i++) {
      using counter = new Counter();
      const options = { read: true, markAsClosed: () => marked++ };
      const reader = spawn(() => asyncIO(counter.fd, options, counter.read));
      const outcome = failure(reader.wait());
      await sleep();
      notify(counter.fd);
      // The same number, and somebody else's by now.
      counter.add(1n);
      const { name } = await outcome;
      outcomes.set(name, (outcomes.get(name) ?? 0) + 1);
    }
    assertEquals([...outcomes], [["IOClosed", 100]]);
    assertEquals(marked, notify === notifyOpened ? 100 : 0);
  });
}

Deno.test("asyncIO() waits on EAGAIN and tries again", async () => {
  using counter = new Counter();
  const reader = spawn(() =>
    asyncIO({ fileno: () => counter.fd }, { read: true }, counter.read)
  );
  await sleep();
  counter.add(2n);
  assertEquals(await reader.wait(), 8);
  assertEquals([counter.calls, counter.value[0]], [2, 2n]);
});

Deno.test("asyncIO() waits again when somebody else was quicker", async () => {
  using counter = new Counter();
  const reader = spawn(() =>
    asyncIO(counter.fd, { read: true }, () => {
      // Ready at the second try, but taken by another reader.
      if (counter.calls === 1) assertEquals(counter.read(), 8);
      return counter.read();
    })
  );
  await sleep();
  counter.add(1n);
  while (counter.calls < 3) await sleep();
  counter.add(4n);
  assertEquals(await reader.wait(), 8);
  assertEquals(counter.value[0], 4n);
});

Deno.test("asyncIO() limits all its waits together", async () => {
  using counter = new Counter();
  const hub = getHub();
  const { clock } = hub;
  let now = 1_000;
  hub.clock = () => now;
  try {
    const reader = spawn(() =>
      asyncIO(counter.fd, { read: true, timeout: 100 }, () => {
        if (counter.calls > 0) counter.read(); // Taken by another reader.
        return counter.read();
      })
    );
    const end = assertRejects(() => reader.wait(), Timeout, "100 ms");
    await sleep();
    now += 60;
    counter.add(1n);
    while (counter.calls < 3) await sleep();
    now += 60;
    await end;
  } finally {
    hub.clock = clock;
  }
});

Deno.test("asyncIO() rejects with the call's own error", async () => {
  const error = await assertRejects(
    () => asyncIO(0, { read: true, syscall: "dup" }, () => libc().close(-1)),
    SystemError,
  );
  assertEquals([error.code, error.syscall], ["EBADF", "dup"]);
});

Deno.test("asyncIO() rejects wrong options and MAINLOOP when it has to wait", async () => {
  using counter = new Counter();
  for (const wrong of [{}, { read: "no" as never, timeout: 0 }]) {
    const call = () => asyncIO(counter.fd, wrong, counter.read);
    await assertRejects(call, TypeError);
  }
  const { promise, resolve } = Promise.withResolvers<unknown>();
  getHub().scheduleCallGlobal(0, () => {
    asyncIO(counter.fd, { read: true }, counter.read).catch(resolve);
  });
  assertEquals((await promise as Error).constructor, HubError);
});

Deno.test("asyncIO() is undone by kill", async () => {
  using counter = new Counter();
  const reader = spawn(() =>
    asyncIO(counter.fd, { read: true, timeout: 60_000 }, counter.read)
  );
  await sleep();
  const end = assertRejects(() => reader.wait(), GreenletExit);
  await reader.kill();
  await end;
});
