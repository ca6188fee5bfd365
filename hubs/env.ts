/**
 * Environment variables, read only where that was granted already.
 *
 * @module
 */

/** A variable without surrounding blanks; "" if unset or not granted. */
export function readEnv(name: string): string {
  const { state } = Deno.permissions.querySync({ name: "env", variable: name });
  return state === "granted" ? Deno.env.get(name)?.trim() ?? "" : "";
}
