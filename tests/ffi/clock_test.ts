/** The hubs' clock. */

import { assert, assertEquals } from "@std/assert";
import { monotonic } from "../../ffi/clock.ts";
import { libc } from "../../ffi/libc.ts";

libc();

Deno.test("monotonic() never goes back and has fractions", () => {
  let last = monotonic();
  let fractions = 0;
  for (let i = 0; i < 10_000; i++) {
    const now = monotonic();
    assert(now >= last);
    if (now % 1 !== 0) fractions++;
    last = now;
  }
  assert(fractions > 0);
});

Deno.test("monotonic() runs at the speed of performance.now()", async () => {
  const offsets: number[] = [];
  for (let i = 0; i < 5; i++) {
    // The closest of several readings: either may be interrupted between.
    const readings = Array.from({ length: 20 }, () => {
      const before = performance.now();
      const now = monotonic();
      return { gap: performance.now() - before, offset: now - before };
    });
    readings.sort((a, b) => a.gap - b.gap);
    offsets.push(readings[0]!.offset);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const spread = Math.max(...offsets) - Math.min(...offsets);
  assert(spread < 2, `${spread} ms apart`);
  assertEquals(offsets.length, 5);
});
