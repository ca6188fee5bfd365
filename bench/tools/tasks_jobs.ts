/**
 * Switch, spawn, ping-pong, timers: small programs in every language.
 *
 * @module
 */

import type { Job } from "./job.ts";
import { measured } from "./process.ts";
import { PEERS, type Toolbox } from "./toolbox.ts";

/** Who answers, what that needs, its arguments, and which questions. */
type Peer = [row: string, needs: string, args: string[], subjects: string];

const JS = `${PEERS}tasks_js.mjs`;
const GREENHUB = `${PEERS}tasks_greenhub.ts`;
const SWITCHES = "switch2 switch100";
const ALL = `${SWITCHES} spawn pingpong timers cancel`;

const PEER_LIST: readonly Peer[] = [
  ["C epoll", "tasks", [], "pingpong"],
  ["C epoll, idle thread", "tasks", ["idle-thread"], "pingpong"],
  ["libevent C", "tasks_libevent", [], "timers cancel"],
  ["libevent C, precise", "tasks_libevent", ["precise"], "timers cancel"],
  ["greenhub epolls", "deno", [GREENHUB, "epolls"], ALL],
  ["greenhub poll", "deno", [GREENHUB, "poll"], "pingpong"],
  ["greenhub selects", "deno", [GREENHUB, "selects"], "pingpong"],
  ["greenhub libevent", "deno", [GREENHUB, "libevent"], "pingpong"],
  [
    "greenlet, bare",
    "greenlet",
    [`${PEERS}tasks_greenlet.py`],
    "switch2 spawn",
  ],
  ["eventlet", "eventlet", [`${PEERS}tasks_eventlet.py`], ALL],
  ["gevent", "gevent", [`${PEERS}tasks_gevent.py`], ALL],
  ["Deno", "deno", [JS], ALL],
  ["Deno setImmediate", "deno", [JS, "setImmediate"], SWITCHES],
  ["Node", "node", [JS], ALL],
  ["Node setImmediate", "node", [JS, "setImmediate"], SWITCHES],
];

/** The command: the subject comes before a variant, after a program's file. */
function command(
  tool: readonly string[],
  args: readonly string[],
  subject: string,
): string[] {
  const isFile = (arg: string | undefined) => arg?.startsWith("/") === true;
  return isFile(args[0])
    ? [...tool, args[0]!, subject, ...args.slice(1)]
    : [...tool, subject, ...args];
}

/** The jobs. */
export function tasksJobs(box: Toolbox, quick: boolean): Job[] {
  const measure = box.get("measure")?.[0];
  if (measure === undefined) return [];
  const questions = quick ? ["switch2", "spawn", "pingpong"] : ALL.split(" ");
  const jobs: Job[] = [];
  for (const subject of questions) {
    for (const [row, needs, args, subjects] of PEER_LIST) {
      const tool = box.get(needs);
      if (tool === null || !subjects.split(" ").includes(subject)) continue;
      jobs.push({
        group: `tasks/${subject}`,
        row,
        run: async () => {
          const line = command(tool, args, subject);
          const { lines, used } = await measured(measure, line);
          return { ...JSON.parse(lines.at(-1) ?? ""), ...used };
        },
      });
    }
  }
  return jobs;
}
