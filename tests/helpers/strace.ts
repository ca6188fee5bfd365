/** Programs run under strace: what they ask of the kernel, and faults in it. */

import { findCommand } from "./need.ts";
import { PLAIN } from "./spawn.ts";

const strace = findCommand("strace");

/** There is strace, and leave to trace: containers may forbid it. */
export const canTrace: boolean = strace !== null && new Deno.Command(strace, {
  args: ["-f", "-q", "-o", "/dev/null", "true"],
  stdout: "null",
  stderr: "null",
}).outputSync().success;

/** A program has this long, s; then it is killed. */
const LIMIT = 20;
const SIGKILL = 9;

/** How a traced program went, what it has printed, the lines of the trace. */
export interface Trace {
  readonly code: number;
  /** Whether it was killed. */
  readonly timedOut: boolean;
  readonly stdout: string;
  readonly stderr: string;
  readonly lines: readonly string[];
}

/**
 * Run a module under strace, for 20 seconds at most.
 *
 * @param module Its source.
 * @param options Of strace: which calls to trace, and which to make fail.
 * @param permissions Of the program.
 * @param args What the program is given.
 * @param env Its environment beside the inherited one.
 */
export async function traceModule(
  module: string,
  options: readonly string[],
  permissions: readonly string[],
  args: readonly string[] = [],
  env: Readonly<Record<string, string>> = {},
): Promise<Trace> {
  const folder = await Deno.makeTempDir({ prefix: "greenhub-" });
  try {
    await Deno.writeTextFile(`${folder}/main.ts`, module);
    const child = new Deno.Command(strace!, {
      args: [
        ...["-f", "-q", "-o", `${folder}/trace`, ...options],
        // Whoever kills strace lets go of what it traces.
        ...["timeout", "-s", "KILL", String(LIMIT)],
        ...[Deno.execPath(), "run", "--no-prompt", "--no-lock"],
        ...permissions,
        ...[`${folder}/main.ts`, ...args],
      ],
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
      env: { ...env, ...PLAIN },
    }).spawn();
    const output = await child.output();
    const text = await Deno.readTextFile(`${folder}/trace`);
    return {
      code: output.code,
      timedOut: output.code === 128 + SIGKILL,
      stdout: new TextDecoder().decode(output.stdout),
      stderr: new TextDecoder().decode(output.stderr),
      lines: text.split("\n"),
    };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Options of strace: these faults, and a trace of the calls they are in. */
export function faults(...injected: readonly string[]): string[] {
  const names = injected.map((fault) => fault.split(":")[0]);
  return [
    "--seccomp-bpf",
    ...["-e", `trace=${names.join(",")}`],
    ...injected.flatMap((fault) => ["-e", `inject=${fault}`]),
  ];
}

/** How many system calls were made to fail. */
export function countInjected({ lines }: Trace): number {
  return lines.filter((line) => line.includes("INJECTED")).length;
}
