/**
 * One thing to measure, and how it is repeated: rounds that alternate between
 * the rows of a group, so that a slow minute strikes them all.
 *
 * @module
 */

import { type Group, type Metrics, type Row, rowOf } from "./results.ts";

/** One row of one group. */
export interface Job {
  /** The question, as `pipes/1000`. */
  readonly group: string;
  /** Who answers. */
  readonly row: string;
  /** Measures once. */
  run(): Promise<Metrics>;
}

/** What a run of jobs tells while it goes on. */
export interface Progress {
  /** Before each job. */
  step(done: number, total: number, what: string): void;
  /** When a job has failed, and will not be tried again. */
  failed(job: Job, reason: string): void;
}

/** Run all rounds of all jobs, group by group. */
export async function runJobs(
  jobs: readonly Job[],
  rounds: number,
  progress: Progress,
): Promise<Record<string, Group>> {
  const groups: Record<string, Group> = {};
  let done = 0;
  for (const [name, members] of Map.groupBy(jobs, (job) => job.group)) {
    const samples = new Map<Job, Metrics[]>(members.map((job) => [job, []]));
    for (let round = 1; round <= rounds; round++) {
      for (const job of members) {
        progress.step(
          done++,
          jobs.length * rounds,
          `round ${round}/${rounds}: ${name}: ${job.row}`,
        );
        if (!samples.has(job)) continue;
        try {
          samples.get(job)!.push(await job.run());
        } catch (error) {
          samples.delete(job);
          progress.failed(job, (error as Error).message);
        }
      }
    }
    const rows: Record<string, Row> = {};
    for (const [job, taken] of samples) rows[job.row] = rowOf(taken);
    groups[name] = { date: new Date().toISOString(), rows };
  }
  return groups;
}
