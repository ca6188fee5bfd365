/**
 * The libc symbol table: pure data, each parameter with its C declaration.
 *
 * Sizes are declared `u32` and `ssize_t` results `i32` on purpose: 64-bit
 * results are always `bigint` in Deno, and a `number` passed to a 64-bit
 * parameter takes the slow path. No call of ours moves 2 GiB at once. On the
 * 64-bit calling conventions we support, the upper half of such an argument
 * register is zero-extended by the caller.
 *
 * @module
 */

/** What every supported platform has. */
export const COMMON = {
  sched_yield: {
    parameters: [],
    result: "i32",
  },
  close: {
    parameters: ["i32"], // int fd
    result: "i32",
  },
  read: {
    parameters: [
      "i32", // int fd
      "buffer", // void *buf
      "u32", // size_t count
    ],
    result: "i32",
  },
  write: {
    parameters: [
      "i32", // int fd
      "buffer", // const void *buf
      "u32", // size_t count
    ],
    result: "i32",
  },
  pipe: {
    parameters: ["buffer"], // int pipefd[2]
    result: "i32",
  },
  socketpair: {
    parameters: [
      "i32", // int domain
      "i32", // int type
      "i32", // int protocol
      "buffer", // int sv[2]
    ],
    result: "i32",
  },
  open: {
    parameters: [
      "buffer", // const char *pathname
      "i32", // int flags; nothing is created, so there is no mode
    ],
    result: "i32",
  },
  dup2: {
    parameters: [
      "i32", // int oldfd
      "i32", // int newfd
    ],
    result: "i32",
  },
  fcntl: {
    parameters: [
      "i32", // int fd
      "i32", // int op
      "i32", // int arg
    ],
    result: "i32",
  },
  poll: {
    parameters: [
      "buffer", // struct pollfd *fds
      "u32", // nfds_t nfds
      "i32", // int timeout, ms
    ],
    result: "i32",
  },
  poll_park: {
    name: "poll",
    parameters: [
      "buffer", // struct pollfd *fds
      "u32", // nfds_t nfds
      "i32", // int timeout, ms
    ],
    result: "i32",
    nonblocking: true,
  },
  ppoll: {
    parameters: [
      "buffer", // struct pollfd *fds
      "u32", // nfds_t nfds
      "buffer", // const struct timespec *timeout
      "pointer", // const sigset_t *sigmask
    ],
    result: "i32",
    optional: true,
  },
  ppoll_park: {
    name: "ppoll",
    parameters: [
      "buffer", // struct pollfd *fds
      "u32", // nfds_t nfds
      "buffer", // const struct timespec *timeout
      "pointer", // const sigset_t *sigmask
    ],
    result: "i32",
    nonblocking: true,
    optional: true,
  },
  pselect: {
    parameters: [
      "i32", // int nfds
      "buffer", // fd_set *readfds
      "buffer", // fd_set *writefds
      "buffer", // fd_set *exceptfds
      "buffer", // const struct timespec *timeout
      "pointer", // const sigset_t *sigmask
    ],
    result: "i32",
  },
  pselect_park: {
    name: "pselect",
    parameters: [
      "i32", // int nfds
      "buffer", // fd_set *readfds
      "buffer", // fd_set *writefds
      "buffer", // fd_set *exceptfds
      "buffer", // const struct timespec *timeout
      "pointer", // const sigset_t *sigmask
    ],
    result: "i32",
    nonblocking: true,
  },
  clock_gettime: {
    parameters: [
      "i32", // clockid_t clockid
      "buffer", // struct timespec *tp
    ],
    result: "i32",
  },
  memcpy: {
    parameters: [
      "buffer", // void *dest
      "pointer", // const void *src
      "u32", // size_t n
    ],
    result: "pointer",
  },
  memset: {
    parameters: [
      "buffer", // void *s
      "i32", // int c
      "u32", // size_t n
    ],
    result: "usize",
  },
} as const satisfies Deno.ForeignLibraryInterface;

