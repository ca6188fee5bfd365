/** The listeners table, in a hub that never comes to rest. */

import { assert, assertEquals } from "@std/assert";
import { projectUrl, runProgram } from "../helpers/spawn.ts";

Deno.test("a hub that is never idle keeps nothing of descriptors that were closed", async () => {
  const { stdout, stderr } = await runProgram(
    `
    import process from "node:process";
    import { CallbackListener } from "${projectUrl("hubs/listeners.ts")}";
    import { ListenerTable } from "${projectUrl("hubs/table.ts")}";
    const poller = { watch() {}, sweep: () => 0, close() {} };
    const table = new ListenerTable(poller);
    const used = () => {
      gc();
      return process.memoryUsage().heapUsed;
    };
    const round = (times) => {
      for (let i = 0; i < times; i++) {
        const listener = new CallbackListener(1, 7, () => {}, () => {}, null);
        table.add(listener);
        table.remove(listener);
        table.take(7);
      }
    };
    round(1000);
    const before = used();
    round(200_000);
    console.log(used() - before);
    `,
    { flags: ["--allow-all", "--no-check", "--v8-flags=--expose-gc"] },
  );
  assertEquals(stderr, "");
  assert(Number(stdout) < 2 ** 21, `${stdout} bytes more`);
});
