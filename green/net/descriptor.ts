/**
 * What every green socket does with its descriptor: take it over, give it
 * back, and say so when it is gone.
 *
 * The trap it guards: the system hands out a number again the moment it is
 * closed. So the hub learns of every close *before* it, which wakes all who
 * wait, and of every new descriptor before its first use.
 *
 * @module
 */

import { closeSocket } from "../../ffi/socket.ts";
import { closeAtUnload, closedBefore } from "../../ffi/unload.ts";
import { IOClosed } from "../../hubs/errors.ts";
import type { BaseHub } from "../../hubs/hub.ts";
import type { FdListener } from "../../hubs/listeners.ts";
import { READ } from "../../hubs/poller.ts";
import { thread } from "../../hubs/thread.ts";
import type { OwnedWait } from "../../hubs/wait.ts";

/** A descriptor that the kernel has just made: whoever waits for a former
 * owner of its number learns that it is gone. */
export function adopt(fd: number): number {
  if (thread.background !== null) keepAlive(fd, true);
  (thread.hub as BaseHub | null)?.markAsReopened(fd);
  closeAtUnload(fd);
  return fd;
}

/** Whether waits for `fd` keep the process alive: `ref` and `unref`. */
export function keepAlive(fd: number, on: boolean): void {
  if (fd < 0) return;
  const background = thread.background ?? new Set();
  if (background.has(fd) !== on) return;
  if (on) background.delete(fd);
  else background.add(fd);
  thread.background = background.size > 0 ? background : null;
  thread.hub?.changed();
}

/** Wake all who wait for it, and close it. */
export function giveBack(fd: number): void {
  if (thread.background !== null) keepAlive(fd, true);
  (thread.hub as BaseHub | null)?.notifyClose(fd);
  closedBefore(fd);
  closeSocket(fd);
}

/**
 * Those that wait for the same as `wait`, in the same way, oldest first. Looks
 * at all listeners there are, so for those alone that may have to queue.
 */
export function allLike<W extends OwnedWait>(wait: W): W[] {
  const hub = thread.hub as BaseHub | null;
  const { evtype, fd, constructor } = wait;
  const all = evtype === READ ? hub?.getReaders() : hub?.getWriters();
  const like = all?.filter((one: FdListener) =>
    one.fd === fd && one.constructor === constructor
  );
  return like as W[] | undefined ?? [];
}

/**
 * The latest of them; null if there is none. Where second readers may queue,
 * there can be some before one that is broken off: the socket must know of
 * them, or the next call would take their data.
 */
export function latestLike<W extends OwnedWait>(wait: W): W | null {
  return allLike(wait).at(-1) ?? null;
}

/** A call on something that was closed. */
export function closedError(action: string): IOClosed {
  return new IOClosed(-1, `Cannot ${action}: the socket is closed`);
}

/** The buffer of a call that waits is not any more what it was given. */
export function detachedError(action: string): TypeError {
  return new TypeError(
    `Cannot ${action}: the buffer was detached, or has shrunk, meanwhile`,
  );
}

/**
 * A time limit in ms as users give it; undefined is none.
 *
 * @throws {TypeError} If it is no number.
 * @throws {RangeError} If it is NaN.
 */
export function checkedTimeout(
  ms: number | null | undefined,
  action: string,
  what = "ms",
): number | null {
  if (ms === undefined || ms === null) return null;
  if (typeof ms !== "number") {
    throw new TypeError(`Cannot ${action}: ${what} is no number: ${typeof ms}`);
  }
  if (Number.isNaN(ms)) {
    throw new RangeError(`Cannot ${action}: ${what} is NaN`);
  }
  return ms;
}

/** Throw a TypeError unless `p` is a byte array. */
export function checkBytes(p: unknown, action: string): void {
  if (!(p instanceof Uint8Array)) {
    throw new TypeError(`Cannot ${action}: the buffer is no Uint8Array`);
  }
}
