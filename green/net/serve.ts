/**
 * `serve`: a greenthread for every connection, up to a limit.
 *
 * The traps it guards: the connection over the limit is not accepted, so it
 * waits in the kernel and not half-way; running out of descriptors is no
 * reason to end; and an error of one handler is nobody else's.
 *
 * @module
 */

import { SystemError } from "../../ffi/errors.ts";
import { GreenletExit, IOClosed } from "../../hubs/errors.ts";
import { GreenThread } from "../../hubs/greenthread.ts";
import { suspend, TimedWait } from "../../hubs/suspend.ts";
import { getHub } from "../../hubs/registry.ts";
import { reportError } from "../../hubs/report.ts";
import { HAPPENED, type Suspension } from "../../hubs/suspension.ts";
import { currentHub, thread } from "../../hubs/thread.ts";
import { outer } from "../../hubs/thrown.ts";
import { assertMayWait } from "../../hubs/wait.ts";
import type { Listener } from "./listener.ts";
import { checkedCount, checkOptions } from "./options.ts";
import type { StreamAddr, StreamConn } from "./stream_conn.ts";

/** Thrown by a handler: {@linkcode serve} resolves. */
export class StopServe extends Error {
  /** `"StopServe"`. */
  override readonly name: string = "StopServe";

  /** Say why, if you like. */
  constructor(message = "A handler stopped the server") {
    super(message);
  }
}

/** How to {@linkcode serve}. */
export interface ServeOptions<T> {
  /** How many connections are handled at once; default 1000. */
  concurrency?: number | undefined;
  /** Called with what a handler threw, after its connection was closed. */
  onError?: ((error: unknown, conn: T) => unknown) | undefined;
}

/** What a listener, or any of several, accepts. */
export type ConnOf<L extends Listener> = L extends Listener<infer T, infer _A>
  ? T
  : never;

/** Handles one connection. */
export type Handler<T> = (conn: T) => unknown;

const CONCURRENCY = 1000;
/** Trouble of the moment: the next accept may go well. */
const TRANSIENT: ReadonlySet<string> = new Set([
  "EMFILE",
  "ENFILE",
  "ENOBUFS",
  "ENOMEM",
  "ECONNABORTED",
  // accept(2): what Linux passes on of a connection that failed already.
  "EPROTO",
  "ENETDOWN",
  "ENOPROTOOPT",
  "EHOSTDOWN",
  "EHOSTUNREACH",
  "EOPNOTSUPP",
  "ENETUNREACH",
  "EPERM",
]);
const FIRST_PAUSE = 5;
const LAST_PAUSE = 1000;

/**
 * A handler's greenthread. It has no wrapper around the handler: that would
 * cost each idle connection a few hundred bytes.
 */
class HandlerThread<T extends StreamConn> extends GreenThread {
  readonly #server: Server<T>;
  readonly #conn: T;

  constructor(server: Server<T>, handler: Handler<T>, conn: T) {
    super(handler, [conn]);
    const { site } = server;
    if (site !== undefined) thread.observer?.made(this as GreenThread, site);
    this.#server = server;
    this.#conn = conn;
    this.inheritContext();
  }

  override end(failed: boolean, value: unknown): void {
    if (this.dead) return;
    // Its error is for onError; whoever waits for it gets it, too.
    this.expectWait();
    super.end(failed, value);
    this.#server.handled(this.#conn, failed, value);
  }
}

/** One call of `serve`. */
class Server<T extends StreamConn> {
  readonly #listener: Listener<T, StreamAddr>;
  readonly #handler: Handler<T>;
  readonly #concurrency: number;
  /** Where serve was called, if somebody wants to know. */
  readonly site: string | undefined = thread.observer === null
    ? undefined
    : new Error().stack;
  readonly #onError: (error: unknown, conn: T) => unknown;
  #active = 0;
  /** Breaks its own accept off; others may be waiting in the listener too. */
  #interrupt: (() => void) | null = null;
  #stopped = false;
  #failure: { error: unknown } | null = null;
  /** Nobody waits for it any more. */
  #over = false;
  /** It waits for a handler to end, or for a pause to be over. */
  #resting: Suspension | null = null;
  #pause = FIRST_PAUSE;

  constructor(
    listener: Listener<T, StreamAddr>,
    handler: Handler<T>,
    concurrency: number,
    onError: (error: unknown, conn: T) => unknown,
  ) {
    this.#listener = listener;
    this.#handler = handler;
    this.#concurrency = concurrency;
    this.#onError = onError;
  }

