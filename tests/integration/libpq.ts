/**
 * PostgreSQL through its own C library, libpq, and not a line of the protocol.
 *
 * libpq has an asynchronous interface made for event loops: it says what it
 * waits for on its socket, and the program waits. So a connection is awaited
 * with `waitReady`, a result with `trampoline`, notifications with `readiness`;
 * the library does the rest (passwords, TLS, whatever its version can).
 *
 * Traps: connecting may close one socket and open another, so the descriptor
 * is asked for anew each time. A query is sent while its answers come in:
 * waiting for writing alone would be a deadlock once both buffers are full. A
 * host *name* is looked up by a blocking call; give `hostaddr` or a socket.
 */

import { notifyClose, readiness, trampoline, waitReady } from "../../mod.ts";
import { cString, textAt } from "./c.ts";

const pq = Deno.dlopen("libpq.so.5", {
  PQconnectStart: { parameters: ["buffer"], result: "pointer" },
  PQconnectPoll: { parameters: ["pointer"], result: "i32" },
  PQsocket: { parameters: ["pointer"], result: "i32" },
  PQsetnonblocking: { parameters: ["pointer", "i32"], result: "i32" },
  PQfinish: { parameters: ["pointer"], result: "void" },
  PQerrorMessage: { parameters: ["pointer"], result: "pointer" },
  PQsendQuery: { parameters: ["pointer", "buffer"], result: "i32" },
  PQflush: { parameters: ["pointer"], result: "i32" },
  PQconsumeInput: { parameters: ["pointer"], result: "i32" },
  PQisBusy: { parameters: ["pointer"], result: "i32" },
  PQgetResult: { parameters: ["pointer"], result: "pointer" },
  PQresultStatus: { parameters: ["pointer"], result: "i32" },
  PQresultErrorMessage: { parameters: ["pointer"], result: "pointer" },
  PQntuples: { parameters: ["pointer"], result: "i32" },
  PQnfields: { parameters: ["pointer"], result: "i32" },
  PQgetvalue: { parameters: ["pointer", "i32", "i32"], result: "pointer" },
  PQclear: { parameters: ["pointer"], result: "void" },
  PQnotifies: { parameters: ["pointer"], result: "pointer" },
  PQfreemem: { parameters: ["pointer"], result: "void" },
  PQgetCancel: { parameters: ["pointer"], result: "pointer" },
  PQfreeCancel: { parameters: ["pointer"], result: "void" },
  // It opens a connection of its own and blocks: not on this thread.
  PQcancel: {
    parameters: ["pointer", "buffer", "i32"],
    result: "i32",
    nonblocking: true,
  },
}).symbols;

const PGRES_POLLING_FAILED = 0;
const PGRES_POLLING_READING = 1;
const PGRES_POLLING_OK = 3;
const PGRES_BAD_RESPONSE = 5;
const PGRES_FATAL_ERROR = 7;

/** What the server or libpq had to say. */
export class PostgresError extends Error {
  override readonly name: string = "PostgresError";
}

/** One message of `NOTIFY channel, 'payload'`. */
export interface Notification {
  readonly channel: string;
  readonly payload: string;
}

/** A connection. One query at a time. */
export class Connection implements Disposable {
  #conn: Deno.PointerValue;

  private constructor(conn: Deno.PointerValue) {
    this.#conn = conn;
  }

