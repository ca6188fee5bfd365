/**
 * libevent 2.1: opened once per thread, lazily, and one `event_base` as an
 * object.
 *
 * Traps it guards:
 *
 * - The log callback is one per *process*. A JavaScript function there would be
 *   called from another Worker's thread, so it is a C function that does
 *   nothing: `abs`. What went wrong is told by return values and errno.
 * - `EVLOOP_NONBLOCK` alone does not return while a persistent event stays
 *   ready; `EVLOOP_ONCE` goes with it.
 * - The environment (`EVENT_NOEPOLL`, `EVENT_EPOLL_USE_CHANGELIST`) could
 *   change what a base does behind our back: it is told not to look.
 * - Where libevent gets no descriptors for its signals it ends the process: it
 * is seen to before that there are some.
 * - All calls of a base and all callbacks come from the thread that made it.
 * - An open library is a resource, which a test's sanitizer asks back. So Deno's
 *   handle is closed at once; the library stays mapped by one of libc's own, and
 *   can be called as before.
 *
 * @module
 */

import { EINTR, EPOLL_CTL_MOD, EPOLLIN } from "./constants.ts";
import { check, retry, SystemError } from "./errors.ts";
import {
  forget,
  holdCallback,
  releaseCallback,
  told,
} from "./event_callback.ts";
import { epollEventLayout } from "./layout.ts";
import { errno, errnoCell, hasFullGrant, libc, whyNoLibc } from "./libc.ts";
import { callAtThreadExit } from "./thread_exit.ts";
import { Wakeup } from "./wakeup.ts";

/** event_new(3): wait for readability. */
export const EV_READ = 0x02;
/** event_new(3): wait for writability. */
export const EV_WRITE = 0x04;
/** event_new(3): stay after a callback. */
export const EV_PERSIST = 0x10;

const EVLOOP_ONCE = 0x01;
const EVLOOP_NONBLOCK = 0x02;
const EVENT_BASE_FLAG_NOLOCK = 0x01;
const EVENT_BASE_FLAG_IGNORE_ENV = 0x02;
const NOTHING: Disposable = { [Symbol.dispose]() {} };

const F_DUPFD = 0;
const RTLD_NOW = 2;
const OLDEST = 0x02010000;
const FEWEST_EVENTS = 32;
const MOST_EVENTS = 4096;

/** Known to Deno, though not to its types: no fast call, JavaScript may run. */
const CALLS_BACK = { callback: true } as const;

/** What of libevent we call. */
export const LIBEVENT = {
  event_get_version_number: {
    parameters: [], // void
    result: "u32",
  },
  event_get_supported_methods: {
    parameters: [], // void
    result: "pointer",
  },
  event_set_log_callback: {
    parameters: ["pointer"], // void (*cb)(int severity, const char *msg)
    result: "void",
  },
  event_config_new: {
    parameters: [], // void
    result: "pointer",
  },
  event_config_set_flag: {
    parameters: [
      "pointer", // struct event_config *cfg
      "i32", // int flag
    ],
    result: "i32",
  },
  event_config_avoid_method: {
    parameters: [
      "pointer", // struct event_config *cfg
      "buffer", // const char *method
    ],
    result: "i32",
  },
  event_config_free: {
    parameters: ["pointer"], // struct event_config *cfg
    result: "void",
  },
  event_base_new_with_config: {
    parameters: ["pointer"], // const struct event_config *cfg
    result: "pointer",
  },
  event_base_get_method: {
    parameters: ["pointer"], // const struct event_base *base
    result: "pointer",
  },
  event_base_loop: {
    parameters: [
      "pointer", // struct event_base *base
      "i32", // int flags
    ],
    result: "i32",
    ...CALLS_BACK,
  },
  event_base_free: {
    parameters: ["pointer"], // struct event_base *base
    result: "void",
  },
  event_new: {
    parameters: [
      "pointer", // struct event_base *base
      "i32", // evutil_socket_t fd
      "i16", // short what
      "pointer", // void (*cb)(evutil_socket_t fd, short what, void *arg)
      "pointer", // void *arg
    ],
    result: "pointer",
  },
  event_add: {
    parameters: [
      "pointer", // struct event *ev
      "pointer", // const struct timeval *tv
    ],
    result: "i32",
  },
  event_free: {
    parameters: ["pointer"], // struct event *ev
    result: "void",
  },
  /** Its address, for whoever calls it without JavaScript. */
  event_base_free_address: {
    name: "event_base_free",
    type: "pointer",
  },
} as const satisfies Deno.ForeignLibraryInterface;

/** libevent's functions by C name. */
export type Libevent = Deno.DynamicLibrary<typeof LIBEVENT>["symbols"];

