/**
 * `kill`: throw at a greenthread, and wait until it has unwound.
 *
 * The trap it guards: code of the victim that does the killing. One that runs
 * kills itself, and its call throws; an event handler it has set up, while it
 * waits, kills it like anybody else.
 *
 * @module
 */

import { getCurrent } from "./current.ts";
import { HubError } from "./errors.ts";
import type { GreenThread } from "./greenthread.ts";
import { nextPass, suspend } from "./suspend.ts";
import { HAPPENED } from "./suspension.ts";
import { currentHub, thread } from "./thread.ts";
import { noteAddressed, refused } from "./thrown.ts";

/** `kill`, as a function and as a method. @internal */
export function killGreenThread(
  gt: GreenThread,
  error: unknown,
): Promise<void> {
  if (gt.dead) return Promise.resolve();
  if (gt.isMainloop) {
    return Promise.reject(
      new HubError("Cannot kill MAINLOOP: use hub.abort()"),
    );
  }
  const current = getCurrent();
  // What waits does not run: then it is an event handler it has set up.
  if (current === gt && !gt.waiting) {
    const promise = Promise.reject(error);
    // It need not be awaited here: then it strikes at the next wait.
    noteAddressed(promise, () => {
      gt.throw(error);
      return true;
    });
    return promise;
  }
  try {
    const { started } = gt;
    gt.throw(error);
    // It was for no hub yet, so there is nobody to let go first.
    if (!started && thread.hub === null) return Promise.resolve();
    if (current === gt || current.isMainloop) return nextPass(currentHub());
    const suspension = suspend(currentHub(), HAPPENED);
    suspension.schedule();
    return suspension.promise as Promise<void>;
  } catch (failure) {
    return refused(failure);
  }
}
