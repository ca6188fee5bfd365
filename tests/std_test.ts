/**
 * The stand-ins for `@std/testing` hold what the real package promises, as far
 * as the tests rely on it: these cases pass with either.
 */

import {
  assertEquals,
  AssertionError,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import {
  afterEach,
  beforeAll,
  beforeEach,
  describe,
  it,
} from "@std/testing/bdd";
import {
  assertSpyCall,
  assertSpyCalls,
  MockError,
  returnsNext,
  spy,
  stub,
} from "@std/testing/mock";

describe("describe()", () => {
  const log: string[] = [];
  beforeAll(() => void log.push("all"));
  beforeEach(() => void log.push("outer"));
  afterEach(async () => {
    await Promise.resolve();
    log.push("after");
  });

  it("runs the hooks around a case", () => {
    assertEquals(log, ["all", "outer"]);
  });

  describe("within another", () => {
    beforeEach(() => void log.push("inner"));

    it("runs the hooks of both, the outer first", () => {
      assertEquals(log, ["all", "outer", "after", "outer", "inner"]);
    });
  });
});

Deno.test("spy() records arguments, results and errors of a function", () => {
  const half = spy((n: number): number => {
    if (n % 2) throw new RangeError("odd");
    return n / 2;
  });
  assertEquals(half(8), 4);
  assertThrows(() => half(3), RangeError, "odd");
  assertSpyCalls(half, 2);
  assertSpyCall(half, 0, { args: [8], returned: 4 });
  assertSpyCall(half, 1, { error: { Class: RangeError, msgIncludes: "odd" } });
  assertThrows(() => assertSpyCalls(half, 1), AssertionError);
  assertThrows(() => assertSpyCall(half, 0, { args: [9] }), AssertionError);
});

Deno.test("spy() on a method lets it work and gives it back", () => {
  const list = [1, 2];
  const push = list.push;
  {
    using recorded = spy(list, "push");
    assertEquals(list.push(3), 3);
    assertSpyCall(recorded, 0, { args: [3], self: list, returned: 3 });
  }
  assertStrictEquals(list.push, push);
  assertEquals(list, [1, 2, 3]);
});

Deno.test("stub() replaces a method until restore()", () => {
  const clock = { now: (): number => 1 };
  const now = stub(clock, "now", returnsNext([5, 6]));
  assertEquals([clock.now(), clock.now()], [5, 6]);
  assertThrows(() => clock.now(), MockError);
  now.restore();
  assertEquals(clock.now(), 1);
  assertSpyCalls(now, 3);
  assertThrows(() => now.restore(), MockError);
});
