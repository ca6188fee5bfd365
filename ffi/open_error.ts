/**
 * Whether a number is a descriptor that can be waited for: fcntl(2), which a
 * signal may interrupt as little as it may make a descriptor look closed. One
 * that is open for its path only (O_PATH) cannot: poll and epoll say so, select
 * does not. And whether it is one that can be waited in: epoll_wait(2).
 *
 * @module
 */

import { EBADF, EINTR, F_GETFL, O_PATH } from "./constants.ts";
import { retry } from "./errors.ts";
import { epollEventLayout } from "./layout.ts";
import { errno, errnoCell, libc } from "./libc.ts";

/** Why `fd` cannot be waited for, EBADF; 0 if it can. */
export function openError(fd: number): number {
  const c = libc();
  for (;;) {
    const flags = c.fcntl(fd, F_GETFL, 0);
    if (flags >= 0) return (flags & O_PATH) === 0 ? 0 : EBADF;
    const error = errnoCell !== null ? errnoCell[0]! : errno();
    if (error !== EINTR) return error;
  }
}

/** Why `fd` is no epoll descriptor, EBADF or EINVAL; 0 if it is one. */
export function epollError(fd: number): number {
  const event = new Uint8Array(epollEventLayout().size);
  if (retry(() => libc().epoll_wait(fd, event, 1, 0)) >= 0) return 0;
  return errnoCell !== null ? errnoCell[0]! : errno();
}
