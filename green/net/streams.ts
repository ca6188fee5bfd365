/**
 * `readable` and `writable` of a connection, as Deno's own behave: the end of
 * either closes the connection, and so does an error.
 *
 * The traps it guards: a call that was refused (`HubError`) is no error of the
 * connection, where others may be reading and writing; a stream that allocates
 * its buffer when it is asked for data keeps one per idle connection; and bytes
 * for a view whose reader has let go must not wait for more bytes to come. Here
 * bytes are received into a scratch buffer of the thread's once they are there,
 * and copied out.
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

type Bytes = Uint8Array<ArrayBuffer>;

/** A byte stream that knows what kind of reader it has. */
class ByteStream extends ReadableStream<Bytes> {
  #byob = false;

  /**
   * What answers a view reaches whoever reads now. If another kind of reader
   * has come, it would stay in the queue: only what is enqueued reaches that.
   */
  get answerable(): boolean {
    return this.#byob || !this.locked;
  }

  override getReader(options: { mode: "byob" }): ReadableStreamBYOBReader;
  override getReader(
    options?: { mode?: undefined },
  ): ReadableStreamDefaultReader<Bytes>;
  override getReader(
    options?: { mode?: "byob" | undefined },
  ): ReadableStreamBYOBReader | ReadableStreamDefaultReader<Bytes> {
    const reader = super.getReader(options as { mode: "byob" });
    if (!(reader instanceof ReadableStreamBYOBReader)) return reader;
    this.#byob = true;
    reader.releaseLock = () => {
      ReadableStreamBYOBReader.prototype.releaseLock.call(reader);
      this.#byob = false;
    };
    return reader;
  }
}

async function fill(
  source: StreamSource,
  stream: ByteStream,
  controller: ReadableByteStreamController,
): Promise<void> {
  const request = controller.byobRequest;
  let more: boolean;
  if (request?.view) {
    const { buffer, byteOffset, byteLength } = request.view;
    const view = new Uint8Array(buffer, byteOffset, byteLength);
    const n = await source.read(view);
    more = n !== null;
    if (more && stream.answerable) request.respond(n!);
    else if (more) controller.enqueue(view.slice(0, n!));
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
): ReadableStream<Bytes> {
  const bytes: UnderlyingByteSource = {
    type: "bytes",
    async pull(controller) {
      try {
        await fill(source, stream, controller);
      } catch (error) {
        throw broken(source, error);
      }
    },
    cancel() {
      source.close();
    },
  };
  const stream = new ByteStream(bytes as UnderlyingSource, {
    highWaterMark: 0,
  });
  return stream;
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
