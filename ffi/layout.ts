/**
 * The C structures the hubs exchange with the kernel, as offsets.
 *
 * The trap it guards: `struct epoll_event` is packed on x86-64 only. Elsewhere
 * its 64-bit data is aligned, so both size and offset differ.
 *
 * @module
 */

/** Size of `struct epoll_event` and offset of its `data`, in bytes. */
export interface EpollEventLayout {
  readonly size: number;
  readonly data: number;
}

/** `struct epoll_event` by architecture (epoll_ctl(2)). */
export const EPOLL_EVENT: Readonly<Record<string, EpollEventLayout>> = {
  x86_64: { size: 12, data: 4 },
  aarch64: { size: 16, data: 8 },
};

/** The layout for an architecture; unknown ones follow the aligned rule. */
export function epollEventLayout(
  arch: string = Deno.build.arch,
): EpollEventLayout {
  return EPOLL_EVENT[arch] ?? { size: 16, data: 8 };
}

/** Size of `struct pollfd`: `int fd; short events; short revents`. */
export const POLLFD_SIZE = 8;

/** Size of `struct itimerspec`: interval, then value. */
export const ITIMERSPEC_SIZE = 32;

/** Bits of one word of an `fd_set`, as we write it. */
export const FD_BITS = 32;

/**
 * A `struct timespec` that is filled from milliseconds.
 *
 * Rounds up: a wait never ends before its time. `bytes` is what the kernel is
 * given; it must stay referenced while a call uses it.
 */
export class Timespec {
  /** 16 bytes: seconds, nanoseconds, both 64-bit. */
  readonly bytes: Uint8Array<ArrayBuffer> = new Uint8Array(16);
  readonly #words = new Uint32Array(this.bytes.buffer);

  /** Set the time in milliseconds; negative counts as 0. */
  set(ms: number): Uint8Array<ArrayBuffer> {
    const whole = Math.max(0, ms);
    let seconds = Math.floor(whole / 1000);
    let nanos = Math.ceil((whole - seconds * 1000) * 1e6);
    if (nanos >= 1e9) {
      seconds += 1;
      nanos -= 1e9;
    }
    this.#words[0] = seconds >>> 0;
    this.#words[1] = Math.floor(seconds / 2 ** 32);
    this.#words[2] = nanos;
    this.#words[3] = 0;
    return this.bytes;
  }
}
