/**
 * greenhub: eventlet's hubs for Deno.
 *
 * Wait for *any* file descriptor with {@linkcode trampoline}, and run
 * greenthreads on top, beside Deno's own event loop.
 *
 * @example Two greenthreads and a pause
 * ```ts
 * import { sleep, spawn } from "./mod.ts";
 *
 * const order: string[] = [];
 * const worker = async (name: string) => {
 *   order.push(name);
 *   await sleep();
 *   order.push(name);
 * };
 * const a = spawn(worker, "a");
 * const b = spawn(worker, "b");
 * await a.wait();
 * await b.wait();
 * if (order.join() !== "a,b,a,b") throw new Error(order.join());
 * ```
 *
 * @module
 */

// What a hub by specifier imports is there then, and needs no permission.
import "./hubs/mod.ts";
import { preloadHub } from "./hubs/registry.ts";

export { SystemError } from "./ffi/errors.ts";
export { CappedSemaphore } from "./green/capped_semaphore.ts";
export { QueueEmpty, QueueFull } from "./green/errors.ts";
export { GreenEvent } from "./green/event.ts";
export type { AnyIterable, Items } from "./green/inputs.ts";
export {
  asyncIO,
  type IOOptions,
  type SystemCall,
  systemCall,
  tryIO,
} from "./green/io.ts";
export { LightQueue } from "./green/light_queue.ts";
export { GreenLocal } from "./green/local.ts";
export { GreenPile } from "./green/pile.ts";
export { GreenPool } from "./green/pool.ts";
export type { PoolMap } from "./green/pool_map.ts";
export {
  LifoQueue,
  PriorityQueue,
  type PriorityQueueOptions,
  Queue,
} from "./green/queue.ts";
export { BoundedSemaphore, type Permit, Semaphore } from "./green/semaphore.ts";
export type { Comparator, Store } from "./green/stores.ts";
export { waitFor } from "./green/wait_for.ts";
export type { BlockOptions, WaitOptions } from "./green/waiters.ts";
export { withTimeout, type WithTimeoutOptions } from "./green/with_timeout.ts";
export {
  type Readiness,
  readiness,
  type ReadyOptions,
  waitReady,
} from "./green/readiness.ts";
export { GreenletExit, HubError, IOClosed } from "./hubs/errors.ts";
export { getCurrent } from "./hubs/current.ts";
export {
  type AnyFunction,
  GreenThread,
  type LinkFunction,
} from "./hubs/greenthread.ts";
export { BaseHub, type HubOptions, type Statistics } from "./hubs/hub.ts";
export {
  type ErrorCallback,
  FdListener,
  type ReadyCallback,
} from "./hubs/listeners.ts";
export type { ParkingChoice } from "./hubs/choose_parking.ts";
export type { IdleOptions } from "./hubs/idle.ts";
export type { ParkingName } from "./hubs/parking.ts";
export type {
  Cancellable,
  Entry,
  Scheduler,
  TimerOwner,
} from "./hubs/scheduler.ts";
export type { Suspension, SuspensionOwner } from "./hubs/suspension.ts";
export type { Interest, Poller, Report } from "./hubs/poller.ts";
export {
  type BuiltinHubName,
  getDefaultHub,
  getHub,
  type HubClass,
  type HubModule,
  useHub,
} from "./hubs/registry.ts";
export {
  kill,
  sleep,
  spawn,
  spawnAfter,
  spawnAfterLocal,
  spawnN,
} from "./hubs/spawn.ts";
export { type ErrorSource, Timeout } from "./hubs/timeout.ts";
export { Timer } from "./hubs/timers.ts";
export {
  type HasFileno,
  notifyClose,
  notifyOpened,
  trampoline,
  type TrampolineOptions,
} from "./hubs/trampoline.ts";

// A specifier in EVENTLET_HUB must be loaded before the first getHub().
await preloadHub();
