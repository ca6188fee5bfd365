/**
 * For those who write a hub: {@linkcode BaseHub}, the {@linkcode Poller}
 * interface, its bits, and the errors.
 *
 * @example A hub is a module with `Hub` and, if it depends, `isAvailable`
 * ```ts
 * import { BaseHub, type Poller } from "./mod.ts";
 *
 * function makePoller(): Poller {
 *   return { watch() {}, sweep: () => 0, close() {} };
 * }
 *
 * export function isAvailable(): boolean {
 *   return Deno.build.os === "linux";
 * }
 *
 * export class Hub extends BaseHub {
 *   constructor() {
 *     super(makePoller());
 *   }
 * }
 * ```
 *
 * @module
 */

export { SystemError } from "../ffi/errors.ts";
export { GreenletExit, HubError, IOClosed } from "./errors.ts";
export { BaseHub, type HubOptions, type Statistics } from "./hub.ts";
export {
  type ErrorCallback,
  FdListener,
  type ReadyCallback,
} from "./listeners.ts";
export type { ParkingChoice } from "./choose_parking.ts";
export type { AnyFunction, GreenThread, LinkFunction } from "./greenthread.ts";
export type { IdleOptions } from "./idle.ts";
export type { ParkingName } from "./parking.ts";
export type { Cancellable, Entry, Scheduler, TimerOwner } from "./scheduler.ts";
export type { Suspension, SuspensionOwner } from "./suspension.ts";
export {
  BAD,
  type Interest,
  type Poller,
  READ,
  type Report,
  WRITE,
} from "./poller.ts";
export type { BuiltinHubName, HubClass, HubModule } from "./registry.ts";
export { Timeout } from "./timeout.ts";
export { Timer } from "./timers.ts";
