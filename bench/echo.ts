/**
 * The echo benchmark: one message of 64 bytes under way on each of N
 * connections; every server in the same alternating rounds, on one core, the
 * load (in C) on another. Medians of the rate and of the CPU time a message.
 *
 *     deno run -A bench/echo.ts [--rounds=5] [--ms=1500] [--only=c,greenhub]
 *         [--points=1,50,500,50+10000] [--rate=20000]
 *
 * With a rate, so many messages a second are sent, whatever a server could do:
 * the CPU time a message then tells what it costs to be woken for it.
 *
 * Needs a C compiler; servers whose runtime is missing are left out. At one
 * connection server and load share a core: there is never work for two.
 */

import { WARM_UP } from "./tools/echo_jobs.ts";

interface Peer {
  readonly name: string;
  readonly command: readonly string[];
}

interface Point {
  readonly active: number;
  readonly idle: number;
}

interface Sample {
  /** Messages a second. */
  readonly rate: number;
  /** CPU time of the server, µs a message. */
  readonly cpu: number;
  /** By how much its memory grows with each idle connection, KiB. */
  readonly idleKiB: number;
}

const HERE = new URL("./peers/", import.meta.url);

/** The value of `--name=value`. */
function option(name: string, otherwise: string): string {
  const prefix = `--${name}=`;
  return Deno.args.find((arg) => arg.startsWith(prefix))
    ?.slice(prefix.length) ?? otherwise;
}

async function works(command: readonly string[]): Promise<boolean> {
  try {
    const [program, ...args] = command;
    const { success } = await new Deno.Command(program!, {
      args,
      stdout: "null",
      stderr: "null",
    }).output();
    return success;
  } catch {
    return false;
  }
}

async function compile(source: string, to: string): Promise<string> {
  const file = `${to}/${source.replace(/\.c$/, "")}`;
  const path = new URL(source, HERE).pathname;
  if (!await works(["cc", "-O2", "-o", file, path, "-lpthread"])) {
    throw new Error(`Cannot compile ${source}: is there a C compiler?`);
  }
  return file;
}

/** A Python that has the module; the system's own before any other. */
async function pythonWith(module: string): Promise<string | null> {
  for (const python of ["/usr/bin/python3", "python3"]) {
    if (await works([python, "-c", `import ${module}`])) return python;
  }
  return null;
}

async function findPeers(folder: string): Promise<Peer[]> {
  const file = (name: string): string => new URL(name, HERE).pathname;
  const c = await compile("echo.c", folder);
  const run = [Deno.execPath(), "run", "-A", "--no-lock"];
  const peers: Peer[] = [
    { name: "c", command: [c] },
    { name: "c+thread", command: [c, "thread"] },
    { name: "greenhub", command: [...run, file("echo_greenhub.ts")] },
    { name: "deno", command: [...run, file("echo_deno.ts")] },
    { name: "deno-net", command: [...run, file("echo_node.mjs")] },
  ];
  if (await works(["node", "--version"])) {
    peers.push({ name: "node", command: ["node", file("echo_node.mjs")] });
  }
  for (const module of ["eventlet", "gevent"]) {
    const python = await pythonWith(module);
    if (python !== null) {
      peers.push({
        name: module,
        command: [python, file(`echo_${module}.py`)],
      });
    }
  }
  return peers;
}

/** A command on one core, where that can be said. */
function pinned(core: number, command: readonly string[]): string[] {
  return taskset ? ["taskset", "-c", String(core), ...command] : [...command];
}

const taskset = navigator.hardwareConcurrency > 1 &&
  await works(["taskset", "-c", "1", "true"]);

async function firstLine(stream: ReadableStream<Uint8Array>): Promise<string> {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  while (!text.includes("\n")) {
    const { value, done } = await reader.read();
    if (done) throw new Error("The server ended at once");
    text += value;
  }
  await reader.cancel();
  return text.split("\n")[0]!;
}

async function measure(
  peer: Peer,
  { active, idle }: Point,
  load: string,
  ms: number,
  rate: string,
): Promise<Sample> {
  const [program, ...args] = pinned(0, peer.command);
  const server = new Deno.Command(program!, {
    args,
    stdout: "piped",
    stderr: "null",
  }).spawn();
  try {
    const port = await firstLine(server.stdout);
    const together = active === 1 && rate === "0";
    const [loader, ...rest] = pinned(together ? 0 : 1, [
      load,
      port,
      String(active),
      String(idle),
      String(WARM_UP),
      String(ms),
      String(server.pid),
      rate,
    ]);
    const child = new Deno.Command(loader!, {
      args: rest,
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    const { success, stdout } = await child.output();
    if (!success) throw new Error(`The load failed on ${peer.name}`);
    const [count, seconds, cpu, idleKiB] = new TextDecoder().decode(stdout)
      .split(" ").map(Number) as [number, number, number, number];
    return { rate: count / seconds, cpu: cpu / count * 1e6, idleKiB };
  } finally {
    server.kill();
    await server.status;
  }
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1
    ? sorted[middle]!
    : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

function show(point: Point, results: ReadonlyMap<string, Sample[]>): void {
  const { active, idle } = point;
  const what = idle === 0
    ? `${active} connection${active === 1 ? "" : "s"}`
    : `${active} active of ${active + idle}`;
  console.log(`\n## ${what}\n`);
  console.log("| server | msg/s | of C's | CPU µs/msg | of C's | KiB idle |");
  console.log("| --- | ---: | ---: | ---: | ---: | ---: |");
  const of = (name: string, key: keyof Sample): number =>
    median(results.get(name)!.map((sample) => sample[key]));
  for (const name of results.keys()) {
    const rate = of(name, "rate");
    const cpu = of(name, "cpu");
    const cells = [
      name,
      rate.toFixed(0),
      results.has("c") ? (rate / of("c", "rate")).toFixed(2) : "",
      cpu.toFixed(2),
      results.has("c") ? (cpu / of("c", "cpu")).toFixed(2) : "",
      idle === 0 ? "" : of(name, "idleKiB").toFixed(2),
    ];
    console.log(`| ${cells.join(" | ")} |`);
  }
}

function parsePoints(text: string): Point[] {
  return text.split(",").map((point) => {
    const [active, idle = "0"] = point.split("+");
    return { active: Number(active), idle: Number(idle) };
  });
}

async function main(): Promise<void> {
  const rounds = Number(option("rounds", "5"));
  const ms = Number(option("ms", "1500"));
  const rate = option("rate", "0");
  const only = option("only", "").split(",").filter(Boolean);
  const folder = await Deno.makeTempDir({ prefix: "greenhub-echo-" });
  try {
    const load = await compile("load.c", folder);
    const all = await findPeers(folder);
    const peers = all.filter(({ name }) =>
      only.length === 0 || only.includes(name)
    );
    for (const point of parsePoints(option("points", "1,50,500,50+10000"))) {
      const results = new Map<string, Sample[]>();
      for (const { name } of peers) results.set(name, []);
      for (let round = 0; round < rounds; round++) {
        for (const peer of peers) {
          const sample = await measure(peer, point, load, ms, rate);
          results.get(peer.name)!.push(sample);
        }
      }
      show(point, results);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

if (import.meta.main) await main();
