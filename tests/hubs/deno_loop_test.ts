/** What MAINLOOP relies on in the loop it shares its thread with. */

import { assertEquals } from "@std/assert";
import * as constants from "../../ffi/constants.ts";
import { epollEventLayout } from "../../ffi/layout.ts";
import { libc } from "../../ffi/libc.ts";
import { openSocketPair } from "../../ffi/socket.ts";
import { LoopSignal, macrotask } from "../../hubs/deno_loop.ts";
import { entryOf } from "../../hubs/loop_driver.ts";
import { connect } from "../../green/net.ts";
import { getHub } from "../../mod.ts";
import { assertNoFdLeak } from "../helpers/fds.ts";
import { projectUrl, runProgram } from "../helpers/spawn.ts";

const SHUT_RDWR = 2;
const F_DUPFD = 0;

// Opens libc, which stays open.
getHub();

Deno.test("LoopSignal.wait() has Deno's loop look for I/O", async () => {
  const signal = new LoopSignal();
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  using far = await connect({
    hostname: "127.0.0.1",
    port: listener.addr.port,
  });
  using near = await listener.accept();
  for (let round = 0; round < 100; round++) {
    let got: number | null = 0;
    const reading = near.read(new Uint8Array(8)).then((n) => got = n);
    libc().write(far.fileno(), new Uint8Array(3), 3);
    assertEquals(await signal.wait(), true);
    // By themselves so few turns would not do.
    for (let turn = 0; turn < 10; turn++) await macrotask();
    assertEquals(got, 3);
    await reading;
  }
  signal.rest();
  signal.close();
});

Deno.test("LoopSignal.wait() says that it does not work any more", async () => {
  const signal = new LoopSignal();
  libc().shutdown(signal.fd, SHUT_RDWR);
  assertEquals(await signal.wait(), false);
  signal.close();
});

Deno.test("LoopSignal.close() ends a wait and leaves no descriptor", async () => {
  await assertNoFdLeak(async () => {
    const signal = new LoopSignal();
    const waiting = signal.wait();
    signal.close();
    await waiting;
    await macrotask();
  });
});

// A process of its own: here the test runner has I/O of its own, too.
const PROGRAM = `
import { libc } from "${projectUrl("ffi/libc.ts")}";
import { LoopEvent, LoopSignal } from "${projectUrl("hubs/deno_loop.ts")}";
import { driverPending } from "${projectUrl("hubs/loop_driver.ts")}";
const signal = new LoopSignal();
const pending = driverPending(signal.fd)!;
let called = Promise.withResolvers<void>();
const event = new LoopEvent(() => called.resolve());
event.ref();
const one = new Uint8Array(new BigUint64Array([1n]).buffer);
let before = 0, after = 0;
for (let round = 0; round < 20; round++) {
  called = Promise.withResolvers();
  libc().write(event.fd, one, 8);
  if (pending()) before++;
  await called.promise;
  if (pending()) after++;
}
// Deno's own I/O of its first moments may be seen, too.
console.log(before, after < 5);
Deno.exit();
`;

Deno.test("LoopEvent leaves nothing behind for Deno's driver", async () => {
  const result = await runProgram(PROGRAM, { flags: ["--allow-ffi"] });
  assertEquals(`${result.stdout}${result.stderr}`, "20 true\n");
});

const SLEEPER = `
import { libc } from "${projectUrl("ffi/libc.ts")}";
import { LoopEvent, LoopSignal } from "${projectUrl("hubs/deno_loop.ts")}";
import { sleepBesideDriver } from "${projectUrl("hubs/loop_driver.ts")}";
const signal = new LoopSignal();
const fd = libc().eventfd(0, 0);
const sleep = sleepBesideDriver(signal.fd, { fd })!;
const event = new LoopEvent(() => {});
event.ref();
// Deno's own I/O of its first moments would be seen, too.
while (sleep(0) !== 0) await new Promise((resolve) => setTimeout(resolve, 1));
const start = performance.now();
const slept = sleep(5) === 0 && performance.now() - start >= 5;
const one = new Uint8Array(new BigUint64Array([1n]).buffer);
libc().write(fd, one, 8);
const ours = sleep(60_000);
libc().read(fd, one, 8);
libc().write(event.fd, one, 8);
console.log(slept, ours, sleep(60_000));
Deno.exit();
`;

Deno.test("sleepBesideDriver() is woken by either and says by which", async () => {
  const result = await runProgram(SLEEPER, { flags: ["--allow-ffi"] });
  assertEquals(`${result.stdout}${result.stderr}`, "true 1 2\n");
});

Deno.test("entryOf() is not misled by a number that names something else", () => {
  const c = libc();
  const { EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLLIN } = constants;
  const set = c.epoll_create1(EPOLL_CLOEXEC);
  const fd = c.eventfd(0, 0);
  const event = new Uint8Array(epollEventLayout().size);
  new DataView(event.buffer).setUint32(0, EPOLLIN, true);
  c.epoll_ctl(set, EPOLL_CTL_ADD, fd, event);
  assertEquals(entryOf(set, fd)?.[0]! & EPOLLIN, EPOLLIN);
  // The set keeps what is closed while a duplicate is open, by its old number.
  const copy = c.fcntl(fd, F_DUPFD, 0);
  const [a, b] = openSocketPair();
  c.dup2(a, fd);
  assertEquals(entryOf(set, fd), null);
  for (const one of [set, fd, copy, a, b]) c.close(one);
});
