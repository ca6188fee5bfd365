/**
 * From a byte's arrival to the code that waits for it, when everything was
 * idle: a greenthread in `trampoline` on a parked hub, beside `Deno.Conn.read`.
 *
 * The write is timed as well: it is a system call here and an op in Deno's.
 */

import { spawn, trampoline } from "../mod.ts";
import {
  connPair,
  flag,
  hubRows,
  lower,
  pause,
  raise,
  useRow,
} from "./tools/rows.ts";

const group = "wake from idle";
const fd = flag();
let conns: [Deno.TcpConn, Deno.TcpConn] | null = null;

Deno.bench({
  name: "Deno.Conn",
  group,
  baseline: true,
  async fn(b) {
    const [here, far] = conns ??= await connPair();
    const p = new Uint8Array(1);
    const got = here.read(p);
    await pause(1);
    b.start();
    const sent = far.write(p);
    await got;
    b.end();
    await sent;
  },
});

for (const hub of hubRows()) {
  Deno.bench({
    name: hub,
    group,
    async fn(b) {
      useRow(hub);
      const { promise, resolve } = Promise.withResolvers<void>();
      spawn(async () => {
        await trampoline(fd, { read: true });
        resolve();
      });
      // Longer than the hub's brief wait, so that it is parked.
      await pause(1);
      b.start();
      raise(fd);
      await promise;
      b.end();
      lower(fd);
    },
  });
}
