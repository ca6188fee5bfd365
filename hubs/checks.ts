/**
 * Arguments, checked once at the door: wrong types are `TypeError`s, wrong
 * values `RangeError`s, and nothing has happened yet.
 *
 * @module
 */

import type { HubOptions } from "./hub.ts";
import { READ, WRITE } from "./poller.ts";

/** The largest number a descriptor can have. */
const MAX_FD = 2 ** 31 - 1;

/**
 * The descriptor, if it may be one; -0 is 0, which C has no other sign for.
 *
 * @throws {TypeError} If it is no number.
 * @throws {RangeError} If it is no integer from 0 to 2^31 - 1.
 */
export function checkedFd(fd: unknown, action = "wait"): number {
  if (typeof fd !== "number") {
    throw new TypeError(`Cannot ${action}: fd is no number: ${typeof fd}`);
  }
  if (!(Number.isInteger(fd) && fd >= 0 && fd <= MAX_FD)) {
    throw new RangeError(`Cannot ${action}: fd is no descriptor: ${fd}`);
  }
  return fd | 0;
}

/**
 * Throw unless `ms` is a delay.
 *
 * @throws {TypeError} If it is no number.
 * @throws {RangeError} If it is NaN.
 */
export function checkDelay(ms: unknown): void {
  if (typeof ms !== "number") {
    throw new TypeError(`Cannot schedule: ms is no number: ${typeof ms}`);
  }
  if (Number.isNaN(ms)) {
    throw new RangeError("Cannot schedule: ms is NaN");
  }
}

/**
 * Throw unless `value` is true or false.
 *
 * @param what Its name, for the message.
 * @param action What is refused, for the message.
 * @throws {TypeError} If it is something else.
 */
export function checkBoolean(
  value: unknown,
  what: string,
  action: string,
): void {
  if (typeof value === "boolean") return;
  throw new TypeError(
    `Cannot ${action}: ${what} is no boolean: ${
      value === null ? "null" : typeof value
    }`,
  );
}

/**
 * An option that is true or false; `otherwise` if it is left out, or null.
 *
 * @throws {TypeError} If it is something else.
 */
export function checkedBoolean(
  value: unknown,
  what: string,
  action: string,
  otherwise = false,
): boolean {
  if (value === undefined || value === null) return otherwise;
  checkBoolean(value, what, action);
  return value as boolean;
}

/** Throw unless `ms` is a delay and `fn` can be called after it. */
export function checkScheduled(ms: unknown, fn: unknown): void {
  checkDelay(ms);
  if (typeof fn !== "function") {
    throw new TypeError(`Cannot schedule: fn is no function: ${typeof fn}`);
  }
}

/**
 * Whether `hub.abort` shall wait; null counts as no options.
 *
 * @throws {TypeError} If the options are none, or `wait` is no boolean.
 */
export function checkedAbort(options: unknown): boolean {
  if (options === undefined || options === null) return false;
  checkObject(options, "abort");
  const { wait } = options as { readonly wait?: unknown };
  return checkedBoolean(wait, "wait", "abort");
}

/** The descriptor among the arguments of `hub.add`, if they all are right. */
export function checkedAdd(
  evtype: unknown,
  fd: unknown,
  cb: unknown,
  tb: unknown,
  markAsClosed: unknown,
): number {
  if (typeof evtype !== "number") {
    throw new TypeError(
      `Cannot listen: evtype is no number: ${typeof evtype}`,
    );
  }
  if (evtype !== READ && evtype !== WRITE) {
    throw new RangeError(
      `Cannot listen: evtype is neither READ nor WRITE: ${evtype}`,
    );
  }
  const checked = checkedFd(fd);
  if (typeof cb !== "function" || typeof tb !== "function") {
    throw new TypeError("Cannot listen: cb and tb must be functions");
  }
  if (markAsClosed !== null && typeof markAsClosed !== "function") {
    throw new TypeError("Cannot listen: markAsClosed is no function");
  }
  return checked;
}

/**
 * The options of a hub; null counts as none, and so it does for each of them.
 * Whether their values are right is seen where they are used.
 *
 * @throws {TypeError} If they, or one of them, have the wrong type.
 */
export function checkedOptions<T extends HubOptions>(options: T | null): T {
  if (options === null) return {} as T;
  checkObject(options, "make a hub");
  checkOption("parking", options.parking, "string");
  checkOption("briefWait", options.briefWait, "number");
  return options;
}

function checkObject(options: unknown, action: string): void {
  if (typeof options === "object") return;
  throw new TypeError(
    `Cannot ${action}: options is no object: ${typeof options}`,
  );
}

function checkOption(name: string, value: unknown, type: string): void {
  if (value === undefined || value === null || typeof value === type) return;
  throw new TypeError(
    `Cannot make a hub: ${name} is no ${type}: ${typeof value}`,
  );
}

/** The clock, if it is one. */
export function checkedClock(clock: unknown): () => number {
  if (typeof clock !== "function") {
    throw new TypeError(`Cannot set the clock: no function: ${typeof clock}`);
  }
  return clock as () => number;
}

/** Throw a `TypeError` that names the method a poller lacks. */
export function checkPoller(poller: unknown): void {
  for (const method of ["watch", "sweep", "close"] as const) {
    if (typeof (poller as Record<string, unknown>)?.[method] !== "function") {
      throw new TypeError(`Cannot make a hub: the poller has no ${method}()`);
    }
  }
}
