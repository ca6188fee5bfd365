/**
 * What is one per thread: the current hub, and the debug settings that outlive
 * it. A Worker loads its own copy of this module, so module state is thread
 * state.
 *
 * The trap it guards: greenthreads park in *the current* hub, and the hub runs
 * greenthreads; this small file between them keeps imports from going round.
 *
 * @module
 */

import type { GreenThread } from "./greenthread.ts";
import type { Scheduler } from "./scheduler.ts";

/** Debug switches that every hub of the thread obeys (`hubs/debug.ts`). */
export interface Settings {
  /** Report errors nobody waits for on stderr. */
  exceptions: boolean;
  /** A second reader (writer) of a descriptor is an error, not a queue. */
  preventMultipleReaders: boolean;
  /** Record where listeners are made. */
  listenerStacks: boolean;
  /** Record where timers are made. */
  timerStacks: boolean;
}

/** Told by MAINLOOP of each step, if there is one (`hubs/debug.ts`). */
export interface StepObserver {
  /** A pass begins, or goes on: what was before is nobody's time. */
  restart(): void;
  /** MAINLOOP gives the thread away: what follows is nobody's time. */
  pause(): void;
  /** The time so far was `who`'s; null: a callback's. */
  lap(who: GreenThread | null): void;
  /** A greenthread was made, here or where `stack` says. */
  made(gt: GreenThread, stack?: string): void;
}

/**
 * So many waits of greenthreads for each other may be over before they began,
 * from one pass of MAINLOOP to the next: then one goes by the hub.
 */
export const PATIENCE = 1000;

/**
 * So many calls of sockets and descriptors may need no wait, from one step of
 * MAINLOOP to the next, beside one for each who was resumed by it: then one
 * goes by the hub.
 */
export const CALLS = 31;

interface Thread {
  hub: Scheduler | null;
  /** Descriptors waits for which keep no process alive; null: there are none. */
  background: Set<number> | null;
  /** MAINLOOP has resumed or called several in its last pass. */
  crowded: boolean;
  /** Calls that need no wait before one shall wait all the same. */
  patience: number;
  /** The same for calls of sockets and descriptors. */
  calls: number;
  /** Null costs one look at each step and each spawn. */
  observer: StepObserver | null;
  /** Set by the registry: makes the hub at first use. */
  makeHub: () => Scheduler;
  /** What the class under construction has begun; null: none is. */
  making: Scheduler[] | null;
  readonly settings: Settings;
}

/** The calling thread's state. */
export const thread: Thread = {
  hub: null,
  background: null,
  crowded: false,
  patience: PATIENCE,
  calls: CALLS,
  observer: null,
  makeHub: () => {
    throw new Error("No hub: hubs/registry.ts was not loaded");
  },
  making: null,
  settings: {
    exceptions: true,
    preventMultipleReaders: true,
    listenerStacks: false,
    timerStacks: false,
  },
};

/** The thread's hub, made if there is none yet. */
export function currentHub(): Scheduler {
  return thread.hub ?? thread.makeHub();
}
