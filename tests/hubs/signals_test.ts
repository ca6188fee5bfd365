/**
 * Signals: Deno's handlers run beside a hub that is busy and one that is
 * parked, by each way; and a process that was stopped goes on.
 */

import { assert, assertEquals } from "@std/assert";
import { getHub, sleep, spawn, useHub } from "../../mod.ts";
import { projectUrl } from "../helpers/spawn.ts";
import { hubName, useWay, WAYS } from "../helpers/ways.ts";

/** A wake-up that is lost would be made good by the end of the park: 60 s. */
const PROMPT_MS = 500;

/** The result of `promise`, or "late". */
async function promptly<T>(promise: Promise<T>): Promise<T | "late"> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<"late">((resolve) => {
    timer = setTimeout(resolve, PROMPT_MS, "late");
  });
  return await Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Send this process a signal; resolves with what the handler resolves with. */
async function signalled<T>(
  handler: (resolve: (value: T) => void) => void,
): Promise<T | "late"> {
  const { promise, resolve } = Promise.withResolvers<T>();
  const listener = (): void => handler(resolve);
  Deno.addSignalListener("SIGUSR1", listener);
  Deno.kill(Deno.pid, "SIGUSR1");
  try {
    return await promptly(promise);
  } finally {
    Deno.removeSignalListener("SIGUSR1", listener);
  }
}

for (const way of WAYS) {
  Deno.test(`a signal handler runs promptly beside a busy hub (${way})`, async () => {
    useWay(way);
    const busy = spawn(async () => {
      for (;;) await sleep();
    });
    for (let i = 0; i < 3; i++) {
      assertEquals(await signalled<string>((done) => done("run")), "run");
    }
    await busy.kill();
    await getHub().close();
    useHub();
  });

  Deno.test(`a signal handler wakes a parked hub promptly (${way})`, async () => {
    useWay(way);
    const parked = spawn(() => sleep(60_000));
    for (let i = 0; i < 3; i++) {
      const { parks } = getHub().statistics();
      while (getHub().statistics().parks === parks) await sleep(1);
      // The hub does at once what the handler schedules.
      const called = await signalled<string>((done) => {
        getHub().scheduleCallGlobal(0, () => done("called"));
      });
      assertEquals(called, "called");
    }
    assertEquals(getHub().statistics().parking, way);
    await parked.kill();
    await getHub().close();
    useHub();
  });

  Deno.test(`a process that was stopped while parked goes on (${way})`, async () => {
    const program = `
      import { getHub, sleep, spawn, useHub } from "${projectUrl("mod.ts")}";
      useHub("${hubName}");
      const started = performance.now();
      const late = spawn(async () => {
        await sleep(200);
        return performance.now() - started;
      });
      await sleep(1);
      console.log("ready");
      console.log(await late.wait() >= 200, getHub().statistics().parking);
    `;
    const folder = await Deno.makeTempDir({ prefix: "greenhub-" });
    await Deno.writeTextFile(`${folder}/main.ts`, program);
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "--no-prompt", "--no-lock", "-A", "main.ts"],
      cwd: folder,
      env: { GREENHUB_PARKING: way },
      stdout: "piped",
      stderr: "null",
    }).spawn();
    const limit = setTimeout(() => child.kill("SIGKILL"), 10_000);
    const lines = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
    assertEquals((await lines.read()).value, "ready\n");
    child.kill("SIGSTOP");
    await new Promise((resolve) => setTimeout(resolve, 300));
    const continued = performance.now();
    child.kill("SIGCONT");
    assertEquals((await lines.read()).value, `true ${way}\n`);
    // It was due while the process stood still.
    assert(performance.now() - continued < 5000);
    assertEquals((await child.status).code, 0);
    clearTimeout(limit);
    await lines.cancel();
    await Deno.remove(folder, { recursive: true });
  });
}
