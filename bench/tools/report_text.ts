/**
 * The words and tables of the report.
 *
 * @module
 */

import { figure } from "./charts.ts";
import type { Results, Row } from "./results.ts";
import { marksTable } from "./report_marks.ts";

/** A column: its head, which figure, in what unit. */
type Column = readonly [head: string, name: string, scale?: number];

const USED: readonly Column[] = [
  ["CPU of the whole process, s", "totalCpu"],
  ["memory at most, MiB", "rss", 1 / 1024],
];

function cell(row: Row, [, name, scale = 1]: Column): string {
  const value = row.median[name];
  return value === undefined ? "" : figure(value * scale);
}

/** How far the rounds lie apart, in percent of the median. */
function spread(row: Row, name: string): string {
  const values = row.samples.flatMap((sample) => sample[name] ?? []);
  const middle = row.median[name];
  if (values.length < 2 || middle === undefined) return "";
  const range = Math.max(...values) - Math.min(...values);
  return `${(100 * range / Math.abs(middle)).toFixed(0)} %`;
}

function markdown(lines: readonly (readonly string[])[]): string {
  const [head = [], ...body] = lines;
  const rule = head.map((_, index) => index === 0 ? "---" : "---:");
  return [head, rule, ...body].map((line) => `| ${line.join(" | ")} |`)
    .join("\n");
}

/** One group; the first column's spread is shown. */
function table(
  results: Results,
  group: string,
  columns: readonly Column[],
): string {
  const rows = Object.entries(results.groups[group]?.rows ?? {});
  if (rows.length === 0) return "*Not measured.*";
  const main = columns[0]![1];
  return markdown([
    ["", ...columns.map(([head]) => head), "rounds apart"],
    ...rows.map(([name, row]) => [
      name,
      ...columns.map((column) => cell(row, column)),
      spread(row, main),
    ]),
  ]);
}

/** The pipes benchmark: one column for each number of pipes. */
function pipesTable(results: Results): string {
  const groups = Object.keys(results.groups)
    .filter((name) => name.startsWith("pipes/"))
    .sort((a, b) => Number(a.slice(6)) - Number(b.slice(6)));
  const names = [
    ...new Set(
      groups.flatMap((group) => Object.keys(results.groups[group]!.rows)),
    ),
  ];
  return markdown([
    [
      "µs a run",
      ...groups.map((group) =>
        `N = ${Number(group.slice(6)).toLocaleString("en")}`
      ),
      "memory at most, MiB",
    ],
    ...names.map((name) => {
      const rows = groups.map((group) => results.groups[group]!.rows[name]);
      const last = rows.findLast((row) => row !== undefined);
      return [
        name,
        ...rows.map((row) =>
          row === undefined ? "–" : cell(row, ["", "micros"])
        ),
        last === undefined ? "" : cell(last, ["", "rss", 1 / 1024]),
      ];
    }),
  ]);
}

/** All lines that the programs of `bench/parking/` print. */
function parkingTable(results: Results): string {
  const lines = Object.entries(results.groups)
    .filter(([name]) => name.startsWith("parking/"))
    .flatMap(([name, { rows }]) =>
      Object.entries(rows["greenhub"]?.median ?? {}).map(([what, value]) => {
        const at = what.lastIndexOf(", ");
        return [
          `${name.slice(8)}: ${what.slice(0, at)}`,
          `${figure(value)} ${what.slice(at + 2)}`,
        ];
      })
    );
  return markdown([["", "figure"], ...lines]);
}

function dates(results: Results): string {
  const all = Object.values(results.groups).map(({ date }) => date).sort();
  const minute = (date = "") => `${date.slice(0, 16).replace("T", " ")} UTC`;
  return `${minute(all[0])} to ${minute(all.at(-1))}`;
}

function list(entries: Readonly<Record<string, string>>): string {
  return Object.entries(entries).map(([name, text]) => `- ${name}: ${text}`)
    .join("\n");
}

