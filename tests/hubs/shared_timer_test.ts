/** The timer that parking and fairness share: neither loses its time to the other. */

import { assert } from "@std/assert";
import { libc } from "../../ffi/libc.ts";
import { LoopTimer } from "../../hubs/deno_loop.ts";
import { PostedParking } from "../../hubs/posted_parking.ts";
import { getHub } from "../../mod.ts";

getHub();

Deno.test("PostedParking.park() ends in time though the timer was used for a yield", async () => {
  const fd = libc().eventfd(0, 0);
  const timer = new LoopTimer();
  const poller = { fd, watch() {}, sweep: () => 0, close() {} };
  const parking = new PostedParking("aio", poller, timer, () => ({
    arm() {},
    reap() {},
    close() {},
  }));
  // A park that ends early leaves its alarm, which the next one may use.
  const first = parking.park(20);
  parking.wake();
  await first;
  await timer.wait(0.01);
  const start = performance.now();
  await parking.park(30);
  assert(performance.now() - start >= 30);
  parking.rest();
  parking.close();
  timer.close();
  libc().close(fd);
});
