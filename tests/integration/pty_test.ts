/** A shell on a terminal of its own. */

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { IOClosed, sleep, spawn, SystemError } from "../../mod.ts";
import { assertNoFdLeak } from "../helpers/fds.ts";
import { testWith } from "../helpers/need.ts";
import { assertIdle, load } from "./support.ts";

const recipe = await load(import("./pty.ts"));
const NEEDS = ["Linux", recipe !== null] as const;
const { Terminal } = recipe ?? {} as never;
const { Process } = await load(import("./pidfd.ts")) ?? {} as never;

testWith(
  NEEDS,
  "Terminal holds a dialogue with an interactive sh",
  async () => {
    await assertNoFdLeak(async () => {
      using terminal = new Terminal(["sh", "-i"], {
        PATH: "/usr/bin:/bin",
        PS1: "ready> ",
        TERM: "dumb",
      });
      await terminal.expect(/ready> /);
      await terminal.type('echo "$TERM:$UNSET:$PS1"\r');
      await terminal.expect(/\ndumb::ready> \r\n/);
      await terminal.expect(/ready> /);
      await terminal.type("tty\r");
      await terminal.expect(/\/dev\/pts\/\d+\r\n/);
      await terminal.expect(/ready> /);
      await terminal.type(
        'read -p "Your name: " name && echo "Hello, $name"\r',
      );
      await terminal.expect(/\r\nYour name: /);
      await terminal.type("Ada\r");
      await terminal.expect(/\r\nHello, Ada\r\n/);
      await terminal.expect(/ready> /);
      await terminal.type("echo $((6 * 7)); cat\r");
      await terminal.expect(/\n42\r\n/);
      await terminal.type("echo\r");
      await terminal.expect(/echo\r\necho\r\n/);
      await terminal.type("\x03"); // Ctrl-C ends cat and not the shell
      await terminal.expect(/ready> /);
      await terminal.type("exit 7\r");
      assertEquals(await terminal.ended(), 7);
    });
    assertIdle();
  },
);

testWith(NEEDS, "Terminal hung up ends its program", async () => {
  await assertNoFdLeak(async () => {
    // It reads nothing: the signal alone can end it.
    const terminal = new Terminal(["sleep", "60"], { PATH: "/usr/bin:/bin" });
    using process = new Process(terminal.process.pid);
    await terminal.type("hello\r");
    await terminal.expect(/hello\r\n/);
    const waiter = spawn(() => terminal.expect(/never/));
    const end = assertRejects(() => waiter.wait(), IOClosed);
    await sleep();
    terminal[Symbol.dispose]();
    await end;
    await process.ended();
    const SIGHUP = 1;
    assertEquals(process.reap(), -SIGHUP);
  });
  assertIdle();
});

testWith(NEEDS, "Terminal says that there is no such program", () => {
  const error = assertThrows(
    () => new Terminal(["/no/such/program"]),
    SystemError,
  );
  assertEquals(error.code, "ENOENT");
});
