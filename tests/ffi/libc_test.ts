/**
 * libc under every kind of grant. What depends on permissions runs in a Deno
 * of its own.
 */

import {
  assert,
  assertEquals,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import {
  addressOf,
  errnoCell,
  hasFullGrant,
  libc,
  LIBC_PATHS,
  whyNoLibc,
} from "../../ffi/libc.ts";
import { EBADF, ENOENT } from "../../ffi/constants.ts";
import { LIBC, LIBC_ONLY } from "../helpers/grants.ts";
import { findCommand, testWith } from "../helpers/need.ts";
import { projectUrl, runProgram } from "../helpers/spawn.ts";

libc();

const MOD = projectUrl("mod.ts");

/** Greenthreads that play ball over a pipe; and a timer, and a Deno timer. */
const PLAY = `
  import { getHub, sleep, spawn, trampoline, notifyClose } from "${MOD}";
  import { libc } from "${projectUrl("ffi/libc.ts")}";
  const pair = new Int32Array(2);
  libc().pipe(pair);
  const [reader, writer] = pair;
  const gt = spawn(async () => {
    let got = 0;
    while (got < 5) {
      await trampoline(reader, { read: true, timeout: 60_000 });
      got += libc().read(reader, new Uint8Array(1), 1);
    }
    return got;
  });
  for (let i = 0; i < 5; i++) {
    await sleep(2);
    await new Promise((resolve) => setTimeout(resolve, 1));
    await trampoline(writer, { write: true });
    libc().write(writer, new Uint8Array(1), 1);
  }
  const got = await gt.wait();
  const timeout = await trampoline(reader, { read: true, timeout: 3 })
    .catch((error) => error.name);
  const closed = await trampoline(9999, { read: true })
    .catch((error) => error.code);
  libc().close(reader);
  libc().close(writer);
  console.log(getHub().name, got, timeout, closed);
  await getHub().close();
`;

for (const name of ["epolls", "poll", "selects"]) {
  Deno.test(`libc() under --allow-ffi=<path> carries ${name} end to end`, async () => {
    assert(LIBC !== "", "no libc at the usual places");
    const { code, stdout, stderr } = await runProgram(
      `import { useHub } from "${MOD}";
       useHub("${name}");
       ${PLAY}`,
      { flags: [LIBC_ONLY] },
    );
    assertEquals(stderr, "");
    assertEquals(stdout, `${name} 5 Timeout EBADF\n`);
    assertEquals(code, 0);
  });

  Deno.test(`libc() under a plain --allow-ffi carries ${name} end to end`, async () => {
    const { stdout, stderr } = await runProgram(
      `import { useHub } from "${MOD}";
       useHub("${name}");
       ${PLAY}`,
      { flags: ["--allow-ffi"] },
    );
    assertEquals([stdout, stderr], [`${name} 5 Timeout EBADF\n`, ""]);
  });

  Deno.test(`libc() without a grant: ${name} says which flag to give`, async () => {
    const { stdout, stderr } = await runProgram(
      `import { getHub, HubError, useHub } from "${MOD}";
       try { useHub("${name}"); } catch (error) {
         console.log(error instanceof HubError, error.message);
       }`,
    );
    assertEquals(stderr, "");
    assertMatch(stdout, new RegExp(`^true .*${name}.*--allow-ffi`));
  });
}

Deno.test("libc() under a grant for another library names the flag, too", async () => {
  const { stdout, stderr } = await runProgram(
    `import { getHub, spawn, sleep } from "${MOD}";
     for (const use of [getHub, () => spawn(() => {}), () => sleep()]) {
       try { await use(); } catch (error) {
         console.log(error.name, error.message);
       }
     }`,
    { flags: ["--allow-ffi=/nonexistent/libother.so"] },
  );
  assertEquals(stderr, "");
  const lines = stdout.trim().split("\n");
  assertEquals(lines.length, 3);
  for (const line of lines) {
    assertMatch(line, /^HubError Cannot find an available hub.*--allow-ffi/);
  }
});

Deno.test("libc() finds a grant that is a folder's", async () => {
  assert(LIBC !== "");
  const { stdout, stderr } = await runProgram(PLAY, {
    flags: [`--allow-ffi=${LIBC.replace(/\/[^/]*$/, "")}`],
  });
  assertEquals(stderr, "");
  assertStringIncludes(stdout, "5 Timeout EBADF");
});

Deno.test("importing the package opens no library and no descriptor", async () => {
  const { stdout, stderr } = await runProgram(
    `const calls = [];
     const { dlopen } = Deno;
     Deno.dlopen = (...args) => { calls.push(args[0]); return dlopen(...args); };
     const open = () => [...Deno.readDirSync("/proc/self/fd")].length;
     const { useHub, getHub } = await import("${MOD}");
     await import("${projectUrl("hubs/mod.ts")}");
     const before = open();
     await import("${projectUrl("hubs/epolls.ts")}?again");
     console.log(calls.length, open() - before);
     getHub();
     console.log(calls.length > 0);`,
    { flags: ["-A"] },
  );
  assertEquals([stdout, stderr], ["0 0\ntrue\n", ""]);
});

testWith(
  ["script", findCommand("script") !== null],
  "importing and running never prompts, on a terminal either",
  async () => {
    // A terminal that answers nothing: a prompt would hang until the limit.
    const file = await Deno.makeTempFile({ suffix: ".ts" });
    await Deno.writeTextFile(
      file,
      `import { getHub } from "${MOD}";
       try { getHub(); } catch (error) { console.log(error.name); }`,
    );
    const command = `${Deno.execPath()} run --no-lock ${file}`;
    const child = new Deno.Command("script", {
      args: ["-qec", command, "/dev/null"],
      stdin: "null",
      stdout: "piped",
      env: { EVENTLET_HUB: "", NO_COLOR: "1", GREENHUB_PARKING: "" },
    }).spawn();
    const limit = setTimeout(() => child.kill("SIGKILL"), 15_000);
    const { stdout, code } = await child.output();
    clearTimeout(limit);
    await Deno.remove(file);
    const text = new TextDecoder().decode(stdout);
    assertEquals([text.trim(), code], ["HubError", 0]);
  },
);

Deno.test("libc() is opened once, by its symbols' names", () => {
  const first = libc();
  assert(first === libc());
  assertEquals(typeof libc().poll, "function");
  assertEquals(whyNoLibc(), "");
  assertEquals(hasFullGrant(), true);
});

Deno.test("errnoCell is what the very last call left", () => {
  libc();
  const cell = errnoCell!;
  const path = new TextEncoder().encode("/no/such/file\0");
  const garbage: unknown[] = [];
  for (let i = 0; i < 20_000; i++) {
    // Nothing is called in between, not even a function that compares.
    const closed = libc().close(-1);
    const bad = cell[0];
    garbage[i % 100] = new Array(100).fill(i);
    const opened = libc().open(path, 0);
    const none = cell[0];
    if (bad !== EBADF || none !== ENOENT || closed !== -1 || opened !== -1) {
      const found = [closed, bad, opened, none];
      assertEquals(found, [-1, EBADF, -1, ENOENT], `round ${i}`);
    }
  }
});

Deno.test("errno() is right under a scoped grant as well", async () => {
  assert(LIBC !== "");
  const { stdout, stderr } = await runProgram(
    `import { errno, libc, hasFullGrant } from "${projectUrl("ffi/libc.ts")}";
     libc();
     const path = new TextEncoder().encode("/no/such/file\\0");
     let wrong = 0;
     for (let i = 0; i < 20_000; i++) {
       libc().close(-1);
       if (errno() !== ${EBADF}) wrong++;
       libc().open(path, 0);
       if (errno() !== ${ENOENT}) wrong++;
     }
     console.log(hasFullGrant(), wrong);`,
    { flags: [LIBC_ONLY] },
  );
  assertEquals([stdout, stderr], ["false 0\n", ""]);
});

Deno.test("addressOf() is the buffer's address", () => {
  const bytes = new Uint8Array([1, 2, 3, 4]);
  const pointer = Deno.UnsafePointer.of(bytes);
  assertEquals(addressOf(bytes), Deno.UnsafePointer.value(pointer));
  assertEquals([...bytes], [1, 2, 3, 4]);
  assertEquals(addressOf(bytes.subarray(2)), addressOf(bytes) + 2n);
});

Deno.test("LIBC_PATHS are absolute, in /lib, /lib64, /usr/lib and below", () => {
  for (const path of LIBC_PATHS) assertMatch(path, /^\/(usr\/)?lib(64)?\//);
});

const EAGAINS = `
  import { EAGAIN } from "${projectUrl("ffi/constants.ts")}";
  import { openSocketPair, receive } from "${projectUrl("ffi/socket.ts")}";
  const [fd] = openSocketPair();
  const bytes = new Uint8Array(8);
  const wrong = new Set();
  for (let i = 0; i < 30_000; i++) wrong.add(receive(fd, bytes));
  wrong.delete(-EAGAIN);
  console.log(...wrong);
`;

Deno.test("receive() is not told another errno while V8 optimizes", async () => {
  // It happens once in a process, as its code gets warm, and not in each.
  for (let round = 0; round < 4; round++) {
    const some = Array.from(
      { length: 4 },
      () => runProgram(EAGAINS, { flags: ["--allow-ffi", "--no-check"] }),
    );
    for (const { stdout, stderr } of await Promise.all(some)) {
      assertEquals([stdout, stderr], ["\n", ""]);
    }
  }
});
