/**
 * Tests that need more than Deno: a server's binary, a library, a kernel
 * feature. On a developer's machine such a test is skipped with a reason; in CI
 * (`CI=true`), where everything is installed, it fails instead, so that no test
 * disappears unnoticed.
 */

/** Where to look for commands beside `PATH`: a user's may lack these. */
const SYSTEM_FOLDERS: readonly string[] = ["/usr/sbin", "/sbin"];

/** Missing things that were reported already. */
const reported = new Set<string>();

/**
 * Whether the tests that need `what` can run, given whether it is `present`.
 *
 * Where it is missing, says so once; in CI by a failing test.
 *
 * @example
 * ```ts
 * import { findCommand, need } from "./need.ts";
 *
 * const redis = findCommand("redis-server");
 * Deno.test({
 *   name: "trampoline() waits for a socket of redis-server",
 *   ignore: !need("redis-server", redis !== null),
 *   fn() {},
 * });
 * ```
 */
export function need(what: string, present: boolean): boolean {
  if (present) return true;
  if (!reported.has(what)) {
    reported.add(what);
    if (isCi()) Deno.test(`need() finds ${what}`, () => missing(what));
    else console.warn(`Skipping tests: ${what} is not here`);
  }
  return false;
}

/**
 * Register one test that needs `what`: it runs, is skipped, or fails in CI.
 */
export function testWith(
  [what, present]: readonly [what: string, present: boolean],
  name: string,
  fn: (t: Deno.TestContext) => void | Promise<void>,
): void {
  if (!present && isCi()) Deno.test(name, () => missing(what));
  else Deno.test({ name, ignore: !need(what, present), fn });
}

/** The path of a command, looked for in `PATH` and then in `folders`. */
export function findCommand(
  name: string,
  folders: readonly string[] = [],
): string | null {
  const path = (Deno.env.get("PATH") ?? "").split(":").filter(Boolean);
  for (const folder of [...path, ...SYSTEM_FOLDERS, ...folders]) {
    const file = `${folder}/${name}`;
    try {
      const { isFile, mode } = Deno.statSync(file);
      if (isFile && ((mode ?? 0) & 0o111) !== 0) return file;
    } catch {
      // Not in this folder.
    }
  }
  return null;
}

function isCi(): boolean {
  return Deno.env.get("CI") === "true";
}

function missing(what: string): never {
  throw new Error(`Cannot run in CI: ${what} is not here`);
}
