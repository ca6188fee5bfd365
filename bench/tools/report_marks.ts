/**
 * What greenhub aims for on epolls, and whether it was reached.
 *
 * @module
 */

import { figure } from "./charts.ts";
import { value } from "./report_charts.ts";
import type { Results } from "./results.ts";

/** A figure, and what it is to be. */
interface Mark {
  readonly what: string;
  readonly aim: string;
  readonly found: number | null;
  readonly reached: (found: number) => boolean;
  readonly unit: string;
}

function ratio(above: number | null, below: number | null): number | null {
  return above === null || below === null ? null : above / below;
}

function marks(results: Results): Mark[] {
  const pipes = (row: string) => value(results, "pipes/5000", row, "micros");
  const task = (subject: string, row: string, name: string) =>
    value(results, `tasks/${subject}`, row, name);
  const own = (subject: string, name: string) =>
    task(subject, "greenhub epolls", name);
  const lateness = Object.entries(results.groups["tasks/timers"]?.rows ?? {})
    .flatMap(([row, { median }]) =>
      row.startsWith("greenhub") ? [] : median["late"] ?? []
    );
  const atMost = (limit: number) => (found: number) => found <= limit;
  const atLeast = (limit: number) => (found: number) => found >= limit;
  return [
    {
      what: "pipes, N = 5,000: epolls against C epoll beside an idle thread",
      aim: "≤ 1.8",
      found: ratio(
        pipes("greenhub epolls, listeners"),
        pipes("C epoll, idle thread"),
      ),
      reached: atMost(1.8),
      unit: "times its time",
    },
    {
      what: "pipes, N = 5,000: poll against C poll beside an idle thread",
      aim: "≤ 1.8",
      found: ratio(
        pipes("greenhub poll, listeners"),
        pipes("C poll, idle thread"),
      ),
      reached: atMost(1.8),
      unit: "times its time",
    },
    {
      what: "pipes, N = 5,000, a greenthread each: ahead of gevent",
      aim: "≥ 3",
      found: ratio(
        pipes("gevent epoll, trampoline"),
        pipes("greenhub epolls, trampoline"),
      ),
      reached: atLeast(3),
      unit: "times as fast",
    },
    {
      what: "switch between two, against bare greenlet",
      aim: "≤ 1",
      found: ratio(
        own("switch2", "ns"),
        task("switch2", "greenlet, bare", "ns"),
      ),
      reached: atMost(1),
      unit: "times its time",
    },
    {
      what: "spawn of 100,000",
      aim: "≤ 200 ms",
      found: own("spawn", "ms"),
      reached: atMost(200),
      unit: "ms",
    },
    {
      what: "memory of a greenthread",
      aim: "≤ 1,229 bytes",
      found: own("spawn", "bytes"),
      reached: atMost(1229),
      unit: "bytes",
    },
    {
      what: "one byte to and fro",
      aim: "≥ 200,000 a second",
      found: own("pingpong", "perSecond"),
      reached: atLeast(200_000),
      unit: "a second",
    },
    {
      what: `timers' mean lateness, peers' best ${
        lateness.length === 0 ? "unknown" : figure(Math.min(...lateness))
      } ms`,
      aim: "below every peer's",
      found: own("timers", "late"),
      reached: (found) => lateness.every((late) => found < late),
      unit: "ms",
    },
  ];
}

/** With three digits: a ratio of 1.75 is not one of 1.8. */
function exact(found: number): string {
  return found < 100 ? String(Number(found.toPrecision(3))) : figure(found);
}

/** The table of marks. */
export function marksTable(results: Results): string {
  const lines = marks(results).map(({ what, aim, found, reached, unit }) => {
    const text = found === null ? "not measured" : `${exact(found)} ${unit}`;
    const verdict = found === null ? "" : reached(found) ? "yes" : "no";
    return `| ${what} | ${aim} | ${text} | ${verdict} |`;
  });
  return ["| mark | aim | found | reached |", "| --- | --- | --- | --- |"]
    .concat(lines).join("\n");
}
