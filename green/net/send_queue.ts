/**
 * Datagrams that could not be sent at once: in order of arrival for each
 * destination, and no destination waits for another.
 *
 * The traps it guards: the descriptor has room for one more writer only, so
 * what waits for it waits together. It polls writable although one receiver is
 * full (Unix), so waiting for that would spin: there, and where else it was
 * writable in vain, a pause comes between two tries. And a send may wait for
 * what the close of a descriptor does not end: a pause, a look-up.
 *
 * @module
 */

import { EAGAIN } from "../../ffi/constants.ts";
import { SystemError } from "../../ffi/errors.ts";
import { type Lookup, lookUp } from "../../ffi/resolve.ts";
import {
  familyOf,
  inetOf,
  pathOf,
  type RawAddress,
} from "../../ffi/sockaddr.ts";
import { transmitTo } from "../../ffi/socket.ts";
import { AF_UNIX } from "../../ffi/socket_constants.ts";
import { getCurrent } from "../../hubs/current.ts";
import type { BaseHub } from "../../hubs/hub.ts";
import { WRITE } from "../../hubs/poller.ts";
import { getHub } from "../../hubs/registry.ts";
import { suspend } from "../../hubs/suspend.ts";
import { thread } from "../../hubs/thread.ts";
import type { Timer } from "../../hubs/timers.ts";
import { detachedError } from "./descriptor.ts";
import { inTurn } from "./in_turn.ts";
import { QueuedCall, QueueListener } from "./queued.ts";

const AGAIN = -EAGAIN;
const FIRST_PAUSE = 1;
const LAST_PAUSE = 16;

/**
 * Send a datagram now: how many bytes were sent, or undefined if that has to
 * wait.
 *
 * @throws {SystemError} If the kernel refuses.
 */
export function sendNow(
  fd: number,
  p: Uint8Array,
  to: RawAddress,
): number | undefined {
  const n = transmitTo(fd, p, to);
  if (n >= 0) return n;
  if (n === AGAIN) return undefined;
  const what = `${p.length} ${p.length === 1 ? "byte" : "bytes"}`;
  const action = `Cannot send ${what} to ${placeOf(to)}`;
  throw new SystemError(-n, "sendto", action);
}

function placeOf(raw: RawAddress): string {
  if (familyOf(raw) === AF_UNIX) return pathOf(raw, raw.length)!;
  const { hostname, port } = inetOf(raw);
  return hostname.includes(":")
    ? `[${hostname}]:${port}`
    : `${hostname}:${port}`;
}

/** No key of an address is one of a name: that has a colon. */
function keyOf(to: RawAddress | Lookup): string {
  if (to instanceof Uint8Array) return to.join();
  return `${to.host.toLowerCase()}:${to.port}`;
}

/** One send. */
class Job extends QueuedCall {
  destination: Destination | null = null;
  readonly #queue: SendQueue;
  readonly #bytes: Uint8Array;
  /** From the beginning: a buffer can be detached. */
  readonly #length: number;

  constructor(queue: SendQueue, hub: BaseHub, bytes: Uint8Array) {
    super((owner) => suspend(hub, owner));
    this.#queue = queue;
    this.#bytes = bytes;
    this.#length = bytes.length;
  }

