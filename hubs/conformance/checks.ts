/**
 * What several groups of the conformance suite check.
 *
 * @module
 */

import assert from "node:assert/strict";
import { SystemError } from "../../ffi/errors.ts";
import type { BaseHub } from "../hub.ts";
import { never, type Rig } from "./rig.ts";

/** A hub notices within this time that a descriptor was closed in silence. */
export const NOTICE_MS = 5000;

/** Assert that it is a SystemError EBADF. */
export function assertBadFd(error: unknown): void {
  assert.ok(error instanceof SystemError, String(error));
  assert.equal(error.code, "EBADF");
}

/**
 * Whether the hub's poller throws when it is to watch `fd`, which is not open.
 * One that does not tells of it in its next sweep.
 */
export function refusesAtOnce(hub: BaseHub, fd: number): boolean {
  let listener;
  try {
    listener = hub.add(hub.READ, fd, never, never);
  } catch (error) {
    assertBadFd(error);
    return true;
  }
  hub.remove(listener);
  return false;
}

/** Assert that MAINLOOP does next to nothing during some 50 ms. */
export async function assertNoSpin(rig: Rig): Promise<void> {
  const before = rig.hub.statistics();
  const start = performance.now();
  await new Promise((resolve) => setTimeout(resolve, 50));
  const elapsed = performance.now() - start;
  const after = rig.hub.statistics();
  // A hub that cannot park sweeps once a millisecond at most.
  const most = 10 + (before.parking === "none" ? elapsed : elapsed / 10);
  assert.ok(after.passes - before.passes <= most, "too many passes");
  assert.ok(after.sweeps - before.sweeps <= most, "too many sweeps");
}

/** Run `fn` in MAINLOOP; resolves to what it returns. */
export function inMainloop<T>(
  hub: BaseHub,
  fn: () => T | Promise<T>,
): Promise<T> {
  return new Promise((resolve) => {
    hub.scheduleCallGlobal(0, () => resolve(fn()));
  });
}

/** Numbers from 0 to below `below`, at random but the same every time. */
export function makeRandom(seed: number): (below: number) => number {
  return (below) => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
    return (seed >>> 8) % below;
  };
}
