/**
 * What suspensions, timers and greenthreads know of a hub: types only.
 *
 * @module
 */

import type { GreenThread } from "./greenthread.ts";

/** Something MAINLOOP will do in its next pass. */
export interface Entry {
  /** Do it. MAINLOOP guards the call. */
  fire(): void;
  /** The hub is stopping. True: forget it; false: keep it for the next run. */
  discard(): boolean;
}

/** The inner face of a hub. */
export interface Scheduler {
  /** MAINLOOP's own greenthread. */
  readonly greenlet: GreenThread;
  /**
   * Put an entry at the end of the run queue, behind the timers that are due
   * now; starts MAINLOOP if need be.
   */
  enqueue(entry: Entry): void;
  /** How often MAINLOOP has looked which descriptors are ready. */
  readonly sweeps: number;
  /** Descriptors are watched, and no sweep was made since there were `sweeps`. */
  unswept(sweeps: number): boolean;
  /** A park on another thread is under way, or was and has not quite ended. */
  readonly resting: boolean;
  /** What a park depends on has changed: one under way must be thought over. */
  changed(): void;
  /** Somebody switches to the hub: MAINLOOP starts now. */
  launch(): void;
  /** `who` was resumed: MAINLOOP lets it run before its next step. */
  resumed(who: GreenThread): void;
  /** `who` waits again, or has ended. */
  waits(who: GreenThread): void;
  /**
   * Call `fn` after `ms`, whatever becomes of the caller. `owner`, if it is given,
   * names the call in listings and is cancelled if the hub stops before.
   */
  callLater(
    ms: number,
    fn: () => void,
    owner?: TimerOwner | null,
  ): Cancellable;
}

/** What {@linkcode Scheduler.callLater} returns. */
export interface Cancellable {
  /** Forget it; harmless when it is too late. */
  cancel(): void;
}

/** What a timer is for: a greenthread it starts, a timeout. */
export interface TimerOwner extends Cancellable {
  /** What listings call it. */
  readonly name: string;
}
