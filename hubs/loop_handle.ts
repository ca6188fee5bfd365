/**
 * A descriptor of ours that Deno's loop reads, by the handles behind Node's
 * sockets and pipes.
 *
 * The traps it guards: a read that fails ends all reading without a word; and
 * none of this is documented by Deno, so a constructor throws, or says later
 * that it cannot go on, and the caller falls back.
 *
 * @module
 */

import process from "node:process";
import { libc } from "../ffi/libc.ts";
import { closeAtThreadExit } from "../ffi/thread_exit.ts";

/** The part of Node's internal stream handles that is used. */
interface StreamHandle {
  onread: () => void;
  open(fd: number): number;
  useUserBuffer(buffer: Uint8Array): void;
  readStart(): number;
  readStop(): number;
  close(): void;
  ref(): void;
  unref(): void;
}

/**
 * The two kinds of handle. Each time the loop turns it reads the descriptor of
 * a `Pipe`, which may be any, and that of a `TCP`, which must be a socket, only
 * after its I/O driver has seen it readable.
 */
type HandleKind = "Pipe" | "TCP";

const BINDINGS = { Pipe: "pipe_wrap", TCP: "tcp_wrap" } as const;

/** So often in a row reading may fail before it is given up. */
const MOST_FAILURES = 16;

/** What {@linkcode process.binding} gives, as far as it is used. */
interface Binding extends
  Record<
    HandleKind,
    new (type: number) => StreamHandle
  > {
  readonly constants: { readonly SOCKET: number };
  readonly streamBaseState?: Int32Array;
}

function binding(name: string): Binding {
  const owner = process as unknown as { binding(name: string): Binding };
  return owner.binding(name);
}

/** What the read behind an `onread` gave, bytes or -errno, is at 0. */
let state: Int32Array | undefined;

/**
 * A descriptor that Deno's loop reads for us. After it became readable,
 * `onEvent` is called from the loop. It keeps the process alive between `ref()`
 * and `unref()` only.
 *
 * A read that fails (a signal suffices) ends all reading, and looks like data
 * but for the count: it is begun anew. `onFailure` is called when that does not
 * help.
 */
export class LoopHandle {
  readonly fd: number;
  readonly #handle: StreamHandle;
  readonly #keep: Disposable | null;
  readonly #onEvent: () => void;
  readonly #onFailure: () => void;
  #failures = 0;
  #closed = false;

  constructor(
    kind: HandleKind,
    fd: number,
    onEvent: () => void,
    onFailure: () => void,
  ) {
    this.fd = fd;
    this.#onEvent = onEvent;
    this.#onFailure = onFailure;
    let close = (): void => void libc().close(fd);
    try {
      // Success is taken for granted where this Deno does not tell.
      state ??= binding("stream_wrap").streamBaseState ?? Int32Array.of(1);
      const found = binding(BINDINGS[kind]);
      const handle = this.#handle = new found[kind](found.constants.SOCKET);
      handle.onread = () => this.#read();
      let opened = handle.open(fd) === 0;
      if (opened) {
        close = () => handle.close();
        // Without one, 64 KiB are allocated for each read.
        handle.useUserBuffer(new Uint8Array(16));
        opened = handle.readStart() === 0;
      }
      if (!opened) {
        throw new Error("Cannot watch a descriptor with Deno's loop");
      }
    } catch (error) {
      close();
      throw error;
    }
    this.#handle.unref();
    // The other kind sees to that by itself.
    this.#keep = kind === "Pipe" ? closeAtThreadExit(fd) : null;
  }

  /** Keep the process alive. */
  ref(): void {
    this.#handle.ref();
  }

  /** Do not keep the process alive. */
  unref(): void {
    this.#handle.unref();
  }

  /** Stop watching and close the descriptor. */
  close(): void {
    this.#closed = true;
    this.#keep?.[Symbol.dispose]();
    this.#handle.close();
  }

  #read(): void {
    if (state![0]! > 0) {
      this.#failures = 0;
      this.#onEvent();
    } else if (!this.#closed) {
      // Not now: Deno stops reading once this has returned.
      setImmediate(() => this.#readAgain());
    }
  }

  #readAgain(): void {
    if (this.#closed) return;
    if (++this.#failures > MOST_FAILURES) {
      this.#onFailure();
      return;
    }
    // Without the stop, Deno's I/O driver is not asked about a socket again.
    this.#handle.readStop();
    if (this.#handle.readStart() !== 0) this.#onFailure();
  }
}
