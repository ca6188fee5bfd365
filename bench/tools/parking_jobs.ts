/**
 * The programs of `bench/parking/`, whose output is lines of a text, a figure
 * and a unit: each line becomes a row.
 *
 * @module
 */

import type { Job } from "./job.ts";
import { run } from "./process.ts";
import type { Metrics } from "./results.ts";
import type { Toolbox } from "./toolbox.ts";

const FOLDER = new URL("../parking/", import.meta.url).pathname;

/** Programs, and their arguments: in full, and for a short run. */
const PROGRAMS: readonly [name: string, full: string[], quick: string[]][] = [
  ["fairness", ["20"], ["2"]],
  ["idle", [], []],
  ["latency", ["2"], ["1"]],
  ["timers", [], []],
];

/** Texts and the figures after them. */
function parse(stdout: string): Metrics {
  const figures: Record<string, number> = {};
  for (const line of stdout.trim().split("\n")) {
    const [, text, rest] = /^(.*?)\s{2,}(.*)$/.exec(line) ?? [];
    if (text === undefined || rest === undefined) continue;
    for (const [, value, unit] of rest.matchAll(/(-?[\d.]+) ([^\d]+)/g)) {
      figures[`${text}, ${unit!.trim()}`] = Number(value);
    }
  }
  return figures;
}

/** The jobs; one round is enough, as the programs have rounds of their own. */
export function parkingJobs(box: Toolbox, quick: boolean): Job[] {
  const deno = box.get("deno")!;
  return PROGRAMS.filter(([name]) => !quick || name !== "idle")
    .map(([name, full, short]) => ({
      group: `parking/${name}`,
      row: "greenhub",
      run: async () => {
        const args = [`${FOLDER}${name}.ts`, ...(quick ? short : full)];
        const { code, stdout, complaint } = await run([...deno, ...args]);
        if (code !== 0) throw new Error(complaint);
        return parse(stdout);
      },
    }));
}
