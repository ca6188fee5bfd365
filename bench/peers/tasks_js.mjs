// The benchmarks of tasks on bare promises, immediates and timers, in Deno and
// in Node: SUBJECT [await|setImmediate]. Prints JSON.

import { connect, createServer } from "node:net";
import process from "node:process";

const SWITCHES = 2_000_000;
const SPAWNS = 100_000;
const TRIPS = 50_000;
const TIMERS = 100_000;
const CANCELS = 500_000;
const [subject, way = "await"] = process.argv.slice(2);

const immediate = () => new Promise((resolve) => setImmediate(resolve));
const pause = way === "await" ? () => Promise.resolve() : immediate;
const cpu = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
};

async function switches(tasks) {
  const total = way === "await" ? SWITCHES : SWITCHES / 5;
  const each = total / tasks;
  const run = async () => {
    for (let i = 0; i < each; i++) await pause();
  };
  const start = performance.now();
  await Promise.all(Array.from({ length: tasks }, run));
  return { ns: (performance.now() - start) * 1e6 / total };
}

async function spawn() {
  const before = process.memoryUsage.rss();
  let started = 0;
  let alive = 0;
  const run = async () => {
    if (++started === SPAWNS) alive = process.memoryUsage.rss() - before;
    await pause();
  };
  const start = performance.now();
  const all = [];
  for (let i = 0; i < SPAWNS; i++) all.push(run());
  await Promise.all(all);
  return { ms: performance.now() - start, bytes: alive / SPAWNS };
}

/** Two connected sockets, in Deno its own, in Node those of node:net. */
async function pingpongDeno() {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const [here, there] = await Promise.all([
    Deno.connect({ hostname: "127.0.0.1", port: listener.addr.port }),
    listener.accept(),
  ]);
  for (const conn of [here, there]) conn.setNoDelay();
  const [a, b] = [new Uint8Array(1), new Uint8Array(1)];
  const serve = async () => {
    while (await there.read(b) !== null) await there.write(b);
  };
  const served = serve();
  const start = performance.now();
  for (let i = 0; i < TRIPS; i++) {
    await here.write(a);
    await here.read(a);
  }
  const seconds = (performance.now() - start) / 1000;
  here.close();
  await served;
  there.close();
  listener.close();
  return { perSecond: TRIPS / seconds };
}

async function pingpongNode() {
  const server = createServer({ noDelay: true }, (socket) => {
    socket.on("data", (data) => socket.write(data));
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  const socket = connect({ port, host: "127.0.0.1", noDelay: true });
  let arrived = () => {};
  socket.on("data", () => arrived());
  const start = performance.now();
  for (let i = 0; i < TRIPS; i++) {
    await new Promise((resolve) => {
      arrived = resolve;
      socket.write("x");
    });
  }
  const seconds = (performance.now() - start) / 1000;
  socket.destroy();
  server.close();
  return { perSecond: TRIPS / seconds };
}

async function timers() {
  let sum = 0;
  let earliest = Infinity;
  let fired = 0;
  const start = cpu();
  await new Promise((resolve) => {
    for (let i = 0; i < TIMERS; i++) {
      const ms = Math.random() * 1000;
      const due = performance.now() + ms;
      setTimeout(() => {
        const late = performance.now() - due;
        sum += late;
        if (late < earliest) earliest = late;
        if (++fired === TIMERS) resolve();
      }, ms);
    }
  });
  return { cpu: cpu() - start, late: sum / TIMERS, earliest };
}

async function cancel() {
  const start = performance.now();
  for (let i = 0; i < CANCELS; i++) {
    clearTimeout(setTimeout(() => {}, 10_000));
    if (i % 1000 === 999) await immediate();
  }
  return { ns: (performance.now() - start) * 1e6 / CANCELS };
}

const subjects = {
  switch2: () => switches(2),
  switch100: () => switches(100),
  spawn,
  pingpong: globalThis.Deno === undefined ? pingpongNode : pingpongDeno,
  timers,
  cancel,
};
// A first round, so that V8 has compiled what is measured; not where memory is.
if (subject !== "spawn" && subject !== "pingpong") {
  await subjects[subject]();
}
console.log(JSON.stringify(await subjects[subject]()));
process.exit();
