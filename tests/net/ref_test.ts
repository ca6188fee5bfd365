/**
 * ref() and unref(): which waits keep a process alive. Where a hub parks on a
 * thread they all do, so here is one that needs none.
 */

import { assertEquals } from "@std/assert";
import { testWith } from "../helpers/need.ts";
import { projectUrl, runProgram } from "../helpers/spawn.ts";

const START = `
  import { getHub, sleep, trampoline } from "${projectUrl("mod.ts")}";
  import { libc } from "${projectUrl("ffi/libc.ts")}";
  import { connect, listen, listenDatagram } from "${
  projectUrl("green/net.ts")
}";
  const LOCAL = { hostname: "127.0.0.1", port: 0 };
  /** Call \`fn\` if the process lives that long. */
  const ifAlive = (fn) => Deno.unrefTimer(setTimeout(fn, 50));
  const say = (text) => () => console.log(text);
`;
const options = {
  flags: ["--allow-all"],
  env: { EVENTLET_HUB: "epolls" },
  timeout: 10_000,
};
const parking = await runProgram(
  `${START}
  await sleep(1);
  console.log(getHub().statistics().parking);`,
  options,
);
const threadless = ["aio", "uring"].includes(parking.stdout.trim());

/** A program that must end by itself, and what it must print. */
function testProgram(name: string, program: string, printed = ""): void {
  testWith(["parking without a thread", threadless], name, async () => {
    const result = await runProgram(START + program, options);
    assertEquals(
      [result.stdout, result.stderr, result.timedOut, result.code],
      [printed, "", false, 0],
    );
  });
}

testProgram(
  "a process ends though an unref'd listener and connection are waited for",
  `const listener = listen(LOCAL);
  const client = await connect({ port: listener.addr.port });
  await listener.accept();
  listener.accept().then(say("accepted"));
  client.read(new Uint8Array(1)).then(say("read"));
  await sleep(1);
  client.unref();
  listener.unref();
  ifAlive(say("still here"));`,
);

testProgram(
  "ref() and unref() are for datagrams, too",
  `const udp = { ...LOCAL, transport: "udp" };
  const [a, b] = [listenDatagram(udp), listenDatagram(udp)];
  a.unref();
  b.unref();
  a.receive().then(say("received by a"));
  b.receive().then(say("received by b"));
  await sleep(1);
  b.ref();
  ifAlive(() => b.send(new Uint8Array(1), b.addr));`,
  "received by b\n",
);

testProgram(
  "an unref'd wait goes on as long as another keeps the process alive",
  `const listener = listen(LOCAL);
  listener.unref();
  listener.accept().then((conn) => {
    console.log("accepted");
    conn.close();
  });
  using client = await connect({ port: listener.addr.port });
  console.log(await client.read(new Uint8Array(1)));
  listener.accept().then(say("accepted"));`,
  "accepted\nnull\n",
);

testProgram(
  "ref() has a wait keep the process alive again",
  `const listener = listen(LOCAL);
  listener.unref();
  listener.accept().then(say("accepted"));
  // Then the hub is parked.
  setTimeout(() => listener.ref(), 20);
  ifAlive(() => connect({ port: listener.addr.port }));`,
  "accepted\n",
);

testProgram(
  "a process lives as long as a greenthread sleeps beside an unref'd wait",
  `const listener = listen(LOCAL);
  listener.unref();
  listener.accept();
  await sleep(30);
  console.log("slept");`,
  "slept\n",
);

testProgram(
  "a process ends with an unref'd wait though Deno's I/O had its turns",
  `const listener = listen(LOCAL);
  listener.unref();
  listener.accept().then(say("accepted"));
  const theirs = Deno.listen(LOCAL);
  const a = await Deno.connect(theirs.addr);
  const b = await theirs.accept();
  let more = true;
  (async () => {
    const p = new Uint8Array(1);
    for (let i = 0; i < 200; i++) {
      await a.write(p);
      await b.read(p);
    }
    more = false;
  })();
  while (more) await sleep();
  for (const one of [theirs, a, b]) one.close();
  ifAlive(say("still here"));`,
);

testProgram(
  "the hub thinks again when the timer beside an unref'd wait is cancelled",
  `const listener = listen(LOCAL);
  listener.unref();
  listener.accept();
  const timer = getHub().scheduleCallGlobal(60_000, () => {});
  // Between two of its looks for descriptors that were closed in silence.
  setTimeout(() => {
    const { passes } = getHub().statistics();
    timer.cancel();
    setTimeout(() => console.log(getHub().statistics().passes > passes));
  }, 300);`,
  "true\n",
);

testProgram(
  "unref() is forgotten with the close of its descriptor",
  `const first = listen(LOCAL);
  const fd = first.fileno();
  first.unref();
  first.close();
  const listener = listen(LOCAL);
  console.log(listener.fileno() === fd);
  listener.accept().then(say("accepted"));
  ifAlive(() => connect({ port: listener.addr.port }));`,
  "true\naccepted\n",
);

testProgram(
  "unref() is not for whoever else has the number later",
  `const first = listen(LOCAL);
  const fd = first.fileno();
  first.unref();
  first.close();
  const pair = new Int32Array(2);
  libc().pipe(pair);
  console.log(pair.includes(fd));
  libc().dup2(pair[0], fd);
  trampoline(fd, { read: true }).then(say("read"));
  ifAlive(() => libc().write(pair[1], new Uint8Array(1), 1));`,
  "true\nread\n",
);

testProgram(
  "unref() is forgotten by whoever has the number after a close in silence",
  `const first = listen(LOCAL);
  const fd = first.fileno();
  first.unref();
  libc().close(fd);
  const listener = listen(LOCAL);
  console.log(listener.fileno() === fd);
  listener.accept().then(say("accepted"));
  ifAlive(() => connect({ port: listener.addr.port }));`,
  "true\naccepted\n",
);

testProgram(
  "a main module may await unref'd waits, and nothing else",
  `const listener = listen(LOCAL);
  listener.unref();
  // A process that this one knows nothing of.
  const client = \`
    const conn = await Deno.connect({ port: \${listener.addr.port} });
    setTimeout(() => conn.close(), 100);
  \`;
  new Deno.Command("sh", {
    args: ["-c", '"$0" eval "$1" &', Deno.execPath(), client],
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).outputSync();
  const conn = await listener.accept();
  console.log("accepted");
  conn.unref();
  console.log(await conn.read(new Uint8Array(1)));
  listener.accept().then(say("accepted"));`,
  "accepted\nnull\n",
);
