/**
 * Descriptors that must not outlive their thread.
 *
 * The trap it guards: `worker.terminate()` runs no JavaScript any more, and
 * nobody closes a descriptor that came from libc. But the Worker's thread ends,
 * and at the end of a thread libc calls the destructor of each of its
 * thread-specific values (pthread_key_create(3)): here `close`, and the value
 * is the descriptor itself, or whatever else takes one argument.
 *
 * A key is the process's, and it has 1,024 of them; a value is the thread's. So
 * the Workers share a few keys, which stay for good. Each has its own copy of
 * this module, and what they all have in common is libc: the number of a key
 * is written down where libc keeps the folders of messages in other languages
 * (bindtextdomain(3)), under a name that nobody translates for.
 *
 * @module
 */

import { type Libc, libc } from "./libc.ts";
import { closeAtUnload, closedBefore } from "./unload.ts";

const IN_WORKER = "WorkerGlobalScope" in globalThis;
const NOTHING: Disposable = { [Symbol.dispose]() {} };

/** So many values of a kind a thread may have; more are not looked after. */
const MOST_VALUES = 64;
/** Keys from this one on are left to others: a process has 1,024. */
const KEY_LIMIT = 512;
const DIGITS = 10;

type Key = Uint32Array<ArrayBuffer>;

/** What of libc is needed; all optional, and on Linux only. */
interface Calls {
  readonly create: NonNullable<Libc["pthread_key_create"]>;
  readonly remove: NonNullable<Libc["pthread_key_delete"]>;
  readonly get: NonNullable<Libc["pthread_getspecific"]>;
  readonly set: NonNullable<Libc["pthread_setspecific"]>;
  readonly bind: NonNullable<Libc["bindtextdomain"]>;
  readonly dlsym: NonNullable<Libc["dlsym"]>;
}

function calls(): Calls | null {
  const c: Partial<Libc> = libc();
  const create = c.pthread_key_create;
  const remove = c.pthread_key_delete;
  const get = c.pthread_getspecific;
  const set = c.pthread_setspecific;
  const { bindtextdomain: bind, dlsym } = c;
  return create && remove && get && set && bind && dlsym
    ? { create, remove, get, set, bind, dlsym }
    : null;
}

/**
 * In a Worker, have `fd` closed when the Worker's thread ends; else when the
 * program does, as its thread may go on. Dispose of the result before closing
 * `fd` yourself. Best effort: see {@linkcode KEY_LIMIT}.
 */
export function closeAtThreadExit(fd: number): Disposable {
  if (!IN_WORKER) {
    closeAtUnload(fd);
    return {
      [Symbol.dispose]() {
        closedBefore(fd);
      },
    };
  }
  // fd 0 would be a null value, for which no destructor is called.
  if (fd === 0) return NOTHING;
  return callAtThreadExit("close", BigInt(fd));
}

/**
 * In a Worker, have a C function called with `value` when the Worker's thread
 * ends, unless the result is disposed of before.
 *
 * @param destructor The function, or its name in libc. Its library must stay
 * mapped for good.
 * @param value Its argument; not 0.
 */
export function callAtThreadExit(
  destructor: string | Deno.PointerObject,
  value: bigint,
): Disposable {
  if (!IN_WORKER) return NOTHING;
  const c = calls();
  if (c === null) return NOTHING;
  const named = typeof destructor === "string";
  const fn = named ? c.dlsym(0n, cString(destructor)) : destructor;
  if (fn === null) return NOTHING;
  const name = named ? destructor : String(Deno.UnsafePointer.value(fn));
  for (let i = 0; i < MOST_VALUES; i++) {
    const key = sharedKey(c, `greenhub at thread exit: ${name}, ${i}`, fn);
    if (key === null) break;
    if (c.get(key) !== 0n) continue;
    if (c.set(key, value) !== 0) break;
    return {
      [Symbol.dispose]() {
        c.set(key, 0n);
      },
    };
  }
  return NOTHING;
}

/** The process's key of this name; made if there is none, null if it cannot. */
function sharedKey(
  c: Calls,
  name: string,
  destructor: Deno.PointerObject,
): number | null {
  const domain = cString(name);
  const known = written(c.bind(domain, null));
  if (known !== null) return known;
  const made: Key = new Uint32Array(1);
  if (c.create(made, destructor) !== 0) return null;
  const key = made[0]!;
  if (key >= KEY_LIMIT) {
    c.remove(key);
    return null;
  }
  // Two Workers at once make two: one of them is lost to the rest.
  c.bind(domain, cString(`/${String(key).padStart(DIGITS, "0")}`));
  return key;
}

/** The key in what stands for a folder; null if it is the usual folder. */
function written(folder: Deno.PointerValue): number | null {
  if (folder === null) return null;
  const bytes = new Uint8Array(DIGITS + 1);
  // Not beyond its end: the usual folder has more letters than that.
  libc().memcpy(bytes, folder, bytes.length);
  const digits = /^\/(\d+)$/.exec(new TextDecoder().decode(bytes));
  return digits === null ? null : Number(digits[1]);
}

function cString(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(`${text}\0`);
}
