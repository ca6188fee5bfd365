/**
 * The demo, run as a user runs it: what it prints without a terminal, how it
 * ends, and what it makes of wrong options.
 */

import {
  assert,
  assertEquals,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import { LIBEVENT_NAMES } from "../ffi/libevent.ts";
import { findCommand, testWith } from "./helpers/need.ts";
import {
  ROOT,
  runDeno,
  runFile,
  type RunOptions,
  type RunResult,
} from "./helpers/spawn.ts";

const DEMO = new URL("bench/demo.ts", ROOT);
const QUICK = ["--seconds", "0.5", "--connections", "5"];
const FFI = "--allow-ffi";

/** Run the demo's file; 60 seconds are for a machine that is very busy. */
function demo(
  args: readonly string[],
  flags: readonly string[] = [FFI],
  options: RunOptions = {},
): Promise<RunResult> {
  return runFile(DEMO, { flags, args, timeout: 60_000, ...options });
}

/** The numbers in a hub's line of the summary. */
function scoreOf(hub: string, stdout: string): number[] {
  const line = stdout.split("\n").filter((text) =>
    new RegExp(`^  ${hub} +[0-9]`).test(text)
  );
  assertEquals(line.length, 1, `no single line for ${hub} in:\n${stdout}`);
  return [...line[0]!.matchAll(/[0-9][0-9,.]*/g)]
    .map(([text]) => Number(text.replaceAll(",", "")));
}

/** The folders that are left of the demo's process. */
function tempFolders(pid: number): string[] {
  return [...Deno.readDirSync("/tmp")].map(({ name }) => name)
    .filter((name) => name.startsWith(`greenhub-demo-${pid}-`));
}

Deno.test("demo runs every hub under --allow-ffi alone, in plain text", async () => {
  const { code, stdout, stderr } = await demo(QUICK);
  assertEquals([code, stderr], [0, ""]);
  for (const hub of ["epolls", "poll", "selects"]) {
    const [rate, wakes] = scoreOf(hub, stdout);
    assert(rate! > 0 && wakes! > 0, `${hub} did nothing:\n${stdout}`);
  }
  for (const source of ["timerfd", "inotify", "pipe", "TCP", "setInterval"]) {
    assertMatch(stdout, new RegExp(`^  ${source} .* [1-9][0-9.,]* `, "m"));
  }
  assertStringIncludes(stdout, "fetch are left out: --allow-net=127.0.0.1");
  // deno-lint-ignore no-control-regex
  assert(!/[\x1b\r]/.test(stdout), "control characters without a terminal");
});

Deno.test("demo runs as a task, with Deno.serve and fetch beside it", async () => {
  const { code, stdout } = await runDeno(
    ["task", "demo", "--seconds=1", "--connections=5", "--hub=poll"],
    { timeout: 60_000 },
  );
  assertEquals(code, 0);
  const score = scoreOf("poll", stdout);
  assertEquals(score.length, 7, stdout);
  assert(score[0]! > 0 && score[6]! > 0, stdout);
  assertMatch(stdout, /^ {2}fetch +Deno.serve, 5 ms apart +[1-9]/m);
  assert(!/^ {2}(epolls|selects)/m.test(stdout), "a hub nobody asked for");
});

Deno.test("demo knows libevent by name, and says why where it is missing", async () => {
  const { code, stdout, stderr } = await demo([...QUICK, "--hub", "libevent"]);
  if (code === 0) assert(scoreOf("libevent", stdout)[0]! > 0);
  else {
    assertEquals(code, 1);
    assertMatch(stderr, /^demo: Cannot use hub "libevent": .*looked for/);
  }
});

Deno.test("demo leaves out a hub that is missing; asked for it, it says why", async () => {
  const folder = await Deno.makeTempDir({ prefix: "greenhub-" });
  try {
    // Found before the system's, and no library.
    for (const name of LIBEVENT_NAMES) {
      if (!name.includes("/")) {
        await Deno.writeTextFile(`${folder}/${name}`, "");
      }
    }
    const env = { LD_LIBRARY_PATH: folder };
    const named = await demo([...QUICK, "--hub", "libevent"], [FFI], { env });
    assertEquals(named.code, 1, named.stderr);
    assertMatch(named.stderr, /^demo: Cannot use hub "libevent": .*looked for/);
    assert(!named.stdout.includes("wakes"), "a table with nothing in it");
    const all = await demo(QUICK, [FFI], { env });
    assertEquals([all.code, all.stderr], [0, ""]);
    assertMatch(all.stdout, /^ {2}libevent +not available/m);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

/** Run the demo on a terminal of 80 by 24 (script makes one), uncoloured. */
async function demoOnTerminal(): Promise<string> {
  const command = [Deno.execPath(), "run", FFI, DEMO.href, ...QUICK];
  const { code, stdout } = await new Deno.Command("script", {
    args: [
      "-qec",
      `stty cols 80 rows 24; exec ${command.join(" ")} --hub poll`,
      "/dev/null",
    ],
    env: { NO_COLOR: "1" },
    stdin: "null",
    stderr: "null",
  }).output();
  assertEquals(code, 0);
  return new TextDecoder().decode(stdout);
}

testWith(
  ["script", findCommand("script") !== null],
  "demo draws in place on a terminal, within 80 columns, and honours NO_COLOR",
  async () => {
    const output = await demoOnTerminal();
    // deno-lint-ignore no-control-regex
    const escapes = /\x1b\[\??[0-9;]*[A-Za-z]/g;
    const codes = [...output.matchAll(escapes)].map(([code]) => code);
    assert(codes.some((code) => code.endsWith("A")), "nothing drawn in place");
    assertEquals(codes.filter((code) => code.endsWith("m")), []);
    assert(output.lastIndexOf("?25h") > output.lastIndexOf("?25l"));
    const lines = output.replaceAll(escapes, "").split(/[\r\n]+/);
    assertEquals(lines.filter((line) => line.length > 80), []);
    assert(scoreOf("poll", lines.join("\n").trimEnd())[0]! > 0);
  },
);

for (
  const [args, message] of [
    [["--hub", "kqueue"], "epolls, poll, selects, libevent"],
    [["--connections", "0"], "integer from 1 to 4000"],
    [["--connections", "many"], 'not "many"'],
    [["--connections="], 'not ""'],
    [["--seconds", "0"], "number from 0.5 to 3600"],
    [["--seconds"], "--seconds"],
    [["--speed", "9"], "--speed"],
    [["epolls"], "epolls"],
  ] as const
) {
  Deno.test(`demo rejects ${args.join(" ")} with a message and exit code 2`, async () => {
    const { code, stdout, stderr } = await demo(args);
    assertEquals([code, stdout], [2, ""]);
    assertStringIncludes(stderr, message);
    assertEquals(stderr.trimEnd().split("\n").length, 1, stderr);
  });
}

Deno.test("demo explains itself with --help", async () => {
  const { code, stdout } = await demo(["--help"], []);
  assertEquals(code, 0);
  for (const option of ["--hub", "--connections", "--seconds", "NO_COLOR"]) {
    assertStringIncludes(stdout, option);
  }
});

Deno.test("demo without --allow-ffi says which flag it needs", async () => {
  const { code, stderr } = await demo(QUICK, []);
  assertEquals(code, 1);
  assertStringIncludes(stderr, "run with --allow-ffi");
});

Deno.test("demo ends cleanly on Ctrl-C, with a summary of what was done", async () => {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-prompt", FFI, DEMO.href, "--seconds", "1"],
    cwd: ROOT,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const stderr = new Response(child.stderr).text();
  let stdout = "";
  let interrupted = false;
  for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
    stdout += text;
    // The first hub has finished, and the second is at work.
    if (stdout.includes("setInterval") && !interrupted) {
      interrupted = true;
      child.kill("SIGINT");
    }
  }
  const { code } = await child.status;
  assertEquals([code, await stderr], [130, ""]);
  assert(scoreOf("epolls", stdout)[0]! > 0);
  assertMatch(stdout, /^ {2}selects +not run$/m);
  assertStringIncludes(stdout, "Interrupted");
  assertEquals(tempFolders(child.pid), []);
});

Deno.test("deno task demo needs nothing but Deno", async () => {
  const folder = await Deno.makeTempDir({ prefix: "greenhub-" });
  try {
    const { code, stdout, stderr } = await runDeno(["task", "demo", "--help"], {
      // Nothing was fetched before, and nothing can be.
      env: { DENO_DIR: folder, NPM_CONFIG_REGISTRY: "http://127.0.0.1:1" },
      timeout: 60_000,
    });
    assertEquals(code, 0, stderr);
    assertMatch(stdout, /Usage: deno task demo/);
    assertEquals(stderr.split("\n").length, 2, stderr);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
