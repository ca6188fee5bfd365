/** Signals with their sender, in a process born with them blocked. */

import { assertEquals } from "@std/assert";
import { findCommand, testWith } from "../helpers/need.ts";
import { projectUrl } from "../helpers/spawn.ts";
import { linesOf } from "./lines.ts";

const env = findCommand("env");

testWith(
  ["env", env !== null],
  "signals() tells who sent which signal",
  async () => {
    const SIGUSR1 = 10;
    const SIGUSR2 = 12;
    const folder = await Deno.makeTempDir({ prefix: "greenhub-" });
    const file = `${folder}/main.ts`;
    await Deno.writeTextFile(
      file,
      `import { signals } from "${projectUrl("tests/integration/signalfd.ts")}";
       console.log("ready");
       for await (const { signo, pid } of signals(${SIGUSR1}, ${SIGUSR2})) {
         console.log(signo, pid);
         if (signo === ${SIGUSR2}) break;
       }`,
    );
    // All threads of it must block the signals, so it is born with them blocked.
    const child = new Deno.Command(env!, {
      args: [
        "--block-signal=USR1,USR2",
        ...[Deno.execPath(), "run", "--no-lock", "--allow-ffi"],
        file,
      ],
      stdout: "piped",
      stdin: "null",
    }).spawn();
    const lines = linesOf(child.stdout);
    assertEquals(await lines.next(), { done: false, value: "ready" });
    child.kill("SIGUSR1");
    assertEquals((await lines.next()).value, `${SIGUSR1} ${Deno.pid}`);
    child.kill("SIGUSR2");
    assertEquals((await lines.next()).value, `${SIGUSR2} ${Deno.pid}`);
    assertEquals((await lines.next()).done, true);
    assertEquals((await child.status).code, 0);
    await Deno.remove(folder, { recursive: true });
  },
);
