/**
 * How Deno's own loop fares beside a busy hub.
 */

import { assert } from "@std/assert";
import { getHub, sleep, spawn } from "../mod.ts";

getHub();

/** Keep the thread for so many milliseconds. */
function burn(ms: number): void {
  const end = performance.now() + ms;
  while (performance.now() < end);
}

Deno.test("MAINLOOP lets Deno's timers run within a long pass", async () => {
  const greenthreads = 80;
  let passed = 0;
  let seen = -1;
  // All of them are resumed in the same pass, which takes 160 ms.
  const spawned = Array.from({ length: greenthreads }, () =>
    spawn(async () => {
      await sleep();
      burn(2);
      passed++;
    }));
  const { promise, resolve } = Promise.withResolvers<void>();
  setTimeout(() => {
    seen = passed;
    resolve();
  }, 10);
  for (const gt of spawned) await gt.wait();
  await promise;
  assert(seen >= 0 && seen < greenthreads, `the timer fired after ${seen}`);
});