  /** Try to send; undefined: it has to wait. */
  attempt(fd: number, to: RawAddress): number | undefined {
    if (this.#bytes.length < this.#length) throw detachedError("send");
    return sendNow(fd, this.#bytes, to);
  }

  protected override leave(): void {
    this.#queue.drop(this);
  }
}

/** Where some sends go, in order; at least one, unless it is looked up. */
class Destination {
  readonly key: string;
  /** null: it is looked up. */
  readonly to: RawAddress | null;
  readonly jobs: Job[] = [];
  /** The next pause between two tries. */
  pause = FIRST_PAUSE;
  timer: Timer | null = null;

  constructor(key: string, to: RawAddress | null) {
    this.key = key;
    this.to = to;
  }

  add(job: Job): void {
    job.destination = this;
    this.jobs.push(job);
  }
}

/** The sends that wait, of one socket. */
export class SendQueue extends QueueListener {
  readonly #owner: object;
  readonly #family: number;
  #hub: BaseHub | null = null;
  readonly #destinations = new Map<string, Destination>();
  /** Those that wait for the descriptor, in the order of their turns. */
  readonly #full = new Set<Destination>();

  /**
   * Make an empty queue.
   *
   * @param owner The socket.
   */
  constructor(owner: object, fd: number, family: number) {
    const ready = (): void => this.#ready();
    const lost = (error: Error): void => this.#loseAll([...this.#full], error);
    super(WRITE, fd, ready, lost, null, getCurrent());
    this.spent = true;
    this.#owner = owner;
    this.#family = family;
  }

  /** Others wait to be sent there, and must not be overtaken. */
  holds(to: RawAddress): boolean {
    // What waits in a hub that was replaced is dead to the world.
    return this.#destinations.size > 0 && this.#hub === thread.hub &&
      this.#destinations.has(keyOf(to));
  }

  /**
   * Put a send at the end of those to its destination.
   *
   * @param to An address that must wait, or a name.
   * @param timeout For all of it, ms, or null.
   * @throws {HubError} From MAINLOOP, or if somebody else waits for the
   * descriptor.
   */
  push(
    p: Uint8Array,
    to: RawAddress | Lookup,
    timeout: number | null,
  ): Promise<number> {
    const hub = getHub();
    if (hub !== this.#hub) this.#moveTo(hub);
    const job = new Job(this, hub, p);
    try {
      if (timeout !== null && timeout !== Infinity) job.limit(hub, timeout);
      this.#put(job, to);
    } catch (error) {
      job.over();
      this.drop(job);
      job.suspension.withdraw();
      throw error;
    }
    return job.suspension.promise as Promise<number>;
  }

  /** A send was broken off. */
  drop(job: Job): void {
    const { destination } = job;
    const at = destination?.jobs.indexOf(job) ?? -1;
    if (at < 0) return;
    destination!.jobs.splice(at, 1);
    // Others may still come for the answer of a look-up.
    if (destination!.to !== null && destination!.jobs.length === 0) {
      this.#forget(destination!);
    }
    this.#settle();
  }

  /** The socket is closed. */
  close(error: Error): void {
    this.#loseAll([...this.#destinations.values()], error);
  }

  #moveTo(hub: BaseHub): void {
    for (const destination of this.#destinations.values()) {
      destination.timer?.cancel();
    }
    this.#destinations.clear();
    this.#full.clear();
    this.#settle();
    this.#hub = hub;
  }

  #put(job: Job, to: RawAddress | Lookup): void {
    const key = keyOf(to);
    const known = this.#destinations.get(key);
    if (known !== undefined) {
      known.add(job);
      // Timers end with `hub.abort()`.
      const { timer } = known;
      if (timer !== null && !timer.pending) this.#pause(known);
      return;
    }
    const named = !(to instanceof Uint8Array);
    const destination = new Destination(key, named ? null : to);
    this.#destinations.set(key, destination);
    destination.add(job);
    if (named) this.#lookUp(destination, to);
    else this.#wait(destination);
  }

  #lookUp(destination: Destination, what: Lookup): void {
    lookUp(what).then(
      (found) => this.#found(destination, found),
      (error) => this.#notFound(destination, error),
    );
  }

