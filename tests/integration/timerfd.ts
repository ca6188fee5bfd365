/**
 * A timerfd on the wall clock: at 7 in the morning, not in so many hours.
 *
 * `setTimeout` counts the time the machine runs. A timerfd may be set to a time
 * of day: it is right after the machine slept, and says so (ECANCELED) when
 * somebody sets the clock.
 */

import { readiness, systemCall, tryIO } from "../../mod.ts";

const libc = Deno.dlopen("libc.so.6", {
  timerfd_create: { parameters: ["i32", "i32"], result: "i32" },
  timerfd_settime: {
    parameters: ["i32", "i32", "buffer", "pointer"],
    result: "i32",
  },
  read: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  close: { parameters: ["i32"], result: "i32" },
}).symbols;

const CLOCK_REALTIME = 0;
const TFD_NONBLOCK_CLOEXEC = 0o2004000;
const TFD_TIMER_ABSTIME = 1;
const TFD_TIMER_CANCEL_ON_SET = 2;

/**
 * Comes at `start`, and every `interval` milliseconds from then on: each step
 * says how many of these moments have passed since the last one.
 *
 * @throws {SystemError} ECANCELED if the wall clock was set meanwhile.
 */
export async function* moments(
  start: Date,
  interval: number,
): AsyncGenerator<number, void> {
  const fd = systemCall(
    () => libc.timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK_CLOEXEC),
    "timerfd_create",
  );
  try {
    const flags = TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET;
    // struct itimerspec { struct timespec it_interval, it_value; }
    const spec = new BigInt64Array(
      [...timespec(interval), ...timespec(start.getTime())],
    );
    systemCall(
      () => libc.timerfd_settime(fd, flags, spec, null),
      "timerfd_settime",
    );
    const passed = new BigUint64Array(1);
    for await (const _ of readiness(fd, { read: true })) {
      const got = tryIO(() => libc.read(fd, passed, 8), "read");
      if (got !== null) yield Number(passed[0]);
    }
  } finally {
    libc.close(fd);
  }
}

/** struct timespec { time_t tv_sec; long tv_nsec; } */
function timespec(ms: number): [bigint, bigint] {
  const seconds = Math.floor(ms / 1000);
  return [BigInt(seconds), BigInt(Math.round((ms - seconds * 1000) * 1e6))];
}
