/**
 * An eventfd: how another thread wakes a greenthread, with a number and without
 * a message.
 *
 * The descriptor belongs to the process, so a Worker, a C library's own thread
 * or a child that inherited it can write to it; the hub wakes as for any other.
 */

import { asyncIO, notifyClose, systemCall } from "../../mod.ts";

const libc = Deno.dlopen("libc.so.6", {
  eventfd: { parameters: ["u32", "i32"], result: "i32" },
  read: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  write: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  close: { parameters: ["i32"], result: "i32" },
}).symbols;

const EFD_NONBLOCK = 0o4000;
const EFD_CLOEXEC = 0o2000000;

/** A counter in the kernel. */
export class EventFd implements Disposable {
  readonly #count = new BigUint64Array(1);
  #fd = systemCall(
    () => libc.eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC),
    "eventfd",
  );

  /** The descriptor, for whoever shall write 8 bytes to it; -1 once closed. */
  fileno(): number {
    return this.#fd;
  }

  /** Add to the counter. */
  post(count = 1n): void {
    const value = new BigUint64Array([count]);
    systemCall(() => libc.write(this.#fd, value, 8), "write");
  }

  /** Wait until the counter is not 0, and set it to 0: what it was. */
  async take(): Promise<bigint> {
    const call = () => libc.read(this.#fd, this.#count, 8);
    await asyncIO(this, { read: true }, call);
    return this.#count[0]!;
  }

  [Symbol.dispose](): void {
    if (this.#fd < 0) return;
    notifyClose(this.#fd);
    libc.close(this.#fd);
    this.#fd = -1;
  }
}