/** Sockets; see `ffi/socket.ts`. */
export const SOCKETS = {
  socket: {
    parameters: [
      "i32", // int domain
      "i32", // int type
      "i32", // int protocol
    ],
    result: "i32",
  },
  bind: {
    parameters: [
      "i32", // int sockfd
      "buffer", // const struct sockaddr *addr
      "u32", // socklen_t addrlen
    ],
    result: "i32",
  },
  listen: {
    parameters: [
      "i32", // int sockfd
      "i32", // int backlog
    ],
    result: "i32",
  },
  connect: {
    parameters: [
      "i32", // int sockfd
      "buffer", // const struct sockaddr *addr
      "u32", // socklen_t addrlen
    ],
    result: "i32",
  },
  accept: {
    parameters: [
      "i32", // int sockfd
      "buffer", // struct sockaddr *addr
      "buffer", // socklen_t *addrlen
    ],
    result: "i32",
  },
  accept4: {
    parameters: [
      "i32", // int sockfd
      "buffer", // struct sockaddr *addr
      "buffer", // socklen_t *addrlen
      "i32", // int flags
    ],
    result: "i32",
    optional: true,
  },
  recv: {
    parameters: [
      "i32", // int sockfd
      "buffer", // void *buf
      "u32", // size_t len
      "i32", // int flags
    ],
    result: "i32",
  },
  send: {
    parameters: [
      "i32", // int sockfd
      "buffer", // const void *buf
      "u32", // size_t len
      "i32", // int flags
    ],
    result: "i32",
  },
  recvfrom: {
    parameters: [
      "i32", // int sockfd
      "buffer", // void *buf
      "u32", // size_t len
      "i32", // int flags
      "buffer", // struct sockaddr *src_addr
      "buffer", // socklen_t *addrlen
    ],
    result: "i32",
  },
  sendto: {
    parameters: [
      "i32", // int sockfd
      "buffer", // const void *buf
      "u32", // size_t len
      "i32", // int flags
      "buffer", // const struct sockaddr *dest_addr
      "u32", // socklen_t addrlen
    ],
    result: "i32",
  },
  shutdown: {
    parameters: [
      "i32", // int sockfd
      "i32", // int how
    ],
    result: "i32",
  },
  getsockopt: {
    parameters: [
      "i32", // int sockfd
      "i32", // int level
      "i32", // int optname
      "buffer", // void *optval
      "buffer", // socklen_t *optlen
    ],
    result: "i32",
  },
  setsockopt: {
    parameters: [
      "i32", // int sockfd
      "i32", // int level
      "i32", // int optname
      "buffer", // const void *optval
      "u32", // socklen_t optlen
    ],
    result: "i32",
  },
  getsockname: {
    parameters: [
      "i32", // int sockfd
      "buffer", // struct sockaddr *addr
      "buffer", // socklen_t *addrlen
    ],
    result: "i32",
  },
  getpeername: {
    parameters: [
      "i32", // int sockfd
      "buffer", // struct sockaddr *addr
      "buffer", // socklen_t *addrlen
    ],
    result: "i32",
  },
  inet_pton: {
    parameters: [
      "i32", // int af
      "buffer", // const char *src
      "buffer", // void *dst
    ],
    result: "i32",
  },
  inet_ntop: {
    parameters: [
      "i32", // int af
      "buffer", // const void *src
      "buffer", // char *dst
      "u32", // socklen_t size
    ],
    result: "pointer",
  },
  getaddrinfo: {
    parameters: [
      "buffer", // const char *node
      "pointer", // const char *service
      "buffer", // const struct addrinfo *hints
      "buffer", // struct addrinfo **res
    ],
    result: "i32",
  },
  getaddrinfo_elsewhere: {
    name: "getaddrinfo",
    parameters: [
      "buffer", // const char *node
      "pointer", // const char *service
      "buffer", // const struct addrinfo *hints
      "buffer", // struct addrinfo **res
    ],
    result: "i32",
    nonblocking: true,
  },
  freeaddrinfo: {
    parameters: ["usize"], // struct addrinfo *res, as an address
    result: "void",
  },
  memcpy_from: {
    name: "memcpy",
    parameters: [
      "buffer", // void *dest
      "usize", // const void *src, as an address
      "u32", // size_t n
    ],
    result: "pointer",
  },
  unlink: {
    parameters: ["buffer"], // const char *pathname
    result: "i32",
  },
} as const satisfies Deno.ForeignLibraryInterface;

