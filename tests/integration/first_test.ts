/** The program that README opens with. */

import { assertEquals } from "@std/assert";
import { testWith } from "../helpers/need.ts";
import { ROOT } from "../helpers/spawn.ts";
import { linesOf } from "./lines.ts";

const LINUX = ["Linux", Deno.build.os === "linux"] as const;
const FILE = new URL("first.ts", import.meta.url);

testWith(
  LINUX,
  "first.ts waits for a process that is no child of it",
  async () => {
    const stranger = new Deno.Command("sleep", { args: ["600"] }).spawn();
    const program = new Deno.Command(Deno.execPath(), {
      args: ["run", "--no-lock", "--allow-ffi", FILE.href, `${stranger.pid}`],
      stdin: "null",
      stdout: "piped",
    }).spawn();
    const lines = linesOf(program.stdout);
    const waiting = `Waiting for process ${stranger.pid}`;
    assertEquals((await lines.next()).value, waiting);
    stranger.kill("SIGTERM");
    await stranger.status;
    assertEquals(
      (await lines.next()).value,
      `Process ${stranger.pid} has ended`,
    );
    assertEquals((await lines.next()).done, true);
    assertEquals((await program.status).code, 0);
  },
);

Deno.test("README opens with first.ts, word for word", async () => {
  const readme = await Deno.readTextFile(new URL("README.md", ROOT));
  const block = /^```ts\n(.*?)^```$/ms.exec(readme)?.[1];
  const code = (await Deno.readTextFile(FILE)).replace(/^.*?(?=import )/s, "");
  assertEquals(block, code.replace("../../mod.ts", "@greenhub/greenhub"));
});
