/**
 * How Deno's own loop fares beside a busy hub.
 */

import { assert } from "@std/assert";
import { libc } from "../ffi/libc.ts";
import { Fairness } from "../hubs/fairness.ts";
import { BaseHub, type Poller, READ, type Report } from "../hubs/mod.ts";
import { getHub, sleep, spawn, trampoline, useHub } from "../mod.ts";

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

/** Always ready, and never before most of a millisecond was waited for. */
class Lingerer implements Poller {
  lingers = 0;
  #fd = -1;
  watch(fd: number, interest: number): void {
    this.#fd = interest === 0 ? -1 : fd;
  }
  sweep(report: Report): number {
    if (this.#fd < 0 || this.lingers % 2 === 0) return 0;
    this.lingers++;
    report(this.#fd, READ);
    return 1;
  }
  linger(): boolean {
    burn(0.9);
    if (this.lingers % 2 === 0) this.lingers++;
    return true;
  }
  close(): void {}
}

Deno.test("a brief wait that always pays is counted in the budget", async () => {
  const poller = new Lingerer();
  useHub(
    class extends BaseHub {
      constructor() {
        super(poller, { briefWait: 1 });
      }
    },
  );
  const pair = new Int32Array(2);
  libc().pipe(pair);
  let ticks = 0;
  const timer = setInterval(() => ticks++, 1);
  for (let i = 0; i < 300; i++) await trampoline(pair[0]!, { read: true });
  clearInterval(timer);
  const { yields, briefWaits } = getHub().statistics();
  await getHub().close();
  for (const fd of pair) libc().close(fd);
  useHub();
  assert(briefWaits >= 250, `${briefWaits} brief waits`);
  // Some 270 ms, of which a turn a millisecond is Deno's.
  assert(yields >= 100, `${yields} yields`);
  assert(ticks >= 30, `${ticks} ticks`);
});

/** Have `fairness` count steps for so many ms; true if it wanted to yield. */
function work(fairness: Fairness, ms: number): boolean {
  const end = performance.now() + ms;
  while (performance.now() < end) {
    if (fairness.step(1)) return true;
  }
  return false;
}

Deno.test("Fairness looks for I/O the less often the longer there is none", () => {
  let looks = 0;
  let pending = false;
  const fairness = new Fairness(null, () => {
    looks++;
    return pending;
  });
  fairness.restart();
  // Deno's timers have had their turn whenever they wanted one.
  for (let i = 0; i < 25; i++) if (work(fairness, 2)) fairness.turned();
  // One each 0.055 ms would be more than 400.
  assert(looks > 5 && looks < 200, `${looks} looks in 25 ms`);
  pending = true;
  assert(work(fairness, 1000), "never yields to I/O");
});