/** What only Linux has. */
export const LINUX = {
  errno_location: {
    name: "__errno_location",
    parameters: [], // void
    result: "pointer",
  },
  epoll_create1: {
    parameters: ["i32"], // int flags
    result: "i32",
  },
  epoll_ctl: {
    parameters: [
      "i32", // int epfd
      "i32", // int op
      "i32", // int fd
      "buffer", // struct epoll_event *event
    ],
    result: "i32",
  },
  epoll_wait: {
    parameters: [
      "i32", // int epfd
      "buffer", // struct epoll_event *events
      "i32", // int maxevents
      "i32", // int timeout, ms
    ],
    result: "i32",
  },
  epoll_wait_park: {
    name: "epoll_wait",
    parameters: [
      "i32", // int epfd
      "buffer", // struct epoll_event *events
      "i32", // int maxevents
      "i32", // int timeout, ms
    ],
    result: "i32",
    nonblocking: true,
  },
  epoll_pwait2: {
    parameters: [
      "i32", // int epfd
      "buffer", // struct epoll_event *events
      "i32", // int maxevents
      "buffer", // const struct timespec *timeout
      "pointer", // const sigset_t *sigmask
    ],
    result: "i32",
    optional: true,
  },
  epoll_pwait2_park: {
    name: "epoll_pwait2",
    parameters: [
      "i32", // int epfd
      "buffer", // struct epoll_event *events
      "i32", // int maxevents
      "buffer", // const struct timespec *timeout
      "pointer", // const sigset_t *sigmask
    ],
    result: "i32",
    nonblocking: true,
    optional: true,
  },
  dlsym: {
    parameters: [
      "usize", // void *handle; RTLD_DEFAULT is 0
      "buffer", // const char *symbol
    ],
    result: "pointer",
    optional: true,
  },
  pthread_key_create: {
    parameters: [
      "buffer", // pthread_key_t *key
      "pointer", // void (*destructor)(void *)
    ],
    result: "i32",
    optional: true,
  },
  pthread_key_delete: {
    parameters: ["u32"], // pthread_key_t key
    result: "i32",
    optional: true,
  },
  pthread_getspecific: {
    parameters: ["u32"], // pthread_key_t key
    result: "usize",
    optional: true,
  },
  pthread_setspecific: {
    parameters: [
      "u32", // pthread_key_t key
      "usize", // const void *value
    ],
    result: "i32",
    optional: true,
  },
  bindtextdomain: {
    parameters: [
      "buffer", // const char *domainname
      "buffer", // const char *dirname
    ],
    result: "pointer",
    optional: true,
  },
  eventfd: {
    parameters: [
      "u32", // unsigned int initval
      "i32", // int flags
    ],
    result: "i32",
  },
  memcpy_to: {
    name: "memcpy",
    parameters: [
      "usize", // void *dest
      "buffer", // const void *src
      "u32", // size_t n
    ],
    result: "usize",
  },
  mmap: {
    parameters: [
      "usize", // void *addr
      "usize", // size_t length
      "i32", // int prot
      "i32", // int flags
      "i32", // int fd
      "i64", // off_t offset
    ],
    result: "usize",
  },
  munmap: {
    parameters: [
      "usize", // void *addr
      "usize", // size_t length
    ],
    result: "i32",
  },
  timerfd_create: {
    parameters: [
      "i32", // int clockid
      "i32", // int flags
    ],
    result: "i32",
  },
  timerfd_settime: {
    parameters: [
      "i32", // int fd
      "i32", // int flags
      "buffer", // const struct itimerspec *new_value
      "pointer", // struct itimerspec *old_value
    ],
    result: "i32",
  },
  io_getevents: {
    name: "syscall",
    parameters: [
      "i64", // long number, SYS_io_getevents
      "u64", // aio_context_t ctx_id
      "i64", // long min_nr
      "i64", // long nr
      "buffer", // struct io_event *events
      "usize", // struct timespec *timeout, as an address
    ],
    result: "i32", // how many: at most nr
  },
  io_submit: {
    name: "syscall",
    parameters: [
      "i64", // long number, SYS_io_submit
      "u64", // aio_context_t ctx_id
      "i64", // long nr
      "buffer", // struct iocb **iocbpp
    ],
    result: "i32", // how many: at most nr
  },
  syscall: {
    parameters: [
      "i64", // long number
      "i64", // long, or the address of a buffer
      "i64",
      "i64",
      "i64",
      "i64",
      "i64",
    ],
    result: "i64",
  },
} as const satisfies Deno.ForeignLibraryInterface;

/** What macOS calls otherwise. */
export const DARWIN = {
  errno_location: {
    name: "__error",
    parameters: [], // void
    result: "pointer",
  },
} as const satisfies Deno.ForeignLibraryInterface;