  /**
   * Connect as `conninfo` says: `host=/run/postgresql dbname=postgres`. Each
   * step of it (there are several, and more with TLS) may take `timeout` ms.
   */
  static async open(conninfo: string, timeout = 10_000): Promise<Connection> {
    const self = new Connection(pq.PQconnectStart(cString(conninfo)));
    try {
      let step = pq.PQsocket(self.#conn) < 0 ? PGRES_POLLING_FAILED : -1;
      while (step !== PGRES_POLLING_OK) {
        if (step === PGRES_POLLING_FAILED) throw self.#error();
        const read = step === PGRES_POLLING_READING;
        await waitReady(self.fileno(), { read, write: !read, timeout });
        step = pq.PQconnectPoll(self.#conn);
      }
      pq.PQsetnonblocking(self.#conn, 1);
      return self;
    } catch (error) {
      self.close();
      throw error;
    }
  }

  /** The socket, which is libpq's. */
  fileno(): number {
    return this.#conn === null ? -1 : pq.PQsocket(this.#conn);
  }

  /**
   * Run SQL: the rows of its last statement, every value as text.
   *
   * To break it off and keep the connection, `cancel` it. One that was broken
   * off by a kill or a `Timeout` leaves an answer on the way: close it then.
   */
  async query(sql: string): Promise<string[][]> {
    if (pq.PQsendQuery(this.#conn, cString(sql)) === 0) throw this.#error();
    for (let left; (left = pq.PQflush(this.#conn)) !== 0;) {
      if (left < 0) throw this.#error();
      const ready = await waitReady(this.fileno(), { read: true, write: true });
      if (ready.readable) this.#consume();
    }
    let rows: string[][] = [];
    let failure: PostgresError | null = null;
    // To the very end, an error included: only then may the next query be sent.
    for (let result; (result = await this.#result()) !== null;) {
      const status = pq.PQresultStatus(result);
      if (status === PGRES_FATAL_ERROR || status === PGRES_BAD_RESPONSE) {
        failure ??= new PostgresError(textAt(pq.PQresultErrorMessage(result)));
      } else rows = rowsOf(result);
      pq.PQclear(result);
    }
    if (failure !== null) throw failure;
    return rows;
  }

  /** Ask the server to give up the query under way, which then rejects. */
  async cancel(): Promise<void> {
    const cancel = pq.PQgetCancel(this.#conn);
    const message = new Uint8Array(256);
    const sent = await pq.PQcancel(cancel, message, message.length);
    pq.PQfreeCancel(cancel);
    if (sent === 0) throw new PostgresError(new TextDecoder().decode(message));
  }

  /** What comes after `LISTEN`, until the connection is closed. */
  async *notifications(): AsyncGenerator<Notification, void> {
    yield* this.#notified();
    for await (const _ of readiness(this, { read: true })) {
      this.#consume();
      yield* this.#notified();
    }
  }

  /** Hang up. Whoever still waits for this connection gets `IOClosed`. */
  close(): void {
    if (this.#conn === null) return;
    const fd = this.fileno();
    if (fd >= 0) notifyClose(fd);
    pq.PQfinish(this.#conn);
    this.#conn = null;
  }

  [Symbol.dispose](): void {
    this.close();
  }

  async #result(): Promise<Deno.PointerValue> {
    while (pq.PQisBusy(this.#conn) !== 0) {
      await trampoline(this.fileno(), { read: true });
      this.#consume();
    }
    return pq.PQgetResult(this.#conn);
  }

  #consume(): void {
    if (pq.PQconsumeInput(this.#conn) === 0) throw this.#error();
  }

  *#notified(): Generator<Notification, void> {
    for (let n; (n = pq.PQnotifies(this.#conn)) !== null;) {
      // struct pgNotify { char *relname; int be_pid; char *extra; ... }
      const view = new Deno.UnsafePointerView(n);
      const channel = textAt(view.getPointer(0));
      const payload = textAt(view.getPointer(16));
      pq.PQfreemem(n);
      yield { channel, payload };
    }
  }

  #error(): PostgresError {
    return new PostgresError(textAt(pq.PQerrorMessage(this.#conn)).trim());
  }
}

function rowsOf(result: Deno.PointerValue): string[][] {
  const fields = pq.PQnfields(result);
  return Array.from(
    { length: pq.PQntuples(result) },
    (_, row) =>
      Array.from(
        { length: fields },
        (_, field) => textAt(pq.PQgetvalue(result, row, field)),
      ),
  );
}
