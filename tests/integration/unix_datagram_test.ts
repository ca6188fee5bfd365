/** Both ends of a supervisor's socket, and the system's own logger. */

import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { sleep, spawn, SystemError } from "../../mod.ts";
import { assertNoFdLeak } from "../helpers/fds.ts";
import { findCommand, testWith } from "../helpers/need.ts";
import { assertIdle, load } from "./support.ts";

const recipe = await load(import("./unix_datagram.ts"));
const NEEDS = ["Linux", recipe !== null] as const;
const { UnixDatagram, sdNotify } = recipe ?? {} as never;
const logger = findCommand("logger");

testWith(NEEDS, "sdNotify() tells a supervisor's socket", async () => {
  const folder = await Deno.makeTempDir({ prefix: "greenhub-" });
  const path = `${folder}/notify`;
  await assertNoFdLeak(async () => {
    using supervisor = new UnixDatagram(path);
    const message = spawn(() => supervisor.receive());
    await sleep();
    await sdNotify(path, { READY: "1", STATUS: "Serving" });
    assertEquals(await message.wait(), "READY=1\nSTATUS=Serving");
  });
  await Deno.remove(folder, { recursive: true });
  await assertRejects(() => sdNotify(path, { READY: "1" }), SystemError);
  assertIdle();
});

testWith(
  NEEDS,
  "UnixDatagram waits until a slow receiver has room",
  async () => {
    const name = `@greenhub-${Deno.pid}`;
    using receiver = new UnixDatagram(name);
    using sender = new UnixDatagram();
    const COUNT = 2_000;
    let sent = 0;
    const sending = spawn(async () => {
      for (; sent < COUNT; sent++) await sender.send(name, `${sent}`);
    });
    await sleep(5);
    assert(sent < COUNT, "the kernel takes every message at once");
    for (let i = 0; i < COUNT; i++) {
      assertEquals(
        await receiver.receive(),
        `${i}`,
      );
    }
    await sending.wait();
    assertIdle();
  },
);

testWith(
  ["logger", logger !== null],
  "UnixDatagram receives what a program logs by syslog",
  async () => {
    const folder = await Deno.makeTempDir({ prefix: "greenhub-" });
    {
      using log = new UnixDatagram(`${folder}/log`);
      const message = spawn(() => log.receive());
      const { success } = await new Deno.Command(logger!, {
        args: ["-u", `${folder}/log`, "-p", "user.err", "-t", "demo", "Hello"],
      }).output();
      assert(success);
      // user.err is 1 * 8 + 3.
      const text = await message.wait();
      assertStringIncludes(text, "<11>");
      assertStringIncludes(text, "demo: Hello");
    }
    await Deno.remove(folder, { recursive: true });
    assertIdle();
  },
);
