/**
 * Writes that could not be finished at once, in order of arrival.
 *
 * The trap it guards: two greenthreads that write to one connection must not
 * mix their bytes, so the second waits until all of the first is sent. The
 * sending goes on in MAINLOOP; a greenthread is resumed once, at the end.
 *
 * @module
 */

import { EAGAIN } from "../../ffi/constants.ts";
import { shutdownWrite, transmit } from "../../ffi/socket.ts";
import { getCurrent } from "../../hubs/current.ts";
import { suspend } from "../../hubs/suspend.ts";
import type { BaseHub } from "../../hubs/hub.ts";
import { WRITE } from "../../hubs/poller.ts";
import { getHub } from "../../hubs/registry.ts";
import { Suspension, type SuspensionOwner } from "../../hubs/suspension.ts";
import { thread } from "../../hubs/thread.ts";
import { disown } from "../../hubs/thrown.ts";
import { detachedError } from "./descriptor.ts";
import { QueuedCall, QueueListener } from "./queued.ts";

/** Turns an errno of a write into the error to throw. */
export type WriteError = (errno: number) => Error;

const AGAIN = -EAGAIN;
/** What was to be sent is not there any more. */
const GONE = 1;

/**
 * What a write under way is for. MAINLOOP may not wait, but then it need not:
 * it has a promise, and goes on meanwhile.
 */
function begin(hub: BaseHub, owner: SuspensionOwner): Suspension {
  const current = getCurrent();
  if (!current.isMainloop) return suspend(hub, owner);
  const suspension = new Suspension(current, hub);
  suspension.owner = owner;
  return suspension;
}

/** One write, or the end of all writing. */
class Job extends QueuedCall {
  readonly #queue: WriteQueue;
  /** null: shut the sending side down. */
  readonly #bytes: Uint8Array | null;
  /** Of all, from the beginning: a buffer can be detached. */
  readonly #length: number;
  #sent: number;

  constructor(queue: WriteQueue, bytes: Uint8Array | null, sent: number) {
    super((owner) => begin(getHub(), owner));
    this.#queue = queue;
    this.#bytes = bytes;
    this.#length = bytes === null ? 0 : bytes.length;
    this.#sent = sent;
  }

  get result(): number | undefined {
    return this.#bytes === null ? undefined : this.#sent;
  }

  /** Go on; 0 when done, else -errno or GONE. */
  advance(fd: number): number {
    const bytes = this.#bytes;
    const length = this.#length;
    if (bytes === null) return -shutdownWrite(fd);
    if (bytes.length < length) return GONE;
    while (this.#sent < length) {
      const n = transmit(fd, bytes.subarray(this.#sent, length));
      if (n < 0) return n;
      this.#sent += n;
    }
    return 0;
  }

  protected override leave(): void {
    this.#queue.drop(this);
  }
}

/** The writes that wait, of one connection. */
export class WriteQueue extends QueueListener {
  #jobs: Job[] = [];
  #hub: BaseHub | null = null;
  readonly #errorOf: WriteError;
  #whenIdle: (() => void) | null = null;

  /** Make an empty queue. */
  constructor(fd: number, errorOf: WriteError) {
    const advance = (): void => this.#advance();
    const lost = (error: Error): void => this.#lose(error);
    super(WRITE, fd, advance, lost, null, getCurrent());
    this.spent = true;
    this.#errorOf = errorOf;
  }

  /** Writes are pending. */
  get busy(): boolean {
    // What waits in a hub that was replaced is dead to the world.
    return this.#jobs.length > 0 && this.#hub === thread.hub;
  }

  /**
   * Put a write at the end, of which `sent` bytes have gone already; null is
   * the end of all writing.
   *
   * @throws {HubError} If somebody else waits for the descriptor.
   */
  push(
    bytes: Uint8Array | null,
    sent: number,
    timeout: number | null,
  ): Promise<unknown> {
    const hub = getHub();
    if (hub !== this.#hub) this.#jobs = [];
    const job = new Job(this, bytes, sent);
    if (this.#jobs.length === 0) {
      try {
        this.speakFor(job);
        this.listen(hub);
      } catch (error) {
        job.suspension.withdraw();
        throw error;
      }
      this.#hub = hub;
    }
    this.#jobs.push(job);
    if (timeout !== null && timeout !== Infinity) {
      try {
        job.limit(hub, timeout);
      } catch (error) {
        // The hub's clock has thrown.
        this.drop(job);
        job.suspension.withdraw();
        throw error;
      }
    }
    return job.suspension.promise;
  }

  /** Call `fn` when nothing is pending; at once if nothing is. */
  whenIdle(fn: () => void): void {
    if (this.busy) this.#whenIdle = fn;
    else fn();
  }

  /** Those that fail from now on need not be awaited. */
  disown(): void {
    for (const job of this.#jobs) disown(job.suspension.promise);
  }

  /** A write was broken off. */
  drop(job: Job): void {
    const at = this.#jobs.indexOf(job);
    if (at < 0) return;
    this.#jobs.splice(at, 1);
    this.#next();
  }

  #next(): void {
    const [job] = this.#jobs;
    if (job !== undefined) {
      this.speakFor(job);
      return;
    }
    this.#hub?.removeListener(this);
    const whenIdle = this.#whenIdle;
    this.#whenIdle = null;
    whenIdle?.();
  }

  /** The socket takes more. */
  #advance(): void {
    let first = true;
    for (let [job] = this.#jobs; job !== undefined; [job] = this.#jobs) {
      const rc = job.advance(this.fd);
      if (rc === AGAIN) {
        if (this.spent) this.#listenAgain();
        return;
      }
      this.#jobs.shift();
      job.over();
      this.#next();
      const { suspension } = job;
      // One is resumed now; MAINLOOP lets it run before the next.
      if (rc !== 0) {
        const error = rc === GONE ? detachedError("write") : this.#errorOf(-rc);
        if (first) suspension.throw(error);
        else suspension.scheduleError(error);
      } else if (first) suspension.resume(job.result);
      else suspension.schedule(job.result);
      first = false;
    }
  }

  /** Its place was given away (`hub.removeDescriptor`), and there is more. */
  #listenAgain(): void {
    try {
      this.listen(this.#hub!);
    } catch (error) {
      this.#lose(error as Error);
    }
  }

  /** The descriptor is being closed. */
  #lose(error: Error): void {
    const jobs = this.#jobs;
    this.#jobs = [];
    this.#whenIdle = null;
    for (const job of jobs) {
      job.over();
      job.suspension.throw(error);
    }
  }
}
