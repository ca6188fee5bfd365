/** The symbol table: data that libc agrees with. */

import { assert, assertEquals } from "@std/assert";
import { libc } from "../../ffi/libc.ts";
import * as tables from "../../ffi/symbols.ts";

libc();

interface Definition {
  readonly name?: string;
  readonly parameters: readonly unknown[];
  readonly result: unknown;
  readonly nonblocking?: boolean;
  readonly optional?: boolean;
}

const common = Object.entries<Definition>(tables.COMMON);
const linux = Object.entries<Definition>(tables.LINUX);

Deno.test("COMMON and LINUX: libc has every symbol that is not optional", () => {
  const here = Deno.build.os === "linux" ? [...common, ...linux] : common;
  const symbols = libc() as Record<string, unknown>;
  for (const [name, { optional }] of here) {
    if (optional) continue;
    assertEquals(typeof symbols[name], "function", name);
  }
});

Deno.test("a parked twin differs from its original in nonblocking alone", () => {
  const all = new Map([...common, ...linux]);
  const twins = [...all].filter(([name]) => name.endsWith("_park"));
  assert(twins.length >= 4);
  for (const [name, twin] of twins) {
    const original = name.replace(/_park$/, "");
    assertEquals(twin.name, original);
    assertEquals(twin.nonblocking, true);
    assertEquals(twin.parameters, all.get(original)!.parameters, name);
    assertEquals(twin.result, all.get(original)!.result, name);
  }
});

Deno.test("only what parks is nonblocking: errno of the rest is ours", () => {
  // Whatever runs on another thread leaves its errno there.
  const elsewhere = [...common, ...linux]
    .filter(([, { nonblocking }]) => nonblocking)
    .map(([name]) => name);
  assertEquals(elsewhere.filter((name) => !/_park$/.test(name)), []);
});
