/**
 * Running other programs: pinned to a core, with what they used.
 *
 * The trap it guards: a program that is not there is not an error but a row
 * that is left out, with the reason.
 *
 * @module
 */

import type { Metrics } from "./results.ts";

/** How a program ended. */
export interface Output {
  /** Its exit code; 127 if there is no such program. */
  readonly code: number;
  /** What it printed. */
  readonly stdout: string;
  /** The last line of what it complained. */
  readonly complaint: string;
}

/** Run a program to its end. */
export async function run(
  command: readonly string[],
  timeout = 120_000,
): Promise<Output> {
  const [program = "", ...args] = command;
  try {
    const output = await new Deno.Command(program, {
      args,
      stdin: "null",
      signal: AbortSignal.timeout(timeout),
    }).output();
    const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    const complaints = decode(output.stderr).trim().split("\n");
    return {
      code: output.code,
      stdout: decode(output.stdout),
      complaint: complaints.at(-1) ?? "",
    };
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    return { code: 127, stdout: "", complaint: `no program ${program}` };
  }
}

/** Whether taskset works here; asked once. */
const pins: boolean = (await run(["taskset", "-c", "0", "true"])).code === 0;

/** A command on one core only, where that can be had. */
export function pinned(core: number, command: readonly string[]): string[] {
  return pins ? ["taskset", "-c", String(core), ...command] : [...command];
}

/** Whether programs are pinned to cores. */
export function pinning(): boolean {
  return pins;
}

/** Lines of a program run by `measure`, and what that adds about it. */
export interface Measured {
  /** What the program printed. */
  readonly lines: readonly string[];
  /** CPU seconds and the largest resident set, KiB. */
  readonly used: Metrics;
}

/**
 * Run a program by way of `measure.c`, on core 0.
 *
 * @throws {Error} If it fails, with its last complaint.
 */
export async function measured(
  measure: string,
  command: readonly string[],
): Promise<Measured> {
  const { code, stdout, complaint } = await run(
    pinned(0, [measure, ...command]),
  );
  if (code !== 0) throw new Error(complaint || `exit code ${code}`);
  const lines = stdout.trim().split("\n");
  const [, cpu, rss] = (lines.pop() ?? "").split(" ").map(Number);
  return { lines, used: { totalCpu: cpu ?? NaN, rss: rss ?? NaN } };
}
