/**
 * The demo: every hub in turn, on real descriptors.
 *
 * A timerfd, an inotify watch, a pipe and TCP sockets, all opened by C through
 * FFI, each waited for in greenthreads, while Deno's own `setInterval`,
 * `fetch` and `Deno.serve` run on the same thread.
 *
 * ```sh
 * deno task demo
 * deno run --allow-ffi bench/demo.ts --hub poll --connections 500
 * ```
 *
 * @module
 */

import { parseArgs } from "node:util";
import { HubError, SystemError, useHub } from "../mod.ts";
import { type Row, Screen } from "./demo/screen.ts";
import { Stage, type StageOptions } from "./demo/stage.ts";

const HUBS = ["epolls", "poll", "selects", "libevent"];
const HOST = "127.0.0.1";
const MOST_CONNECTIONS = 4000;
const LONGEST = 3600;

const HELP = `greenhub's demo: every hub in turn, on real descriptors.

Usage: deno task demo [options]

  --hub NAME         only this hub: ${HUBS.join(", ")}
  --connections N    clients of the echo server, 1 to ${MOST_CONNECTIONS} (default 50)
  --seconds S        how long each hub works, 0.5 to ${LONGEST} (default 2.5)
  -h, --help         this text

Ctrl-C ends it early and shows what was done. NO_COLOR is respected.`;

/** What the command line asked for. */
interface Options {
  readonly hubs: readonly string[];
  readonly connections: number;
  readonly seconds: number;
  readonly help: boolean;
}

/** The command line makes no sense. */
class UsageError extends Error {}

/**
 * Run the demo.
 *
 * @param args What stood on the command line; see `--help`.
 * @returns The exit code: 0; 1 if it could not run; 2 for wrong arguments; 130
 * after Ctrl-C, 143 after SIGTERM.
 */
export async function main(args: readonly string[]): Promise<number> {
  try {
    const options = parseOptions(args);
    if (options.help) {
      console.log(HELP);
      return 0;
    }
    checkPlatform();
    return await show(options);
  } catch (error) {
    if (error instanceof UsageError) {
      console.error(`demo: ${error.message}; --help shows the options`);
      return 2;
    }
    if (error instanceof HubError || error instanceof SystemError) {
      const hint = error instanceof SystemError && error.code === "EMFILE"
        ? "; try fewer --connections"
        : "";
      console.error(`demo: ${error.message}${hint}`);
      return 1;
    }
    if (error instanceof Deno.errors.BrokenPipe) return 0;
    throw error;
  }
}

function parseOptions(args: readonly string[]): Options {
  let values;
  try {
    ({ values } = parseArgs({
      args: [...args],
      options: {
        hub: { type: "string" },
        connections: { type: "string" },
        seconds: { type: "string" },
        help: { type: "boolean", short: "h" },
      },
    }));
  } catch (error) {
    throw new UsageError((error as Error).message.replace(/\.$/, ""));
  }
  const { hub, connections = "50", seconds = "2.5", help = false } = values;
  if (hub !== undefined && !HUBS.includes(hub)) {
    throw new UsageError(
      `--hub must be one of ${HUBS.join(", ")}, not "${hub}"`,
    );
  }
  const n = Number(connections || NaN);
  if (!Number.isInteger(n) || n < 1 || n > MOST_CONNECTIONS) {
    throw new UsageError(
      `--connections must be an integer from 1 to ${MOST_CONNECTIONS}, ` +
        `not "${connections}"`,
    );
  }
  const s = Number(seconds || NaN);
  if (!(s >= 0.5 && s <= LONGEST)) {
    throw new UsageError(
      `--seconds must be a number from 0.5 to ${LONGEST}, not "${seconds}"`,
    );
  }
  const hubs = hub === undefined ? HUBS : [hub];
  return { hubs, connections: n, seconds: s, help };
}

/** Say what is missing, rather than prompt for it or fail halfway. */
function checkPlatform(): void {
  if (Deno.build.os !== "linux") {
    throw new HubError(
      "Cannot run here: timerfd and inotify exist on Linux only",
    );
  }
  const { state } = Deno.permissions.querySync({ name: "ffi" });
  if (state !== "granted") {
    throw new HubError(
      "Cannot open libc: FFI is not granted in full; run with --allow-ffi",
    );
  }
}

async function show(options: Options): Promise<number> {
  const { hubs, connections, seconds } = options;
  const rows = hubs.map((name): Row => ({ name, score: null, missing: null }));
  const stop = new AbortController();
  const interrupt = (): void => stop.abort(130);
  const terminate = (): void => stop.abort(143);
  Deno.addSignalListener("SIGINT", interrupt);
  Deno.addSignalListener("SIGTERM", terminate);
  await using server = serve();
  using screen = new Screen(rows);
  try {
    screen.print(`\n  greenhub demo: ${describe(options)}`);
    screen.print(
      server === null
        ? "  Deno.serve and fetch are left out: --allow-net=127.0.0.1 adds them\n"
        : "",
    );
    const url = server && `http://${HOST}:${server.addr.port}/`;
    const { signal } = stop;
    // Whoever asks for one by name wants to know why it cannot be had.
    if (hubs.length === 1) await useHub(hubs[0]);
    for (const row of rows) {
      if (signal.aborted) row.missing = "not run";
      else await runOne(row, { connections, seconds, url, signal }, screen);
    }
    screen.summary();
    if (signal.aborted) {
      screen.print("  Interrupted; everything is closed.\n");
      return signal.reason;
    }
    return rows.some(({ score }) => score !== null) ? 0 : 1;
  } finally {
    Deno.removeSignalListener("SIGINT", interrupt);
    Deno.removeSignalListener("SIGTERM", terminate);
  }
}

async function runOne(
  row: Row,
  options: StageOptions,
  screen: Screen,
): Promise<void> {
  try {
    await useHub(row.name);
  } catch (error) {
    if (!(error instanceof HubError)) throw error;
    row.missing = "not available here";
    return;
  }
  const stage = new Stage(options);
  const score = await stage.run(() => screen.draw(stage));
  if (score.messages === 0) row.missing = "interrupted";
  else row.score = score;
  screen.finish(stage);
}

function describe({ hubs, connections, seconds }: Options): string {
  const which = hubs.length === 1 ? hubs[0] : `${hubs.length} hubs in turn`;
  const clients = connections === 1
    ? "1 connection"
    : `${connections} connections`;
  return `${which}, one thread, ${clients}, ${seconds} s each`;
}

/** Deno's own HTTP server, if the permission is there. */
function serve(): Deno.HttpServer<Deno.NetAddr> | null {
  const { state } = Deno.permissions.querySync({ name: "net", host: HOST });
  if (state !== "granted") return null;
  return Deno.serve(
    { hostname: HOST, port: 0, onListen() {} },
    () => new Response("Hello from the same thread"),
  );
}

if (import.meta.main) Deno.exitCode = await main(Deno.args);
