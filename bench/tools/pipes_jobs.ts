/**
 * The pipes benchmark: every hub, C, libevent, eventlet and gevent.
 *
 * @module
 */

import type { Job } from "./job.ts";
import { measured } from "./process.ts";
import { median } from "./results.ts";
import { PEERS, type Toolbox } from "./toolbox.ts";

/** Pipes with a byte at the start of a run; writes of a run. */
const ACTIVE = 100;
const WRITES = 1000;

/** Those that cannot wait for a descriptor above 1,023. */
const LIMITED = /^(eventlet selects|libevent C select)/;

const PROGRAM = new URL("../pipes/pipes.ts", import.meta.url).pathname;
const WAYS: readonly string[] = ["listeners", "trampoline"];

/** All rows for one number of pipes. */
function commands(
  box: Toolbox,
): [row: string, needs: string, args: string[]][] {
  const rows: [string, string, string[]][] = [];
  for (const method of ["epoll", "poll", "select"]) {
    rows.push([`C ${method}`, "pipes", [method]]);
    rows.push([`C ${method}, idle thread`, "pipes", [method]]);
    rows.push([`libevent C ${method}`, "pipes_libevent", [method]]);
  }
  for (const way of WAYS) {
    for (const hub of ["epolls", "poll", "selects", "libevent"]) {
      rows.push([`greenhub ${hub}, ${way}`, "deno", [PROGRAM, hub, way]]);
    }
    for (const hub of ["epolls", "poll", "selects"]) {
      const file = `${PEERS}pipes_eventlet.py`;
      rows.push([`eventlet ${hub}, ${way}`, "eventlet", [file, hub, way]]);
    }
    for (const backend of ["epoll", "poll", "select"]) {
      const file = `${PEERS}pipes_gevent.py`;
      rows.push([`gevent ${backend}, ${way}`, "gevent", [file, backend, way]]);
    }
  }
  const file = `${PEERS}pipes_gevent.py`;
  rows.push(["gevent epoll, kept", "gevent", [file, "epoll", "kept"]]);
  return rows.filter(([, needs]) => box.get(needs) !== null);
}

/** The jobs. */
export function pipesJobs(box: Toolbox, quick: boolean): Job[] {
  const measure = box.get("measure")?.[0];
  if (measure === undefined) return [];
  const jobs: Job[] = [];
  const runs = quick ? 3 : 25;
  for (const pipes of quick ? [100, 1000] : [100, 1000, 5000]) {
    for (const [row, needs, args] of commands(box)) {
      if (LIMITED.test(row) && pipes > 450) {
        box.skip(
          `pipes/${pipes}: ${row}`,
          "its select takes no descriptor above 1023",
        );
        continue;
      }
      const command = [
        ...box.get(needs)!,
        ...args,
        ...[pipes, ACTIVE, WRITES, runs].map(String),
        ...(row.endsWith("idle thread") ? ["idle-thread"] : []),
      ];
      jobs.push({
        group: `pipes/${pipes}`,
        row,
        run: async () => {
          const { lines, used } = await measured(measure, command);
          return { micros: median(lines.map(Number)), ...used };
        },
      });
    }
  }
  return jobs;
}
