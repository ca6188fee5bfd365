/** A timer on the wall clock. */

import { assert, assertEquals } from "@std/assert";
import { assertNoFdLeak } from "../helpers/fds.ts";
import { testWith } from "../helpers/need.ts";
import { assertIdle, load } from "./support.ts";

const recipe = await load(import("./timerfd.ts"));
const NEEDS = ["Linux", recipe !== null] as const;
const { moments } = recipe ?? {} as never;

testWith(
  NEEDS,
  "moments() comes at times of day, and counts the missed",
  async () => {
    await assertNoFdLeak(async () => {
      const start = Date.now() + 5;
      const steps: number[] = [];
      let sum = 0;
      for await (const passed of moments(new Date(start), 10)) {
        steps.push(passed);
        sum += passed;
        assert(Date.now() >= start + (sum - 1) * 10 - 1, "early");
        if (steps.length === 2) break;
        // Deaf while three more moments pass: they come as one step.
        while (Date.now() < start + 35);
      }
      assertEquals(steps.length, 2);
      assert(sum >= 4, `${sum} moments`);
    });
    assertIdle();
  },
);
