/**
 * The conformance suite in the hands of the author of a hub: elsewhere, in a
 * file of theirs, with no more than `--allow-ffi`.
 */

import { assertEquals, assertMatch } from "@std/assert";
import { projectUrl, runDeno } from "../helpers/spawn.ts";

/** Run a test file of somebody else's in a folder of their own. */
async function runTheirs(text: string, ...flags: string[]) {
  const folder = await Deno.makeTempDir({ prefix: "greenhub-" });
  try {
    const file = `${folder}/hub_test.ts`;
    await Deno.writeTextFile(file, text);
    return await runDeno(
      ["test", "--no-lock", "--no-check", "--no-prompt", ...flags, file],
      { cwd: folder, timeout: 60_000 },
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("conformance() needs --allow-ffi and leaves out what needs more", async () => {
  const { code, stdout, stderr } = await runTheirs(
    `import { conformance } from "${projectUrl("hubs/conformance.ts")}";
     import * as theirs from "${projectUrl("tests/third_party/parking.ts")}";
     conformance("theirs", theirs);`,
    "--allow-ffi",
  );
  assertEquals(code, 0, stdout + stderr);
  assertMatch(stdout, /\| \d{3} passed \| 0 failed \| 4 ignored/);
});

Deno.test("conformance() finds a hub that is at fault", async () => {
  const { code, stdout } = await runTheirs(
    `import { conformance } from "${projectUrl("hubs/conformance.ts")}";
     import { BaseHub } from "${projectUrl("hubs/mod.ts")}";
     import { TinyPoller } from "${projectUrl("tests/third_party/tiny.ts")}";
     // Takes every descriptor for one that is not open.
     class Faulty extends TinyPoller {
       sweep(report) { return super.sweep((fd) => report(fd, 4)); }
     }
     class Hub extends BaseHub {
       constructor() { super(new Faulty()); }
     }
     conformance("faulty", { Hub });`,
    "--allow-ffi",
    "--filter=trampoline() resolves",
  );
  assertEquals(code, 1);
  assertMatch(stdout, /faulty: trampoline\(\) resolves.*FAILED/);
});

Deno.test("conformance() of a hub that is not available is one ignored test", async () => {
  const { code, stdout } = await runTheirs(
    `import { conformance } from "${projectUrl("hubs/conformance.ts")}";
     import { Hub } from "${projectUrl("tests/third_party/tiny.ts")}";
     conformance("theirs", { Hub, isAvailable: () => false });`,
    "--allow-ffi",
  );
  assertEquals(code, 0);
  assertMatch(stdout, /\| 0 passed \| 0 failed \| 1 ignored/);
});
