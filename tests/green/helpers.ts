/**
 * What the tests of the primitives share: a hub of its own for each, at whose
 * end no timer may be left, and a clock that only they move.
 */

import { assertEquals } from "@std/assert";
import { getHub, sleep, spawn, trampoline } from "../../mod.ts";
import type { Rig } from "../../hubs/conformance/rig.ts";
import { hubTest } from "../hubs/hub_test_case.ts";

/** Register a test; when it is over, its hub must have nothing left. */
export function greenTest(
  name: string,
  run: (rig: Rig) => void | Promise<void>,
): void {
  hubTest(name, async (rig) => {
    await run(rig);
    rig.assertIdle();
  });
}

/** Let all that is ready run, several greenthreads deep. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 4; i++) await sleep();
}

/** The hub's clock, stopped; `advance` moves it and lets happen what is due. */
export class StoppedClock {
  #now = 1000;

  constructor() {
    getHub().clock = () => this.#now;
  }

  /** Move on, and let all that is ready run. */
  async advance(ms: number): Promise<void> {
    this.#now += ms;
    // Assigning it tells a hub that has parked.
    getHub().clock = () => this.#now;
    await settle();
  }
}

/** Greenthreads that each make one wait; how it ended goes into a log. */
export class Log {
  readonly lines: string[] = [];

  /** Wait in a greenthread of its own. */
  spawn(name: string, wait: () => Promise<unknown>): ReturnType<typeof spawn> {
    return spawn(async () => {
      try {
        const value = await wait();
        this.lines.push(value === undefined ? name : `${name} ${value}`);
      } catch (error) {
        this.lines.push(`${name} ${(error as Error).name}`);
      }
    });
  }

  /** Assert what has been logged since the last time. */
  expect(...lines: string[]): void {
    assertEquals(this.lines.splice(0), lines);
  }
}

/** Run `step` again and again, until all others have had their turn. */
export async function assertStarvesNobody(
  rig: Rig,
  step: () => Promise<unknown>,
): Promise<void> {
  const [reader, writer] = rig.pipe();
  const turns = new Set<string>();
  spawn(() => turns.add("greenthread"));
  getHub().scheduleCallGlobal(1, () => turns.add("timer"));
  setTimeout(() => {
    turns.add("Deno's timer");
    rig.write(writer);
  }, 1);
  const io = spawn(async () => {
    await trampoline(reader, { read: true });
    turns.add("descriptor");
  });
  const hog = spawn(async () => {
    for (let i = 0; i < 300_000 && turns.size < 4; i++) await step();
    return [...turns].sort();
  });
  const all = ["Deno's timer", "descriptor", "greenthread", "timer"];
  assertEquals(await hog.wait(), all);
  await io.wait();
}
