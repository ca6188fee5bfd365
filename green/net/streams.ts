/**
 * `readable` and `writable` of a connection, as Deno's own behave: the end of
 * either closes the connection, and so does an error.
 *
 * The traps it guards: a call that was refused (`HubError`) is no error of the
 * connection, where others may be reading and writing; and a stream that
 * allocates its buffer when it is asked for data keeps one per idle connection.
 * Here bytes are received into a scratch buffer of the thread's once they are
 * there, and copied out.
 *
 * @module
 */

import { HubError } from "../../hubs/errors.ts";

/** What the streams need of a connection. */
export interface StreamSource {
  /** Receive into `p`; null at the end. */
  read(p: Uint8Array): Promise<number | null>;
  /** Receive what is there as a chunk of its own; null at the end. */
  readChunk(): Promise<Uint8Array<ArrayBuffer> | null>;
  /** Send all of `p`. */
  write(p: Uint8Array): Promise<number>;
  /** Close it. */
  close(): void;
  /** Close it once the writes under way are done. */
  closeWhenWritten(): void;
}

async function fill(
  source: StreamSource,
  controller: ReadableByteStreamController,
): Promise<void> {
  const request = controller.byobRequest;
  let more: boolean;
  if (request?.view) {
    const { buffer, byteOffset, byteLength } = request.view;
    const view = new Uint8Array(buffer, byteOffset, byteLength);
    const n = await source.read(view);
    more = n !== null;
    if (more) request.respond(n!);
  } else {
    const chunk = await source.readChunk();
    more = chunk !== null;
    if (more) controller.enqueue(chunk!);
  }
  if (more) return;
  controller.close();
  controller.byobRequest?.respond(0);
  source.closeWhenWritten();
}

/** Close what an error has ended; returns the error. */
function broken(source: StreamSource, error: unknown): unknown {
  if (!(error instanceof HubError)) source.close();
  return error;
}

/** The data received, as a byte stream. */
export function makeReadable(
  source: StreamSource,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  return new ReadableStream({
    type: "bytes",
    async pull(controller) {
      try {
        await fill(source, controller);
      } catch (error) {
        throw broken(source, error);
      }
    },
    cancel() {
      source.close();
    },
  }, { highWaterMark: 0 }) as ReadableStream<Uint8Array<ArrayBuffer>>;
}

/** Whatever has bytes, as bytes; what has none is left for `write` to refuse. */
function bytesOf(chunk: unknown): Uint8Array {
  if (ArrayBuffer.isView(chunk)) {
    if (chunk instanceof Uint8Array) return chunk;
    return new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  }
  const raw = chunk instanceof ArrayBuffer ||
    chunk instanceof SharedArrayBuffer;
  return raw ? new Uint8Array(chunk) : chunk as Uint8Array;
}

/** A stream whose chunks are sent. */
export function makeWritable(
  source: StreamSource,
): WritableStream<Uint8Array<ArrayBufferLike>> {
  return new WritableStream({
    async write(chunk) {
      try {
        await source.write(bytesOf(chunk));
      } catch (error) {
        throw broken(source, error);
      }
    },
    close() {
      source.close();
    },
    abort() {
      source.close();
    },
  });
}
