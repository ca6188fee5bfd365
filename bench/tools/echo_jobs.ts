/**
 * TCP echo of 64 bytes: a server on one core, the load on another. A single
 * connection, whose round trips have no overlap, is also measured with both on
 * one core: there neither can wait awake for the other.
 *
 * Each connection has one message under way, so the mean time of a round trip
 * is connections divided by rate.
 *
 * @module
 */

import type { Job } from "./job.ts";
import { pinned, run } from "./process.ts";
import type { Metrics } from "./results.ts";
import { PEERS, type Toolbox } from "./toolbox.ts";

/**
 * Servers run so long before they are measured, ms: with 500 connections V8
 * compiles, and asks for memory, for over a second.
 */
export const WARM_UP = 1500;

/** Connections with a message under way, and silent ones beside them. */
interface Scene {
  readonly active: number;
  readonly idle: number;
  /** Server and load share a core. */
  readonly together?: boolean;
}

/** Who answers, what that needs, its arguments. */
const SERVERS: readonly [row: string, needs: string, args: string[]][] = [
  ["C epoll", "echo", []],
  ["C epoll, idle thread", "echo", ["idle-thread"]],
  ["greenhub epolls", "deno", [`${PEERS}echo_greenhub.ts`]],
  ["Deno", "deno", [`${PEERS}echo_deno.ts`]],
  ["Node", "node", [`${PEERS}echo_node.mjs`]],
  ["eventlet", "eventlet", [`${PEERS}echo_eventlet.py`]],
  ["gevent", "gevent", [`${PEERS}echo_gevent.py`]],
];

/** Resident memory of a process, KiB. */
async function resident(pid: number): Promise<number> {
  const status = await Deno.readTextFile(`/proc/${pid}/status`);
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]);
}

/** A server under way: its port is the first line that it prints. */
async function start(
  command: readonly string[],
): Promise<{ port: string; child: Deno.ChildProcess }> {
  // exec: the shell that raises the limit becomes the server.
  const child = new Deno.Command("sh", {
    args: [
      "-c",
      'ulimit -n "$(ulimit -H -n)"; exec "$@"',
      "sh",
      ...pinned(0, command),
    ],
    stdin: "null",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  // To the end of the line: Python writes it in pieces, and dies of a pipe that
  // is closed in between.
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let line = "";
  while (!line.includes("\n")) {
    const { value, done } = await reader.read();
    if (done) throw new Error("the server did not start");
    line += value;
  }
  void reader.cancel();
  return { port: line.trim(), child };
}

async function once(
  command: readonly string[],
  load: string,
  { active, idle, together }: Scene,
  [warmUp, measure]: readonly [number, number],
): Promise<Metrics> {
  const { port, child } = await start(command);
  try {
    const before = await resident(child.pid);
    const args = [port, active, idle, warmUp, measure, child.pid].map(String);
    const core = together === true ? 0 : 1;
    const loading = run(pinned(core, [load, ...args]));
    const { code, stdout, complaint } = await loading;
    if (code !== 0) throw new Error(complaint || "the load failed");
    const [count = NaN, seconds = NaN, cpu = NaN] = stdout.split(" ")
      .map(Number);
    return {
      perSecond: count / seconds,
      cpuMicros: cpu / count * 1e6,
      rttMicros: active * seconds / count * 1e6,
      rss: await resident(child.pid),
      rssBefore: before,
    };
  } finally {
    try {
      child.kill("SIGKILL");
    } catch {
      // It has ended by itself.
    }
    await child.status;
  }
}

/** The jobs. */
export function echoJobs(box: Toolbox, quick: boolean): Job[] {
  const load = box.get("load")?.[0];
  if (load === undefined) return [];
  const times = quick ? [100, 200] as const : [WARM_UP, 1000] as const;
  const scenes: Scene[] = [
    { active: 1, idle: 0, together: true },
    { active: 1, idle: 0 },
    { active: 50, idle: 0 },
    { active: 500, idle: 0 },
  ];
  if (!quick) scenes.push({ active: 50, idle: 8000 });
  const jobs: Job[] = [];
  for (const scene of scenes) {
    for (const [row, needs, args] of SERVERS) {
      const tool = box.get(needs);
      if (tool === null) continue;
      const name = scene.together === true
        ? " together"
        : scene.idle === 0
        ? ""
        : `+${scene.idle}`;
      jobs.push({
        group: `echo/${scene.active}${name}`,
        row,
        run: () => once([...tool, ...args], load, scene, times),
      });
    }
  }
  return jobs;
}
