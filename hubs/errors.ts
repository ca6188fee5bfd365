/**
 * The small closed set of errors a hub has of its own. Each says whose fault
 * it is; what the kernel refused is a `SystemError` from `ffi/`.
 *
 * @module
 */

/**
 * A hub was misused: your bug. Two readers of one descriptor, a wait inside
 * MAINLOOP, an unknown or unavailable hub.
 */
export class HubError extends Error {
  /** `"HubError"`. */
  override readonly name: string = "HubError";
}

/**
 * A descriptor was closed, or handed out anew, under a waiter.
 *
 * @example
 * ```ts
 * import { IOClosed } from "./errors.ts";
 *
 * const error = new IOClosed(7);
 * if (error.fd !== 7) throw error;
 * ```
 */
export class IOClosed extends Error {
  /** `"IOClosed"`. */
  override readonly name: string = "IOClosed";
  /** The number the descriptor had. */
  readonly fd: number;

  /** Describe the close of `fd`. */
  constructor(fd: number, message?: string) {
    super(message ?? `Cannot wait for fd ${fd}: it was closed`);
    this.fd = fd;
  }
}

/**
 * What a killed greenthread is thrown, as eventlet's (greenlet's) GreenletExit.
 *
 * It is an `Error` like any other to `catch`, so a catch-all that goes on
 * working should rethrow it.
 */
export class GreenletExit extends Error {
  /** `"GreenletExit"`. */
  override readonly name: string = "GreenletExit";

  /** Describe who was killed, or why. */
  constructor(message = "The greenthread was killed") {
    super(message);
  }
}