  async run(): Promise<void> {
    const forget = this.#listener.whenClosed(() => this.#stop());
    let done = false;
    try {
      while (!this.#stopped && this.#listener.fileno() >= 0) {
        if (this.#active >= this.#concurrency) await this.#rest(null);
        else await this.#accept();
      }
      done = true;
    } finally {
      forget();
      this.#over = true;
      // Another error is on its way out.
      if (!done && this.#failure !== null) reportLost(this.#failure.error);
    }
    if (this.#failure !== null) throw this.#failure.error;
  }

  async #accept(): Promise<void> {
    try {
      const conn = await this.#nextConn();
      this.#active++;
      this.#pause = FIRST_PAUSE;
      const gt = new HandlerThread(this, this.#handler, conn);
      currentHub().enqueue(gt);
    } catch (error) {
      if (error === this) return;
      if (error instanceof IOClosed && this.#listener.fileno() < 0) return;
      if (!(error instanceof SystemError && TRANSIENT.has(error.code))) {
        throw error;
      }
      await this.#rest(this.#pause);
      this.#pause = Math.min(2 * this.#pause, LAST_PAUSE);
    }
  }

  async #nextConn(): Promise<T> {
    const listener = this.#listener;
    const others = listener.waiting;
    const accepting = listener.accept();
    const { waiting } = listener;
    if (waiting !== null && waiting !== others) {
      const { promise } = waiting;
      // Later it may stand for somebody else's wait.
      this.#interrupt = () => {
        if (waiting.promise === promise) waiting.throw(this);
      };
    }
    try {
      return await accepting;
    } finally {
      this.#interrupt = null;
    }
  }

  /** Wait until a handler ends or the server stops, at most `ms`. */
  async #rest(ms: number | null): Promise<void> {
    const hub = getHub();
    const pause = ms === null ? null : new TimedWait(hub, ms);
    const suspension = pause?.suspension ?? suspend(hub, HAPPENED);
    this.#resting = suspension;
    try {
      await suspension.promise;
    } finally {
      this.#resting = null;
      pause?.cancel();
    }
  }

  /** A handler has ended. */
  handled(conn: T, failed: boolean, error: unknown): void {
    conn.abandon();
    if (!failed || error instanceof GreenletExit) this.#free();
    else if (error instanceof StopServe) {
      this.#stop();
      this.#free();
    } else void this.#complain(error, conn).finally(() => this.#free());
  }

  #free(): void {
    this.#active--;
    this.#resting?.schedule();
  }

  async #complain(error: unknown, conn: T): Promise<void> {
    try {
      await this.#onError(error, conn);
    } catch (failure) {
      if (this.#over || this.#failure !== null) {
        reportLost(failure);
        return;
      }
      this.#failure = { error: failure };
      this.#stop();
    }
  }

  #stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#resting?.schedule();
    // Only what serve itself waits in: the listener is somebody else's.
    this.#interrupt?.();
  }
}

/** What onError threw when serve could not reject with it. */
function reportLost(error: unknown): void {
  reportError("Error in the onError of a serve that has ended", error);
}

function report(error: unknown, conn: StreamConn): void {
  const { remoteAddr } = conn;
  const peer = "port" in remoteAddr
    ? `${remoteAddr.hostname}:${remoteAddr.port}`
    : remoteAddr.path ?? "a Unix socket";
  reportError(`Error in a handler of serve, for ${peer}`, error);
}

/**
 * Call `handler(conn)` in a greenthread of its own for each connection.
 *
 * Resolves when the listener is closed or a handler throws
 * {@linkcode StopServe}. A handler's return or error closes its connection;
 * whoever waits for its greenthread gets it, too. A read or write that is under
 * way there and that nobody awaits is given up. At the limit no connection is
 * accepted until a handler ends. Running out of descriptors is waited out.
 * Killing `serve` leaves the running handlers and the listener alone.
 *
 * @param listener Where connections come from; it is not closed.
 * @param handler Called with each; a promise is awaited.
 * @param options The limit, and who hears of errors: by default stderr.
 * @throws Whatever `onError` throws first; what it throws later, or when `serve`
 * has ended, is reported on stderr.
 * @throws {SystemError} If accepting fails for good.
 * @throws {TypeError} If an argument or an option has the wrong type.
 * @throws {RangeError} If `concurrency` is no integer from 1; it may be Infinity.
 * @throws {HubError} From MAINLOOP.
 *
 * @example An echo server
 * ```ts
 * import { connect, listen, serve, StopServe } from "../net.ts";
 * import { spawn } from "../../mod.ts";
 *
 * using listener = listen({ hostname: "127.0.0.1", port: 0 });
 * const server = spawn(() =>
 *   serve(listener, async (conn) => {
 *     const p = new Uint8Array(1024);
 *     for (let n; (n = await conn.read(p)) !== null;) {
 *       await conn.write(p.subarray(0, n));
 *     }
 *     throw new StopServe();
 *   })
 * );
 * using conn = await connect({ port: listener.addr.port });
 * await conn.write(new Uint8Array([1]));
 * await conn.read(new Uint8Array(1));
 * await conn.closeWrite();
 * await server.wait();
 * ```
 */
export function serve<L extends Listener>(
  listener: L,
  handler: Handler<ConnOf<L>>,
  options: ServeOptions<ConnOf<L>> = {},
): Promise<void> {
  return outer(serveOn(listener, handler, options));
}

async function serveOn<T extends StreamConn>(
  listener: Listener,
  handler: Handler<T>,
  options: ServeOptions<T>,
): Promise<void> {
  assertMayWait("serve");
  if (typeof listener?.whenClosed !== "function") {
    throw new TypeError("Cannot serve: the listener is none of listen()");
  }
  if (typeof handler !== "function") {
    throw new TypeError(
      `Cannot serve: handler is no function: ${typeof handler}`,
    );
  }
  checkOptions(options ?? {}, "serve");
  const { concurrency = CONCURRENCY, onError = report } = options ?? {};
  checkedCount(concurrency, "concurrency", "serve");
  if (typeof onError !== "function") {
    throw new TypeError(`Cannot serve: onError is no function`);
  }
  const from = listener as unknown as Listener<T, StreamAddr>;
  await new Server(from, handler, concurrency, onError).run();
}
