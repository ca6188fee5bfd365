/**
 * C constants under their C names, for the platforms the project runs on.
 *
 * Pure data: nothing here opens a library. The trap it guards: the numbers
 * differ between Linux and macOS (EAGAIN is 11 or 35), so whatever is used on
 * both is looked up by platform; what only Linux has is listed once.
 *
 * @module
 */

const darwin = Deno.build.os === "darwin";

/** Names that every platform has, and that somebody asks for. */
type Known =
  | "EPERM"
  | "ENOENT"
  | "EINTR"
  | "EBADF"
  | "EAGAIN"
  | "ENOMEM"
  | "EEXIST"
  | "EINVAL"
  | "ENOSYS"
  | "EPIPE"
  | "EINPROGRESS"
  | "EALREADY"
  | "ENOPROTOOPT"
  | "EADDRNOTAVAIL"
  | "ECONNABORTED"
  | "ECONNRESET"
  | "EISCONN"
  | "ENOTCONN"
  | "ETIMEDOUT";

type Errno = Readonly<Record<Known, number> & Record<string, number>>;

/** errno values by name (errno(3)). */
export const ERRNO: Errno = darwin
  ? {
    EPERM: 1,
    ENOENT: 2,
    EINTR: 4,
    EIO: 5,
    EBADF: 9,
    ENOMEM: 12,
    EACCES: 13,
    EEXIST: 17,
    EINVAL: 22,
    ENFILE: 23,
    EMFILE: 24,
    EPIPE: 32,
    EAGAIN: 35,
    EINPROGRESS: 36,
    EALREADY: 37,
    ENOTSOCK: 38,
    EMSGSIZE: 40,
    ENOPROTOOPT: 42,
    EADDRINUSE: 48,
    EADDRNOTAVAIL: 49,
    ENETUNREACH: 51,
    ECONNABORTED: 53,
    ECONNRESET: 54,
    ENOBUFS: 55,
    EISCONN: 56,
    ENOTCONN: 57,
    ETIMEDOUT: 60,
    ECONNREFUSED: 61,
    ELOOP: 62,
    EHOSTUNREACH: 65,
    ENOSYS: 78,
  }
  : {
    EPERM: 1,
    ENOENT: 2,
    ESRCH: 3,
    EINTR: 4,
    EIO: 5,
    ENXIO: 6,
    E2BIG: 7,
    EBADF: 9,
    ECHILD: 10,
    EAGAIN: 11,
    ENOMEM: 12,
    EACCES: 13,
    EFAULT: 14,
    EBUSY: 16,
    EEXIST: 17,
    ENODEV: 19,
    ENOTDIR: 20,
    EISDIR: 21,
    EINVAL: 22,
    ENFILE: 23,
    EMFILE: 24,
    ENOTTY: 25,
    EFBIG: 27,
    ENOSPC: 28,
    ESPIPE: 29,
    EROFS: 30,
    EPIPE: 32,
    ERANGE: 34,
    ENAMETOOLONG: 36,
    ENOSYS: 38,
    ELOOP: 40,
    EPROTO: 71,
    EOVERFLOW: 75,
    EBADFD: 77,
    ENOTSOCK: 88,
    EDESTADDRREQ: 89,
    EMSGSIZE: 90,
    EPROTOTYPE: 91,
    ENOPROTOOPT: 92,
    EPROTONOSUPPORT: 93,
    EOPNOTSUPP: 95,
    EAFNOSUPPORT: 97,
    EADDRINUSE: 98,
    EADDRNOTAVAIL: 99,
    ENETDOWN: 100,
    ENETUNREACH: 101,
    ECONNABORTED: 103,
    ECONNRESET: 104,
    ENOBUFS: 105,
    EISCONN: 106,
    ENOTCONN: 107,
    ESHUTDOWN: 108,
    ETIMEDOUT: 110,
    ECONNREFUSED: 111,
    EHOSTDOWN: 112,
    EHOSTUNREACH: 113,
    EALREADY: 114,
    EINPROGRESS: 115,
    ECANCELED: 125,
    // getaddrinfo(3): no errno, but negative here, so there is room for both.
    EAI_NONAME: -2,
    EAI_AGAIN: -3,
    EAI_FAIL: -4,
    EAI_NODATA: -5,
    EAI_FAMILY: -6,
    EAI_MEMORY: -10,
    EAI_SYSTEM: -11,
  };

/** No such process or entry. */
export const ENOENT: number = ERRNO.ENOENT;
/** Interrupted by a signal. */
export const EINTR: number = ERRNO.EINTR;
/** Not an open descriptor. */
export const EBADF: number = ERRNO.EBADF;
/** Operation not permitted: for epoll_ctl, "this file cannot be polled". */
export const EPERM: number = ERRNO.EPERM;
/** Would block. */
export const EAGAIN: number = ERRNO.EAGAIN;
/** Out of memory. */
export const ENOMEM: number = ERRNO.ENOMEM;
/** Already there. */
export const EEXIST: number = ERRNO.EEXIST;
/** Invalid argument. */
export const EINVAL: number = ERRNO.EINVAL;
/** Unknown system call. */
export const ENOSYS: number = ERRNO.ENOSYS;

// fcntl(2)
export const F_GETFD = 1;
export const F_SETFD = 2;
export const F_GETFL = 3;
export const F_SETFL = 4;
export const FD_CLOEXEC = 1;
export const F_DUPFD_CLOEXEC: number = darwin ? 67 : 1030;
export const O_NONBLOCK: number = darwin ? 0x0004 : 0o4000;
/** open(2), Linux: names a file, and can do nothing else. */
export const O_PATH: number = darwin ? 0 : 0o10000000;
export const O_CLOEXEC: number = darwin ? 0x1000000 : 0o2000000;

// poll(2)
export const POLLIN = 0x001;
export const POLLPRI = 0x002;
export const POLLOUT = 0x004;
export const POLLERR = 0x008;
export const POLLHUP = 0x010;
export const POLLNVAL = 0x020;

// epoll(7), Linux
export const EPOLLIN = 0x001;
export const EPOLLPRI = 0x002;
export const EPOLLOUT = 0x004;
export const EPOLLERR = 0x008;
export const EPOLLHUP = 0x010;
export const EPOLL_CTL_ADD = 1;
export const EPOLL_CTL_DEL = 2;
export const EPOLL_CTL_MOD = 3;
export const EPOLL_CLOEXEC = 0o2000000;

// eventfd(2), timerfd_create(2), Linux
export const EFD_CLOEXEC = 0o2000000;
export const EFD_NONBLOCK = 0o4000;
export const TFD_CLOEXEC = 0o2000000;
export const TFD_NONBLOCK = 0o4000;

// clock_gettime(2)
export const CLOCK_MONOTONIC: number = darwin ? 6 : 1;
