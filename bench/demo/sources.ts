/**
 * Three descriptors that Deno has no way to wait for: a timerfd, an inotify
 * watch and a pipe. Each is kept busy by a greenthread or two.
 *
 * Linux only, and in its numbers: the flags below are those of x86-64 and
 * aarch64 alike.
 *
 * @module
 */

import { sleep } from "../../mod.ts";
import { check, cString, Descriptor, libc } from "./libc.ts";

const CLOCK_MONOTONIC = 1;
const NONBLOCK_CLOEXEC = 0o2004000; // also TFD_, IN_ and O_
const IN_CREATE = 0x100;
const IN_DELETE = 0x200;

/** What the sources have seen so far. */
export interface Seen {
  ticks: number;
  files: number;
  lastFile: string;
  bytes: number;
}

/** A timer of the kernel that is due every `ms`. */
export function openTimer(ms: number): Descriptor {
  const timer = new Descriptor(check(
    libc().timerfd_create(CLOCK_MONOTONIC, NONBLOCK_CLOEXEC),
    "timerfd_create",
  ));
  const nanoseconds = BigInt(ms * 1e6);
  // struct itimerspec: the interval, then the first time, each s and ns.
  const spec = new BigInt64Array([0n, nanoseconds, 0n, nanoseconds]);
  const bytes = new Uint8Array(spec.buffer);
  check(
    libc().timerfd_settime(timer.fileno(), 0, bytes, null),
    "timerfd_settime",
  );
  return timer;
}

/** Count the ticks of a timer. */
export async function countTicks(timer: Descriptor, seen: Seen): Promise<void> {
  const expirations = new BigUint64Array(1);
  const bytes = new Uint8Array(expirations.buffer);
  while (await timer.read(bytes) > 0) seen.ticks += Number(expirations[0]);
}

/** A temporary folder, made and removed without asking Deno. */
export class TempFolder implements Disposable {
  /** Its path. */
  readonly path: string;
  readonly #files = new Set<string>();

  /** Make it. */
  constructor() {
    const template = cString(`/tmp/greenhub-demo-${Deno.pid}-XXXXXX`);
    if (libc().mkdtemp(template) === null) check(-1, "mkdtemp");
    this.path = new TextDecoder().decode(template.subarray(0, -1));
  }

  /** Make an empty file. */
  create(name: string): void {
    const path = cString(`${this.path}/${name}`);
    libc().close(check(libc().creat(path, 0o600), "creat"));
    this.#files.add(name);
  }

  /** Remove a file. */
  remove(name: string): void {
    libc().unlink(cString(`${this.path}/${name}`));
    this.#files.delete(name);
  }

  /** Remove it and what is in it. */
  [Symbol.dispose](): void {
    for (const name of this.#files) this.remove(name);
    libc().rmdir(cString(this.path));
  }
}

/** A watch over the files of a folder. */
export function openWatch(folder: TempFolder): Descriptor {
  const watch = new Descriptor(
    check(libc().inotify_init1(NONBLOCK_CLOEXEC), "inotify_init1"),
  );
  const path = cString(folder.path);
  check(
    libc().inotify_add_watch(watch.fileno(), path, IN_CREATE | IN_DELETE),
    "inotify_add_watch",
  );
  return watch;
}

/** Count what a watch reports: struct inotify_event, one after the other. */
export async function countFiles(watch: Descriptor, seen: Seen): Promise<void> {
  const buffer = new Uint8Array(4096);
  const view = new DataView(buffer.buffer);
  for (;;) {
    const end = await watch.read(buffer);
    for (let at = 0; at < end;) {
      const created = (view.getUint32(at + 4, true) & IN_CREATE) !== 0;
      const size = view.getUint32(at + 12, true);
      const name = buffer.subarray(at + 16, at + 16 + size);
      const text = new TextDecoder().decode(name).replace(/\0+$/, "");
      seen.lastFile = `${created ? "+" : "-"} ${text}`;
      seen.files++;
      at += 16 + size;
    }
  }
}

/** Let a file come, and the one before it go, every `ms`. */
export async function touchFiles(
  folder: TempFolder,
  ms: number,
): Promise<void> {
  for (let i = 1;; i++) {
    folder.create(`note-${i}`);
    folder.remove(`note-${i - 1}`);
    await sleep(ms);
  }
}

/** A pipe: its reading and its writing end. */
export function openPipe(): [reader: Descriptor, writer: Descriptor] {
  const fds = new Int32Array(2);
  const bytes = new Uint8Array(fds.buffer);
  check(libc().pipe2(bytes, NONBLOCK_CLOEXEC), "pipe2");
  return [new Descriptor(fds[0]!), new Descriptor(fds[1]!)];
}

/** Write for ever: the pipe is full most of the time. */
export async function fill(pipe: Descriptor): Promise<void> {
  const block = new Uint8Array(4096);
  for (;;) await pipe.write(block);
}

/** Empty a pipe a little every `ms`, and let the writer wait meanwhile. */
export async function drain(
  pipe: Descriptor,
  ms: number,
  seen: Seen,
): Promise<void> {
  const block = new Uint8Array(65536);
  for (;;) {
    seen.bytes += await pipe.read(block);
    await sleep(ms);
  }
}
