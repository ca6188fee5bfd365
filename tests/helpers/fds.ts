/**
 * Counts this process's open descriptors. Deno's resource sanitizer knows only
 * what Deno opened itself: a descriptor that came out of a C function and was
 * never closed is seen here alone.
 */

import { AssertionError } from "@std/assert";

/** A descriptor that Deno's other threads are about to close gets this long. */
const SETTLE_MS = 500;

/** What is open: the descriptors, and what each one leads to. */
export function openFds(): Map<number, string> {
  const open = new Map<number, string>();
  for (const { name } of Deno.readDirSync("/proc/self/fd")) {
    try {
      open.set(Number(name), Deno.readLinkSync(`/proc/self/fd/${name}`));
    } catch (error) {
      // The folder's own descriptor is listed too, and is closed in between.
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  for (const [fd, target] of open) {
    if (target === `/proc/${Deno.pid}/fd`) open.delete(fd);
  }
  return open;
}

/** How many descriptors are open. */
export function countFds(): number {
  return openFds().size;
}

/**
 * Run `fn` and assert that afterwards nothing is open that was not before.
 *
 * What `fn` opens once and keeps on purpose (a library, a hub's descriptors)
 * has to be opened before: run it once to warm up, or set it up outside.
 */
export async function assertNoFdLeak(
  fn: () => void | Promise<void>,
): Promise<void> {
  const before = openFds();
  await fn();
  let leaked = newSince(before);
  const deadline = performance.now() + SETTLE_MS;
  while (leaked.length > 0 && performance.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 10));
    leaked = newSince(before);
  }
  if (leaked.length > 0) {
    throw new AssertionError(
      `Leaked ${leaked.length} descriptors: ${leaked.join(", ")}`,
    );
  }
}

/** A number that leads somewhere else than before counts as leaked, too. */
function newSince(before: ReadonlyMap<number, string>): string[] {
  return [...openFds()]
    .filter(([fd, target]) => before.get(fd) !== target)
    .map(([fd, target]) => `fd ${fd} (${target})`);
}