/** The names under which it is looked for, in order. */
export const LIBEVENT_NAMES: readonly string[] = Deno.build.os === "darwin"
  ? [
    "libevent_core-2.1.7.dylib",
    "/opt/homebrew/lib/libevent_core.dylib",
    "/usr/local/lib/libevent_core.dylib",
  ]
  : [
    "libevent_core-2.1.so.7",
    "libevent-2.1.so.7",
    "libevent_core-2.1.so.6",
    "libevent-2.1.so.6",
    "libevent_core.so",
    "libevent.so",
  ];

const HOW_TO_INSTALL = "install it (Debian and Ubuntu: libevent-core-2.1-7 " +
  "or libevent-core-2.1-7t64; Fedora and Homebrew: libevent)";

interface Opened {
  readonly symbols: Libevent;
  readonly pinned: boolean;
}

let opened: Opened | null = null;

/** Let libevent keep its warnings to itself, whichever thread they come from. */
function silence(symbols: Libevent): void {
  const nothing = libc().dlsym?.(0n, cString("abs")) ?? null;
  if (nothing !== null) symbols.event_set_log_callback(nothing);
}

/**
 * Keep the library mapped when Deno's handle is closed: it is called after that,
 * and at the end of a Worker's thread its bases are freed.
 */
function pin(name: string): boolean {
  const dlopen = libc().dlsym?.(0n, cString("dlopen")) ?? null;
  if (dlopen === null) return false;
  const definition = {
    parameters: ["buffer", "i32"], // const char *filename, int flags
    result: "pointer",
  } as const;
  return new Deno.UnsafeFnPointer(dlopen as never, definition)
    .call(cString(name), RTLD_NOW) !== null;
}

function open(names: readonly string[]): Opened {
  if (!hasFullGrant()) {
    throw new Deno.errors.NotCapable(
      "Cannot open libevent: it calls back, which needs FFI granted in full; " +
        "run with --allow-ffi and no list behind it",
    );
  }
  let cause: Error | undefined;
  for (const name of names) {
    let library: Deno.DynamicLibrary<typeof LIBEVENT>;
    try {
      library = Deno.dlopen(name, LIBEVENT);
    } catch (error) {
      // It may be there and not open: for want of a descriptor, for instance.
      const other = error as Error;
      if (!/no such file/i.test(other.message)) cause ??= other;
      continue;
    }
    const { symbols } = library;
    const fits = symbols.event_get_version_number() >= OLDEST;
    if (fits) silence(symbols);
    const pinned = fits && pin(name);
    if (pinned || !fits) library.close();
    if (fits) return { symbols, pinned };
  }
  const hint = cause === undefined
    ? HOW_TO_INSTALL
    : `${cause.message}; if it is missing, ${HOW_TO_INSTALL}`;
  throw new Deno.errors.NotFound(
    `Cannot open libevent 2.1: looked for ${names.join(", ")}; ${hint}`,
    { cause },
  );
}

/**
 * libevent, opened at the first call.
 *
 * @throws {Deno.errors.NotCapable} If FFI is not granted in full.
 * @throws {Deno.errors.NotFound} If there is none, saying how to install it, or
 * if it cannot be opened, saying why.
 */
export function libevent(): Libevent {
  return (opened ??= open(LIBEVENT_NAMES)).symbols;
}

/**
 * Why libevent cannot be called; "" if it can. Never prompts.
 *
 * @param names Where to look, if it is not open yet.
 */
export function whyNoLibevent(names?: readonly string[]): string {
  const noLibc = whyNoLibc();
  if (noLibc !== "") return noLibc;
  try {
    if (names === undefined) libevent();
    else open(names);
    return "";
  } catch (error) {
    return (error as Error).message;
  }
}

function cString(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(`${text}\0`);
}

function text(pointer: Deno.PointerValue): string {
  return pointer === null ? "" : Deno.UnsafePointerView.getCString(pointer);
}

/** The methods this libevent was built with, best first. */
export function libeventMethods(): string[] {
  const list = libevent().event_get_supported_methods();
  if (list === null) return [];
  const view = new Deno.UnsafePointerView(list);
  const names: string[] = [];
  for (let at = 0;; at += 8) {
    const name = view.getPointer(at);
    if (name === null) return names;
    names.push(text(name));
  }
}

/** Merge what was told of a descriptor in several rounds. */
function withoutRepeats(pairs: readonly number[]): number[] {
  const merged = new Map<number, number>();
  for (let i = 0; i < pairs.length; i += 2) {
    merged.set(pairs[i]!, (merged.get(pairs[i]!) ?? 0) | pairs[i + 1]!);
  }
  return [...merged].flat();
}

/**
 * Assert that there are three descriptors to be had.
 *
 * @throws {SystemError} EMFILE or ENFILE if there are not.
 */
function assertDescriptors(): void {
  const c = libc();
  const fds = new Int32Array(2);
  const cannot = "Cannot make a libevent base";
  check(retry(() => c.pipe(fds)), "pipe", cannot);
  const third = retry(() => c.fcntl(fds[0]!, F_DUPFD, 0));
  const error = third < 0 ? errno() : 0;
  for (const fd of fds) c.close(fd);
  if (third < 0) throw new SystemError(error, "fcntl", cannot);
  c.close(third);
}

