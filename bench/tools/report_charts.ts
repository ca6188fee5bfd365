/**
 * Which charts the report has, and what of the measured data each shows.
 *
 * @module
 */

import { bars, lines, type Series } from "./charts.ts";
import type { Results } from "./results.ts";

const GREEN = "#059669";
const BLUE = "#2563eb";
const ORANGE = "#d97706";
const PURPLE = "#7c3aed";
const RED = "#dc2626";
const GREY = "#4b5563";

/** A median, if it was measured. */
export function value(
  results: Results,
  group: string,
  row: string,
  name: string,
): number | null {
  return results.groups[group]?.rows[row]?.median[name] ?? null;
}

/** Numbers of pipes that were measured. */
function pipesSizes(results: Results): number[] {
  return Object.keys(results.groups)
    .flatMap((name) => /^pipes\/(\d+)$/.exec(name)?.[1] ?? [])
    .map(Number).sort((a, b) => a - b);
}

/** Rows of a group that have a figure. */
function rowsWith(results: Results, group: string, name: string): string[] {
  return Object.entries(results.groups[group]?.rows ?? {})
    .filter(([, { median }]) => median[name] !== undefined)
    .map(([row]) => row);
}

type Curve = [row: string, color: string, dashed?: boolean];

function pipesChart(
  results: Results,
  title: string,
  subtitle: string,
  curves: readonly Curve[],
): string {
  const sizes = pipesSizes(results);
  const series: Series[] = curves.map(([row, color, dashed = false]) => ({
    name: row.replace(/, (listeners|trampoline)$/, ""),
    data: sizes.map((size) => {
      const micros = value(results, `pipes/${size}`, row, "micros");
      return micros === null ? null : [size, micros] as const;
    }),
    color,
    dashed,
  }));
  const words = { title, subtitle, x: "pipes watched", y: "µs a run" };
  return lines(words, sizes, series);
}

function barChart(
  results: Results,
  group: string,
  metrics: readonly [name: string, label: string, color: string][],
  words: readonly [title: string, subtitle: string, x: string],
  log: boolean,
): string {
  const rows = rowsWith(results, group, metrics[0]![0]);
  const [title, subtitle, x] = words;
  return bars(
    { title, subtitle, x, y: "" },
    rows,
    metrics.map(([metric, name, color]) => ({
      name,
      data: rows.map((row) => value(results, group, row, metric)),
      color,
    })),
    log,
  );
}

/** One figure for every number of connections, by peer. */
function echoChart(
  results: Results,
  metric: string,
  words: readonly [title: string, subtitle: string, x: string],
  log: boolean,
): string {
  const scenes = [["1", BLUE], ["50", GREEN], ["500", ORANGE]] as const;
  const rows = [
    ...new Set(
      scenes.flatMap(([n]) => rowsWith(results, `echo/${n}`, metric)),
    ),
  ];
  const [title, subtitle, x] = words;
  return bars(
    { title, subtitle, x, y: "" },
    rows,
    scenes.map(([n, color]) => ({
      name: n === "1" ? "1 connection, a core each" : `${n} connections`,
      data: rows.map((row) => value(results, `echo/${n}`, row, metric)),
      color,
    })),
    log,
  );
}

/** The charts by file name. */
export function makeCharts(results: Results): Record<string, string> {
  return {
    "pipes.svg": pipesChart(
      results,
      "Pipes, a listener each: cost against number of descriptors",
      "100 active pipes, 1,000 writes; both axes logarithmic; less is better; dashed: C",
      [
        ["greenhub epolls, listeners", GREEN],
        ["greenhub poll, listeners", BLUE],
        ["greenhub selects, listeners", ORANGE],
        ["greenhub libevent, listeners", PURPLE],
        ["C epoll, idle thread", GREEN, true],
        ["C poll, idle thread", BLUE, true],
        ["C select, idle thread", ORANGE, true],
        ["libevent C epoll", PURPLE, true],
      ],
    ),
    "pipes_greenthreads.svg": pipesChart(
      results,
      "Pipes, a greenthread each: cost against number of descriptors",
      "100 active pipes, 1,000 writes; both axes logarithmic; less is better; dashed: Python",
      [
        ["greenhub epolls, trampoline", GREEN],
        ["greenhub poll, trampoline", BLUE],
        ["greenhub selects, trampoline", ORANGE],
        ["greenhub libevent, trampoline", PURPLE],
        ["gevent epoll, trampoline", RED, true],
        ["gevent epoll, kept", ORANGE, true],
        ["eventlet epolls, trampoline", GREY, true],
        ["eventlet poll, trampoline", BLUE, true],
      ],
    ),
    "echo_throughput.svg": echoChart(
      results,
      "perSecond",
      [
        "TCP echo of 64 bytes: throughput",
        "more is better",
        "messages a second",
      ],
      false,
    ),
    "echo_latency.svg": echoChart(
      results,
      "rttMicros",
      [
        "TCP echo of 64 bytes: mean time of a round trip",
        "one message under way on every connection; logarithmic; less is better",
        "µs",
      ],
      true,
    ),
    "echo_cpu.svg": echoChart(
      results,
      "cpuMicros",
      [
        "TCP echo of 64 bytes: CPU a message",
        "of the server; less is better",
        "µs",
      ],
      false,
    ),
    "switch.svg": barChart(
      results,
      "tasks/switch2",
      [["ns", "ns", GREEN]],
      ["A switch between two tasks", "logarithmic; less is better", "ns"],
      true,
    ),
    "spawn.svg": barChart(
      results,
      "tasks/spawn",
      [["ms", "time, ms", GREEN], ["bytes", "memory, bytes each", BLUE]],
      [
        "100,000 tasks that yield once",
        "logarithmic; less is better",
        "ms in all; bytes each",
      ],
      true,
    ),
    "pingpong.svg": barChart(
      results,
      "tasks/pingpong",
      [["perSecond", "trips", GREEN]],
      [
        "One byte to and fro between two tasks",
        "through pipes (Deno, Node: TCP); more is better",
        "trips a second",
      ],
      false,
    ),
  };
}
