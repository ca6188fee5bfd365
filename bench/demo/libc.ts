/**
 * The C functions the demo calls, opened as any user of the package would
 * open them: the hubs never hear of this library, only of its descriptors.
 *
 * The trap it guards: errno belongs to the thread and to the last call, so it
 * is read in the expression right after the call that failed.
 *
 * @module
 */

import { notifyClose, SystemError, trampoline } from "../../mod.ts";

const SYMBOLS = {
  socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
  setsockopt: {
    parameters: ["i32", "i32", "i32", "buffer", "u32"],
    result: "i32",
  },
  bind: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  getsockname: { parameters: ["i32", "buffer", "buffer"], result: "i32" },
  listen: { parameters: ["i32", "i32"], result: "i32" },
  accept4: { parameters: ["i32", "buffer", "buffer", "i32"], result: "i32" },
  connect: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  recv: { parameters: ["i32", "buffer", "u32", "i32"], result: "i32" },
  send: { parameters: ["i32", "buffer", "u32", "i32"], result: "i32" },
  read: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  write: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  close: { parameters: ["i32"], result: "i32" },
  pipe2: { parameters: ["buffer", "i32"], result: "i32" },
  timerfd_create: { parameters: ["i32", "i32"], result: "i32" },
  timerfd_settime: {
    parameters: ["i32", "i32", "buffer", "buffer"],
    result: "i32",
  },
  inotify_init1: { parameters: ["i32"], result: "i32" },
  inotify_add_watch: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  mkdtemp: { parameters: ["buffer"], result: "pointer" },
  creat: { parameters: ["buffer", "u32"], result: "i32" },
  unlink: { parameters: ["buffer"], result: "i32" },
  rmdir: { parameters: ["buffer"], result: "i32" },
  clock_gettime: { parameters: ["i32", "buffer"], result: "i32" },
  __errno_location: { parameters: [], result: "pointer" },
} as const satisfies Deno.ForeignLibraryInterface;

type Symbols = Deno.DynamicLibrary<typeof SYMBOLS>["symbols"];

const EINTR = 4;
const EAGAIN = 11;
const CLOCK_PROCESS_CPUTIME_ID = 2;

let symbols: Symbols | null = null;
let errnoCell = new Int32Array(1);

/** The functions, opened at the first call. */
export function libc(): Symbols {
  if (symbols === null) {
    symbols = Deno.dlopen("libc.so.6", SYMBOLS).symbols;
    const cell = symbols.__errno_location()!;
    errnoCell = new Int32Array(
      Deno.UnsafePointerView.getArrayBuffer(cell, 4),
    );
  }
  return symbols;
}

/** Why the last call failed. */
export function errno(): number {
  return errnoCell[0]!;
}

/** Return the result of a call, or throw why it failed. */
export function check(result: number, call: string): number {
  if (result >= 0) return result;
  throw new SystemError(errno(), call, `Cannot call ${call}`);
}

/** A string as C wants it. */
export function cString(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(`${text}\0`);
}

/** The CPU time that this process has used on all its threads, ms. */
export function cpuTime(): number {
  const timespec = new BigInt64Array(2);
  const bytes = new Uint8Array(timespec.buffer);
  check(
    libc().clock_gettime(CLOCK_PROCESS_CPUTIME_ID, bytes),
    "clock_gettime",
  );
  return Number(timespec[0]) * 1e3 + Number(timespec[1]) / 1e6;
}

/**
 * A non-blocking descriptor of any kind, read and written with `trampoline`.
 *
 * The pattern is the one for every descriptor in the world: try first, wait
 * for readiness when the kernel says EAGAIN, try again.
 */
export class Descriptor implements Disposable {
  #fd: number;
  /** How often it had to wait for room to write. */
  waitsToWrite = 0;

  /** Take a descriptor over. */
  constructor(fd: number) {
    this.#fd = fd;
  }

  /** Its number; -1 once closed. What `trampoline` asks for. */
  fileno(): number {
    return this.#fd;
  }

  /** Read what is there, at least one byte; 0 at the end. */
  async read(into: Uint8Array<ArrayBuffer>): Promise<number> {
    for (;;) {
      const n = this.tryRead(this.#fd, into);
      if (n >= 0) return n;
      if (wouldBlock(errno(), "read")) await trampoline(this, { read: true });
    }
  }

  /** Write it all. */
  async write(bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    let rest = bytes;
    while (rest.length > 0) {
      const n = this.tryWrite(this.#fd, rest);
      if (n >= 0) rest = rest.subarray(n);
      else if (wouldBlock(errno(), "write")) {
        this.waitsToWrite++;
        await trampoline(this, { write: true });
      }
    }
  }

  /** Close it; whoever still waits for it learns so first. */
  [Symbol.dispose](): void {
    if (this.#fd < 0) return;
    notifyClose(this.#fd);
    libc().close(this.#fd);
    this.#fd = -1;
  }

  /** One call, without waiting. */
  protected tryRead(fd: number, into: Uint8Array<ArrayBuffer>): number {
    return libc().read(fd, into, into.length);
  }

  /** One call, without waiting. */
  protected tryWrite(fd: number, bytes: Uint8Array<ArrayBuffer>): number {
    return libc().write(fd, bytes, bytes.length);
  }
}

/** Whether to wait; false: just try again. Anything else is an error. */
export function wouldBlock(code: number, call: string): boolean {
  if (code === EAGAIN) return true;
  if (code === EINTR) return false;
  throw new SystemError(code, call);
}
