/**
 * The function that C calls when a descriptor is ready: one per thread.
 *
 * The trap it guards: it is a resource of Deno's, and Deno's sanitizers want
 * one that was opened in a test to be closed in it, and one that was not to stay
 * open. A hub may be made in one test and closed in another; so it is opened
 * together with libc, and stays. A Worker that ends with one open leaves some of
 * Deno's descriptors open: there, it is open while somebody has it.
 *
 * @module
 */

type EventCallback = Deno.UnsafeCallback<{
  readonly parameters: readonly ["i32", "i16"];
  readonly result: "void";
}>;

/** What it was told since the last {@linkcode forget}: fd, what, fd, what ... */
export let told: number[] = [];

let callback: EventCallback | null = null;
let holders = 0;

function onEvent(fd: number, what: number): void {
  told.push(fd, what);
}

/** Begin a new list of what it is told; the old one is left as it is. */
export function forget(): void {
  told = [];
}

/** A pointer to it, valid until {@linkcode releaseCallback}. */
export function holdCallback(): Deno.PointerObject {
  holders++;
  callback ??= new Deno.UnsafeCallback(
    { parameters: ["i32", "i16"], result: "void" } as const,
    onEvent,
  );
  return callback.pointer;
}

/** Whoever held it uses it no more. */
export function releaseCallback(): void {
  if (--holders > 0) return;
  callback?.close();
  callback = null;
}

/** Hold it for good, but in a Worker. */
export function keepCallback(): void {
  if (!("WorkerGlobalScope" in globalThis)) holdCallback();
}
