/** The helpers notice what they are for: leaks, time limits, missing things. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { assertNoFdLeak, countFds } from "./helpers/fds.ts";
import { findCommand } from "./helpers/need.ts";
import { projectUrl, runProgram } from "./helpers/spawn.ts";

Deno.test("countFds() counts an opened file", () => {
  const before = countFds();
  {
    using _file = Deno.openSync(new URL(import.meta.url));
    assertEquals(countFds(), before + 1);
  }
  assertEquals(countFds(), before);
});

Deno.test("assertNoFdLeak() fails while something is left open", async () => {
  let file: Deno.FsFile | undefined;
  await assertRejects(
    () =>
      assertNoFdLeak(() => {
        file = Deno.openSync(new URL(import.meta.url));
      }),
    Error,
    "helpers_test.ts",
  );
  file?.close();
  await assertNoFdLeak(() => Deno.openSync(new URL(import.meta.url)).close());
});

Deno.test("runProgram() returns code, output and the environment", async () => {
  const result = await runProgram(
    `import { ROOT } from "${projectUrl("tests/helpers/spawn.ts")}";
     console.log(Deno.env.get("GREETING"), ROOT.protocol);
     console.error("oh");
     Deno.exit(3);`,
    { flags: ["--allow-env=GREETING"], env: { GREETING: "hello" } },
  );
  assertEquals(result.stdout, "hello file:\n");
  assertEquals(result.stderr, "oh\n");
  assertEquals([result.code, result.timedOut], [3, false]);
});

Deno.test("runProgram() kills what does not end", async () => {
  const result = await runProgram("setInterval(() => {}, 1000);", {
    timeout: 300,
  });
  assertEquals([result.signal, result.timedOut], ["SIGKILL", true]);
  assert(result.elapsed >= 300);
});

Deno.test("findCommand() finds a command and not just any file", () => {
  assert(findCommand("sh")?.endsWith("/sh"));
  assertEquals(findCommand("no-such-command-anywhere"), null);
});
