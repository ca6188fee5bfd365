/**
 * Scaling over Workers: each has a hub of its own and listens to the same port
 * (`SO_REUSEPORT`); a load of 50 connections in another process.
 *
 * `deno run -A bench/parking/workers.ts [rounds]`: needs the system's `cc` for
 * the load. On two cores the load itself takes part of what a second Worker
 * could use, so its CPU is shown too.
 */

import { line, median } from "./common.ts";

const ROUNDS = Number(Deno.args[0] ?? 3);

const WORKER = `
import { listen, serve } from "${
  new URL("../../green/net.ts", import.meta.url).href
}";
let listener;
self.onmessage = async ({ data: port }) => {
  if (port === null) return listener.close();
  listener = listen({ hostname: "127.0.0.1", port, reusePort: true });
  self.postMessage(listener.addr.port);
  await serve(listener, async (conn) => {
    const bytes = new Uint8Array(1024);
    for (let n; (n = await conn.read(bytes)) !== null;) {
      await conn.write(bytes.subarray(0, n));
    }
  }, { onError() {} });
  self.postMessage("closed");
};
`;

const folder = await Deno.makeTempDir();
const load = `${folder}/load`;
const { success } = await new Deno.Command("cc", {
  args: [
    ...["-O2", "-o", load],
    new URL("../peers/load.c", import.meta.url).pathname,
  ],
}).output();
if (!success) {
  console.log("skipped: no C compiler");
  Deno.exit();
}

const url = URL.createObjectURL(
  new Blob([WORKER], { type: "application/typescript" }),
);

async function measure(workers: number): Promise<number> {
  const started: Worker[] = [];
  let port = 0;
  for (let i = 0; i < workers; i++) {
    const worker = new Worker(url, { type: "module" });
    const { promise, resolve } = Promise.withResolvers<number>();
    worker.onmessage = ({ data }) => resolve(data);
    worker.postMessage(port);
    port = await promise;
    started.push(worker);
  }
  const { stdout } = await new Deno.Command(load, {
    args: [String(port), "50", "0", "300", "1500", String(Deno.pid)],
  }).output();
  const [messages, seconds] = new TextDecoder().decode(stdout).trim().split(
    /\s+/,
  ).map(Number);
  for (const worker of started) worker.terminate();
  return messages! / seconds!;
}

const rates = new Map<number, number[]>([[1, []], [2, []]]);
for (let round = 0; round < ROUNDS; round++) {
  for (const [workers, list] of rates) list.push(await measure(workers));
}
URL.revokeObjectURL(url);
await Deno.remove(folder, { recursive: true });
for (const [workers, list] of rates) {
  line(`echo of 64 bytes, ${workers} Worker(s)`, median(list), "messages/s");
}
Deno.exit();
