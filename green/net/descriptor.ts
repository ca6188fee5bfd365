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
import { IOClosed } from "../../hubs/errors.ts";
import { checkDelay } from "../../hubs/checks.ts";
import type { BaseHub } from "../../hubs/hub.ts";
import { thread } from "../../hubs/thread.ts";

/** A descriptor that the kernel has just made: whoever waits for a former
 * owner of its number learns that it is gone. */
export function adopt(fd: number): number {
  (thread.hub as BaseHub | null)?.markAsReopened(fd);
  return fd;
}

/** Wake all who wait for it, and close it. */
export function giveBack(fd: number): void {
  (thread.hub as BaseHub | null)?.notifyClose(fd);
  closeSocket(fd);
}

/** A call on something that was closed. */
export function closedError(action: string): IOClosed {
  return new IOClosed(-1, `Cannot ${action}: the socket is closed`);
}

/**
 * A time limit in ms as users give it; undefined is none.
 *
 * @throws {TypeError} If it is no number.
 * @throws {RangeError} If it is NaN.
 */
export function checkedTimeout(ms: number | null | undefined): number | null {
  if (ms === undefined || ms === null) return null;
  checkDelay(ms);
  return ms;
}

/** Throw a TypeError unless `p` is a byte array. */
export function checkBytes(p: unknown, action: string): void {
  if (!(p instanceof Uint8Array)) {
    throw new TypeError(`Cannot ${action}: the buffer is no Uint8Array`);
  }
}