  /** Its jobs are of an address now, behind those that wait there already. */
  #found(named: Destination, found: readonly RawAddress[]): void {
    if (this.#hub !== thread.hub) return;
    if (!this.#forget(named) || named.jobs.length === 0) return;
    const to = found.find((raw) => familyOf(raw) === this.#family) ?? found[0]!;
    const key = keyOf(to);
    const known = this.#destinations.get(key);
    const destination = known ?? new Destination(key, to);
    for (const job of named.jobs) destination.add(job);
    if (known !== undefined) return;
    this.#destinations.set(key, destination);
    this.#again(destination);
  }

  #notFound(named: Destination, error: unknown): void {
    if (this.#hub !== thread.hub) return;
    this.#forget(named);
    for (const job of named.jobs.splice(0)) {
      job.over();
      job.suspension.scheduleError(error);
    }
  }

  /** Wait until the next try is due. */
  #wait(destination: Destination): void {
    if (this.#family === AF_UNIX) {
      this.#pause(destination);
      return;
    }
    this.#full.add(destination);
    this.#listen();
  }

  #pause(destination: Destination): void {
    const again = (): void => {
      destination.timer = null;
      this.#again(destination);
    };
    destination.timer = this.#hub!.callLater(destination.pause, again);
    destination.pause = Math.min(2 * destination.pause, LAST_PAUSE);
  }

  /** Try again, and send all that can be. */
  #again(destination: Destination): void {
    const { jobs } = destination;
    while (jobs.length > 0) {
      if (this.#sendOne(destination)) continue;
      this.#orLose([destination], () => this.#wait(destination));
      return;
    }
    this.#forget(destination);
  }

  /** It is writable: one for each, and again while there is room. */
  #ready(): void {
    let room = false;
    for (const destination of this.#full) {
      if (this.#sendOne(destination)) {
        room = true;
        // It comes again in this very loop, behind the others.
        this.#full.delete(destination);
        if (destination.jobs.length > 0) this.#full.add(destination);
        else this.#forget(destination);
      } else if (!room) {
        // It is not the descriptor that has no room.
        this.#full.delete(destination);
        this.#orLose([destination], () => this.#pause(destination));
      }
    }
    this.#settle();
    // Its place was given away (`hub.removeDescriptor`), and there is more.
    if (this.#full.size > 0 && this.spent) {
      this.#orLose([...this.#full], () => this.#listen());
    }
  }

  /** Send the first; false: it has to wait. */
  #sendOne(destination: Destination): boolean {
    const job = destination.jobs[0]!;
    try {
      const n = job.attempt(this.fd, destination.to!);
      if (n === undefined) return false;
      job.suspension.schedule(n);
    } catch (error) {
      job.suspension.scheduleError(error);
    }
    destination.jobs.shift();
    destination.pause = FIRST_PAUSE;
    job.over();
    // What is sent at once from now on comes back after it.
    inTurn(this.#owner, job.suspension.promise);
    return true;
  }

  #listen(): void {
    const [{ jobs: [job] }] = this.#full as unknown as [Destination];
    this.speakFor(job!);
    if (this.spent) this.listen(this.#hub!);
  }

  /** Nobody waits for the descriptor any more, or somebody else does. */
  #settle(): void {
    if (this.spent) return;
    if (this.#full.size === 0) this.#hub!.removeListener(this);
    else this.#listen();
  }

  /** False if it was forgotten already. */
  #forget(destination: Destination): boolean {
    const { key } = destination;
    destination.timer?.cancel();
    destination.timer = null;
    this.#full.delete(destination);
    if (this.#destinations.get(key) !== destination) return false;
    return this.#destinations.delete(key);
  }

  /** What begins a wait may throw; MAINLOOP has no use for that. */
  #orLose(destinations: readonly Destination[], begin: () => void): void {
    try {
      begin();
    } catch (error) {
      this.#loseAll(destinations, error);
    }
  }

  #loseAll(destinations: readonly Destination[], error: unknown): void {
    for (const destination of destinations) this.#forget(destination);
    this.#settle();
    const lost = destinations.flatMap(({ jobs }) => jobs.splice(0));
    for (const job of lost) {
      job.over();
      job.suspension.throw(error);
    }
  }
}