const ECHO: readonly Column[] = [
  ["messages a second", "perSecond"],
  ["CPU a message, µs", "cpuMicros"],
  ["mean round trip, µs", "rttMicros"],
  ["memory, MiB", "rss", 1 / 1024],
];

function echoSections(results: Results): string {
  return Object.keys(results.groups).filter((name) => name.startsWith("echo/"))
    .map((group) => {
      const [active, idle] = group.slice(5).split("+");
      const title = active === "1 together"
        ? "1 connection, server and load on one core"
        : active === "1"
        ? "1 connection, a core each"
        : idle === undefined
        ? `${active} connections`
        : `${active} active connections beside ${idle} idle ones`;
      return `### ${title}\n\n${table(results, group, ECHO)}`;
    }).join("\n\n");
}

/** The whole report. */
export function reportText(results: Results): string {
  return `# Report

Made by \`deno task bench:report\` from \`bench/peers/results.json\`; nothing here is written by hand.

- Measured: ${dates(results)}
${list(results.machine)}
- Versions: ${
    Object.entries(results.versions).map((pair) => pair.join(" ")).join(", ")
  }
- Commands: \`deno task bench:peers\`, then \`deno task bench:report\`

Figures are medians of alternating rounds; every program was pinned to one core (servers to one, their load to another unless it is said). "Rounds apart" is the distance from the best to the worst round, in percent of the median: differences smaller than that mean nothing, and ratios hold better than figures. C is given twice: descriptors cost more in a process with more than one thread, which every Deno process is.

## Marks

${marksTable(results)}

## Pipes

The benchmark of libevent and libev: N pipes are watched, 100 of them get a byte, and each reader writes one to the next pipe until 1,000 more are written. "listeners": one persistent callback for each pipe. "trampoline": one greenthread for each pipe, which waits for it again and again (in gevent by wait_read; "kept" is its wait on a watcher that was made once). greenhub has 100 runs before those measured, until V8 has compiled it; the others have one or two.

![Cost of a run against the number of pipes, a listener each](charts/pipes.svg)

![Cost of a run against the number of pipes, a greenthread each](charts/pipes_greenthreads.svg)

${pipesTable(results)}

## Switch

![Time of a switch between two tasks](charts/switch.svg)

Between two tasks:

${table(results, "tasks/switch2", [["ns a switch", "ns"], ...USED])}

Among 100 tasks:

${table(results, "tasks/switch100", [["ns a switch", "ns"], ...USED])}

## Spawn

![Time and memory of 100,000 tasks](charts/spawn.svg)

100,000 tasks that yield once, from the first spawn to the last one's end; memory is what was resident more when all were alive.

${
    table(results, "tasks/spawn", [
      ["ms", "ms"],
      ["bytes each", "bytes"],
      ...USED,
    ])
  }

## One byte to and fro

![Trips a second of one byte between two tasks](charts/pingpong.svg)

${table(results, "tasks/pingpong", [["trips a second", "perSecond"], ...USED])}

## Timers

100,000 random ones within a second, in JavaScript after a first such second. Whoever takes long to schedule them is late with the first:

${
    table(results, "tasks/timers", [
      ["mean lateness, ms", "late"],
      ["earliest, ms", "earliest"],
      ["CPU, s", "cpu"],
      ["memory at most, MiB", "rss", 1 / 1024],
    ])
  }

Scheduled and cancelled at once:

${table(results, "tasks/cancel", [["ns", "ns"], ...USED])}

## TCP echo of 64 bytes

Each active connection has one message under way. Servers run for 1.5 s before they are measured: V8 compiles, and asks for memory, until then.

![Messages a second by peer](charts/echo_throughput.svg)

![Mean time of a round trip by peer](charts/echo_latency.svg)

![CPU a message by peer](charts/echo_cpu.svg)

${echoSections(results)}

## Parking, fairness, idle descriptors

From the programs in \`bench/parking/\`.

${parkingTable(results)}

## Left out

${list(results.skipped) || "Nothing."}
`;
}
