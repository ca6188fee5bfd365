/**
 * Descriptors that must not outlive their thread.
 *
 * The trap it guards: `worker.terminate()` runs no JavaScript any more, and
 * nobody closes a descriptor that came from libc. But the Worker's thread ends,
 * and at the end of a thread libc calls the destructor of each of its
 * thread-specific values (pthread_key_create(3)): here `close`, and the value
 * is the descriptor itself, or whatever else takes one argument.
 *
 * @module
 */

import { libc } from "./libc.ts";

const NOTHING: Disposable = { [Symbol.dispose]() {} };

/**
 * In a Worker, have `fd` closed when the Worker's thread ends. Dispose of the
 * result before closing `fd` yourself. Best effort: a process has 1,024 keys.
 */
export function closeAtThreadExit(fd: number): Disposable {
  // fd 0 would be a null value, for which no destructor is called.
  if (fd === 0) return NOTHING;
  return callAtThreadExit("close", BigInt(fd));
}

/**
 * In a Worker, have a C function called with `value` when the Worker's thread
 * ends, unless the result is disposed of before.
 *
 * @param destructor The function, or its name in libc. Its library must still
 * be mapped then, when Deno has closed whatever the Worker had opened.
 * @param value Its argument; not 0.
 */
export function callAtThreadExit(
  destructor: string | Deno.PointerObject,
  value: bigint,
): Disposable {
  if (!("WorkerGlobalScope" in globalThis)) return NOTHING;
  const c = libc();
  const create = c.pthread_key_create;
  const setSpecific = c.pthread_setspecific;
  const remove = c.pthread_key_delete;
  const dlsym = c.dlsym;
  if (
    create === null || setSpecific === null || remove === null || dlsym === null
  ) {
    return NOTHING;
  }
  const call = typeof destructor === "string"
    ? dlsym(0n, new TextEncoder().encode(`${destructor}\0`))
    : destructor;
  const key = new Uint32Array(1);
  if (call === null || create(key, call) !== 0) return NOTHING;
  setSpecific(key[0]!, value);
  return {
    [Symbol.dispose]() {
      remove(key[0]!);
    },
  };
}