/** One `event_base`; every call on the thread that made it. */
export class EventBase {
  /** What it stands on: `"epoll"`, `"poll"`, `"select"`, or another. */
  readonly method: string;
  /** Its epoll descriptor, which is libevent's to close; -1 if it has none. */
  readonly epfd: number;
  readonly #c = libevent();
  readonly #base: Deno.PointerObject;
  readonly #callback: Deno.PointerObject;
  /** Frees the base with the thread, if nobody does before. */
  readonly #keep: Disposable;
  /** How many events libevent takes from epoll at once; it doubles it, too. */
  #capacity = FEWEST_EVENTS;

  /**
   * Make a base.
   *
   * @param method The one to use; by default libevent picks.
   * @throws {SystemError} If there is none.
   */
  constructor(method?: string) {
    const c = this.#c;
    assertDescriptors();
    this.#callback = holdCallback();
    const config = c.event_config_new();
    c.event_config_set_flag(
      config,
      EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_IGNORE_ENV,
    );
    for (const other of libeventMethods()) {
      if (method === undefined || other === method) continue;
      c.event_config_avoid_method(config, cString(other));
    }
    const base = c.event_base_new_with_config(config);
    const error = base === null ? errno() : 0;
    c.event_config_free(config);
    if (base === null) {
      releaseCallback();
      throw new SystemError(
        error,
        "event_base_new_with_config",
        "Cannot make a libevent base",
      );
    }
    this.#base = base;
    this.#keep = opened!.pinned
      ? callAtThreadExit(
        this.#c.event_base_free_address as Deno.PointerObject,
        Deno.UnsafePointer.value(base),
      )
      : NOTHING;
    this.method = text(c.event_base_get_method(base));
    try {
      this.epfd = this.method === "epoll" ? this.#findEpoll() : -1;
    } catch (error) {
      this.free();
      throw error;
    }
  }

  /**
   * Make a persistent event for EV_READ, EV_WRITE or both, and add it.
   *
   * @returns The event, or null if the method refuses the descriptor.
   */
  add(fd: number, what: number): Deno.PointerObject | null {
    const event = this.#c.event_new(
      this.#base,
      fd,
      what | EV_PERSIST,
      this.#callback,
      null,
    );
    if (event === null) return null;
    if (this.#c.event_add(event, null) === 0) return event;
    this.#c.event_free(event);
    return null;
  }

  /** Take an event out and free it; harmless if its descriptor was closed. */
  remove(event: Deno.PointerObject): void {
    this.#c.event_free(event);
  }

  /**
   * Dispatch all that is ready now: pairs of descriptor and EV_READ, EV_WRITE,
   * in libevent's order. Null if its system call failed.
   */
  loop(): readonly number[] | null {
    if (told.length > 0) forget();
    for (let round = 0;; round++) {
      const before = told.length;
      const flags = EVLOOP_ONCE | EVLOOP_NONBLOCK;
      // An interrupted call passes for one that has found nothing.
      do {
        if (errnoCell !== null) errnoCell[0] = 0;
        if (this.#c.event_base_loop(this.#base, flags) < 0) return null;
      } while (told.length === before && errnoCell?.[0] === EINTR);
      const full = (told.length - before) / 2 >= this.#capacity;
      if (!full || this.#capacity === MOST_EVENTS || this.epfd < 0) {
        return round === 0 ? told : withoutRepeats(told);
      }
      this.#capacity *= 2;
    }
  }

  /** Free it, after its events. */
  free(): void {
    this.abandon();
    this.#c.event_base_free(this.#base);
  }

  /**
   * Use it no more, after its events, and leave it as it is: to free it would
   * close a number that is somebody else's by now.
   */
  abandon(): void {
    this.#keep[Symbol.dispose]();
    releaseCallback();
  }

  /**
   * libevent does not tell its epoll descriptor. It is the only one in which
   * a brand-new descriptor can be modified after that was added to the base.
   */
  #findEpoll(): number {
    const probe = new Wakeup();
    const event = this.add(probe.fd, EV_READ);
    const { size, data } = epollEventLayout();
    const same = new Uint8Array(size);
    const view = new DataView(same.buffer);
    view.setUint32(0, EPOLLIN, true);
    view.setInt32(data, probe.fd, true);
    const knows = (fd: number): boolean =>
      libc().epoll_ctl(fd, EPOLL_CTL_MOD, probe.fd, same) === 0;
    // The kernel hands out the lowest free number: it is near the probe's.
    let found = -1;
    for (let fd = probe.fd; found < 0 && fd >= 0; fd--) {
      if (knows(fd)) found = fd;
    }
    for (let fd = probe.fd; found < 0 && fd < probe.fd + 1024; fd++) {
      if (knows(fd)) found = fd;
    }
    if (event !== null) this.remove(event);
    probe.close();
    return found;
  }
}
