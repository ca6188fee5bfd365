import { assertAlmostEquals, assertEquals } from "@std/assert";
import { change } from "../../bench/tools/compare.ts";
import { median, rowOf } from "../../bench/tools/results.ts";

/** A measurement whose iterations scatter by so much. */
function times(min: number, scatter = 1.05) {
  return { min, avg: min * (1 + scatter) / 2, p75: min * scatter };
}

Deno.test("change() marks what moved further than it scatters", () => {
  assertEquals(change(times(100), times(150)).verdict, "slower");
  assertEquals(change(times(150), times(100)).verdict, "faster");
  assertAlmostEquals(change(times(100), times(150)).ratio, 1.5);
});

Deno.test("change() takes a tenth for drift", () => {
  assertEquals(change(times(100), times(109)).verdict, "");
  assertEquals(change(times(109), times(100)).verdict, "");
});

Deno.test("change() takes the scatter of either run for noise", () => {
  assertEquals(change(times(100, 1.6), times(150)).verdict, "");
  assertEquals(change(times(100), times(150, 1.6)).verdict, "");
});

Deno.test("change() says nothing when fastest and average disagree", () => {
  const before = { min: 100, avg: 130, p75: 105 };
  const after = { min: 120, avg: 125, p75: 125 };
  assertEquals(change(before, after).verdict, "");
  assertEquals(change(before, after).ratio, 1);
});

Deno.test("median() is the middle one, or between the middle two", () => {
  assertEquals(median([3, 1, 2]), 2);
  assertEquals(median([4, 1, 2, 3]), 2.5);
});

Deno.test("rowOf() has a median for each figure that some round has", () => {
  const row = rowOf([{ a: 1, b: 5 }, { a: 3 }, { a: 2, b: 7 }]);
  assertEquals(row.median, { a: 2, b: 6 });
});
