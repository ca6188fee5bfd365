/**
 * Two ways to wait for the ring's pipes: a listener each, as a program on
 * libevent does, and a greenthread each, as one on eventlet does.
 *
 * @module
 */

import {
  getHub,
  type GreenThread,
  kill,
  sleep,
  spawn,
  trampoline,
} from "../../mod.ts";
import { READ } from "../../hubs/mod.ts";
import type { Ring } from "./ring.ts";

/** Undoes what a way to wait has set up. */
export type Undo = () => Promise<void>;

/** The names of the ways. */
export type Way = "listeners" | "trampoline";

/** A listener for every pipe, kept for good. */
export async function listenersOn(ring: Ring): Promise<Undo> {
  const hub = getHub();
  const listeners = Array.from(
    ring.readers,
    (fd, index) =>
      hub.add(READ, fd, () => ring.onReady(index), (error) => {
        throw error;
      }),
  );
  await sleep(0);
  return async () => {
    for (const listener of listeners) hub.remove(listener);
    await sleep(0);
  };
}

/** A greenthread for every pipe, which waits for it again and again. */
export async function trampolinesOn(ring: Ring): Promise<Undo> {
  const read = { read: true };
  const greenthreads: GreenThread<void>[] = Array.from(
    ring.readers,
    (fd, index) =>
      spawn(async () => {
        for (;;) {
          await trampoline(fd, read);
          ring.onReady(index);
        }
      }),
  );
  await sleep(0);
  return async () => {
    for (const greenthread of greenthreads) await kill(greenthread);
  };
}

/** By name. */
export const ways: Readonly<Record<Way, (ring: Ring) => Promise<Undo>>> = {
  listeners: listenersOn,
  trampoline: trampolinesOn,
};
