/**
 * A signalfd: signals as data, with who sent them and what they carry, neither
 * of which `Deno.addSignalListener` can tell.
 *
 * Trap: a signal goes to any thread that does not block it, and Deno has
 * several before the first line of a program runs. So whoever starts the
 * program blocks the signal for all of them; the mask is inherited:
 *
 *     env --block-signal=USR1 deno run --allow-ffi program.ts
 *
 * (A signal blocked and sent to the JavaScript thread alone, by `tgkill`, would
 * stay unseen while the hub is parked: poll(2) of a signalfd answers for the
 * thread that asks.)
 */

import { readiness, systemCall, tryIO } from "../../mod.ts";

const libc = Deno.dlopen("libc.so.6", {
  sigemptyset: { parameters: ["buffer"], result: "i32" },
  sigaddset: { parameters: ["buffer", "i32"], result: "i32" },
  signalfd: { parameters: ["i32", "buffer", "i32"], result: "i32" },
  read: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  close: { parameters: ["i32"], result: "i32" },
}).symbols;

const SFD_NONBLOCK_CLOEXEC = 0o2004000;
const SIGINFO_SIZE = 128;

/** One signal, from struct signalfd_siginfo. */
export interface ReceivedSignal {
  readonly signo: number;
  /** Who sent it: process and user. */
  readonly pid: number;
  readonly uid: number;
  /** What sigqueue(3) sent with it. */
  readonly value: number;
}

/** The signals of these numbers as they come. All threads must block them. */
export async function* signals(
  ...numbers: number[]
): AsyncGenerator<ReceivedSignal, void> {
  const mask = new Uint8Array(128); // sigset_t
  libc.sigemptyset(mask);
  for (const signo of numbers) libc.sigaddset(mask, signo);
  const fd = systemCall(
    () => libc.signalfd(-1, mask, SFD_NONBLOCK_CLOEXEC),
    "signalfd",
  );
  const info = new DataView(new ArrayBuffer(SIGINFO_SIZE));
  const size = SIGINFO_SIZE;
  try {
    for await (const _ of readiness(fd, { read: true })) {
      if (tryIO(() => libc.read(fd, info, size), "read") === null) continue;
      yield {
        signo: info.getUint32(0, true),
        pid: info.getUint32(12, true),
        uid: info.getUint32(16, true),
        value: info.getInt32(44, true),
      };
    }
  } finally {
    libc.close(fd);
  }
}
