/**
 * `deno task bench:peers`: greenhub beside what else there is, in alternating
 * rounds, each program pinned to a core, medians into a file that
 * `deno task bench:report` reads.
 *
 * Options: `--quick` (a minute, figures of little worth), `--rounds=N`,
 * `--only=pipes,tasks,echo,parking` (the other groups of the file stay),
 * `--out=FILE`.
 *
 * @module
 */

import { echoJobs } from "./echo_jobs.ts";
import { type Job, type Progress, runJobs } from "./job.ts";
import { describeMachine } from "./machine.ts";
import { parkingJobs } from "./parking_jobs.ts";
import { pipesJobs } from "./pipes_jobs.ts";
import { pinning } from "./process.ts";
import { RESULTS, writeResults } from "./results.ts";
import { tasksJobs } from "./tasks_jobs.ts";
import { Toolbox } from "./toolbox.ts";

const SETS: Readonly<
  Record<string, (box: Toolbox, quick: boolean) => Job[]>
> = {
  pipes: pipesJobs,
  tasks: tasksJobs,
  echo: echoJobs,
  parking: parkingJobs,
};

function option(name: string): string | undefined {
  return Deno.args.find((arg) => arg.startsWith(`--${name}=`))
    ?.slice(name.length + 3);
}

const quick = Deno.args.includes("--quick");
const rounds = Number(option("rounds") ?? (quick ? 1 : 3));
const only = option("only")?.split(",");
const out = option("out") ?? (quick ? "peers-quick.tmp" : RESULTS);

const started = performance.now();
const terminal = Deno.stderr.isTerminal();

/** The progress line: one that moves on a terminal, else one a job. */
function show(text: string, keep: boolean): void {
  const seconds = ((performance.now() - started) / 1000).toFixed(0);
  const line = `${seconds.padStart(4)} s ${text}`;
  const bytes = terminal ? `\r\x1b[K${line}${keep ? "\n" : ""}` : `${line}\n`;
  Deno.stderr.writeSync(new TextEncoder().encode(bytes));
}

await using box = await Toolbox.open();
if (!pinning()) box.skip("pinning to cores", "no taskset");
const progress: Progress = {
  step: (done, total, what) => show(`[${done + 1}/${total}] ${what}`, false),
  failed: (job, reason) => box.skip(`${job.group}: ${job.row}`, reason),
};

const machine = await describeMachine();
for (const [name, make] of Object.entries(SETS)) {
  if (only !== undefined && !only.includes(name)) continue;
  const times = name === "parking" ? 1 : rounds;
  const groups = await runJobs(make(box, quick), times, progress);
  // At once, so that little is lost if the rest is broken off.
  const { versions, skipped } = box;
  await writeResults(out, { machine, versions, skipped, groups });
}
for (const [name, reason] of Object.entries(box.skipped)) {
  show(`left out: ${name}: ${reason}`, true);
}
show(`written: ${out instanceof URL ? out.pathname : out}`, true);
