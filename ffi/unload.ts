/**
 * What shall not outlive the program though the process does: `deno run --watch`
 * starts a program anew in the same process and thread. Deno closes what is its
 * own, and dispatches `unload` before.
 *
 * The trap it guards: a program's own `unload` listeners, which are called in
 * the order they were added. Those that are added before the first hub or socket
 * is made find all open.
 *
 * @module
 */

import { libc } from "./libc.ts";

/** By number: whether it is open, and ours. */
let open = new Uint8Array(256);
let ends: Set<() => void> | null = null;

/** Have `end` called once when the program ends, before descriptors are closed. */
export function atUnload(end: () => void): void {
  watch().add(end);
}

/** Have `fd` closed when the program ends. */
export function closeAtUnload(fd: number): void {
  watch();
  if (fd >= open.length) {
    const larger = new Uint8Array(2 * fd);
    larger.set(open);
    open = larger;
  }
  open[fd] = 1;
}

/** It is about to be closed by whoever owns it. */
export function closedBefore(fd: number): void {
  if (fd < open.length) open[fd] = 0;
}

function watch(): Set<() => void> {
  if (ends === null) {
    ends = new Set();
    addEventListener("unload", unload);
  }
  return ends;
}

function unload(): void {
  for (const end of ends!) end();
  for (let fd = open.indexOf(1); fd >= 0; fd = open.indexOf(1, fd + 1)) {
    libc().close(fd);
  }
  open.fill(0);
}
