/**
 * Each way to park under each grant, in the main thread and in a Worker; and
 * fairness where the kernel does not let us see Deno's I/O driver.
 */

import { assert, assertEquals } from "@std/assert";
import { LIBC_ONLY } from "../helpers/grants.ts";
import { testWith } from "../helpers/need.ts";
import { projectUrl, runProgram } from "../helpers/spawn.ts";
import {
  canTrace,
  countInjected,
  faults,
  traceModule,
} from "../helpers/strace.ts";
import { hubName, WAYS } from "../helpers/ways.ts";

/** libevent calls back, for which a list of libraries does not do. */
const GRANTS = hubName === "libevent"
  ? ["--allow-ffi"]
  : ["--allow-ffi", LIBC_ONLY];

const PARK = `
  import { getHub, sleep, spawn, trampoline, useHub } from "${
  projectUrl("mod.ts")
}";
  import { libc } from "${projectUrl("ffi/libc.ts")}";
  useHub("${hubName}");
  const pair = new Int32Array(2);
  libc().pipe(pair);
  const waiting = spawn(() => trampoline(pair[0]!, { read: true }));
  await sleep(2);
  const { parks } = getHub().statistics();
  while (getHub().statistics().parks === parks) {
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  libc().write(pair[1]!, new Uint8Array(1), 1);
  await waiting.wait();
  const said = getHub().name + " " + getHub().statistics().parking;
  await getHub().close();
`;

const IN_WORKER = `
  const text = ${JSON.stringify(PARK)} + "self.postMessage(said);";
  const blob = new Blob([text], { type: "application/typescript" });
  const url = URL.createObjectURL(blob);
  const worker = new Worker(url, { type: "module" });
  worker.onmessage = ({ data }) => {
    console.log(data);
    worker.terminate();
  };
`;

for (const way of WAYS) {
  for (const grant of GRANTS) {
    const kind = grant.includes("=") ? "a scoped grant" : "a full grant";
    Deno.test(`GREENHUB_PARKING=${way} parks so under ${kind}, in a Worker too`, async () => {
      for (const program of [`${PARK} console.log(said);`, IN_WORKER]) {
        const { stdout, stderr } = await runProgram(program, {
          // A Worker's modules are read by permission.
          flags: [grant, "--allow-env=GREENHUB_PARKING", "--allow-read"],
          env: { GREENHUB_PARKING: way },
        });
        assertEquals(stdout, `${hubName} ${way}\n`, stderr);
      }
    });
  }
}

/** Fetches beside a greenthread that never waits for long. */
const FETCHES = `
  import { getHub, sleep, spawn, useHub } from "${projectUrl("mod.ts")}";
  useHub("${hubName}");
  const busy = spawn(async () => {
    for (;;) await sleep();
  });
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    () => new Response("here"),
  );
  let got = 0;
  for (let i = 0; i < 20; i++) {
    const response = await fetch("http://127.0.0.1:" + server.addr.port);
    if (await response.text() === "here") got++;
  }
  await busy.kill();
  await server.shutdown();
  console.log(got, getHub().statistics().yields > 0);
  await getHub().close();
`;

testWith(
  ["strace", canTrace],
  "Deno's sockets are served beside a busy hub where the driver cannot be seen",
  async () => {
    // What is asked of the kernel before that is not about descriptors.
    const driver = "/proc/self/fdinfo/";
    const options = [
      ...faults("openat:error=EACCES"),
      ...Array.from({ length: 64 }, (_, fd) => ["-P", `${driver}${fd}`]).flat(),
    ];
    const result = await traceModule(FETCHES, options, [
      "--allow-ffi",
      "--allow-net",
    ]);
    // On stderr strace says what those paths are for itself.
    assertEquals(result.stdout, "20 true\n", result.stderr);
    assert(countInjected(result) > 0);
  },
);
