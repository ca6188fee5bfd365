/** The end of a process that somebody else started. */

import { assert, assertRejects, assertThrows } from "@std/assert";
import { sleep, spawn, SystemError, Timeout } from "../../mod.ts";
import { assertNoFdLeak } from "../helpers/fds.ts";
import { testWith } from "../helpers/need.ts";
import { assertIdle, load } from "./support.ts";

const recipe = await load(import("./pidfd.ts"));
const NEEDS = ["Linux", recipe !== null] as const;
const { Process } = recipe ?? {} as never;

testWith(
  NEEDS,
  "Process tells the end of a process that is no child",
  async () => {
    const sh = new Deno.Command("sh", {
      args: ["-c", "sleep 600 > /dev/null 2>&1 & echo $!"],
      stderr: "null",
    });
    const pid = Number(new TextDecoder().decode((await sh.output()).stdout));
    await assertNoFdLeak(async () => {
      using orphan = new Process(pid);
      await assertRejects(() => orphan.ended({ timeout: 5 }), Timeout);
      const end = spawn(() => orphan.ended());
      await sleep();
      orphan.send(15);
      await end.wait();
    });
    assertIdle();
  },
);

testWith(NEEDS, "Process says that there is none", () => {
  const error = assertThrows(() => new Process(2 ** 30), SystemError);
  // Beyond what the kernel counts to.
  assert(["ESRCH", "EINVAL"].includes(error.code), error.code);
});
