/**
 * Reads every import of the published sources and holds them to the layers:
 *
 *     mod.ts  ->  green/  ->  hubs/  ->  ffi/
 *
 * Imports point right or stay in their layer, never left; nothing there knows
 * `tests/` or `bench/`; and only relative paths and `node:` are imported, since
 * a bare specifier breaks whoever imports the package by its address.
 *
 * The imports come from `deno info`, which parses: comments cannot mislead it.
 */

import { assert, assertEquals } from "@std/assert";
import { ROOT, runDeno } from "./helpers/spawn.ts";

/** From left to right. */
const LAYERS: readonly string[] = ["mod.ts", "green/", "hubs/", "ffi/"];

interface Import {
  readonly from: string;
  readonly specifier: string;
  /** The file it leads to, from the project's folder; `null` outside of it. */
  readonly to: string | null;
  /** Whether only types are imported: such an import is gone at run time. */
  readonly typeOnly: boolean;
}

interface InfoModule {
  readonly specifier: string;
  readonly dependencies?: readonly {
    readonly specifier: string;
    readonly code?: { readonly specifier?: string };
    readonly type?: { readonly specifier?: string };
  }[];
}

/** Read before the first test: a sanitized test may not end what is older. */
const imports: readonly Import[] = await readImports();

Deno.test("imports are relative paths or node: modules", () => {
  const bad = imports.filter(({ specifier }) =>
    !/^(\.\.?\/|node:)/.test(specifier)
  );
  assertEquals(bad.map(describe), []);
});

Deno.test("imports stay within the published layers", () => {
  const bad = imports.filter(({ specifier, to }) =>
    !specifier.startsWith("node:") && (to === null || layerOf(to) < 0)
  );
  assertEquals(bad.map(describe), []);
});

Deno.test("imports point from mod.ts over green/ and hubs/ to ffi/", () => {
  const bad = imports.filter(({ from, to }) =>
    to !== null && layerOf(to) >= 0 && layerOf(to) < layerOf(from)
  );
  assertEquals(bad.map(describe), []);
});

Deno.test("imports of values make no cycle between files", () => {
  const edges = new Map<string, string[]>();
  for (const { from, to, typeOnly } of imports) {
    if (to !== null && !typeOnly) {
      edges.set(from, [...edges.get(from) ?? [], to]);
    }
  }
  assertEquals(findCycle(edges)?.join(" -> "), undefined);
});

Deno.test("findCycle() finds a cycle and passes over a diamond", () => {
  const diamond = { a: ["b", "c"], b: ["d"], c: ["d"] };
  assertEquals(findCycle(new Map(Object.entries(diamond))), null);
  const round = { a: ["b"], b: ["c"], c: ["b"] };
  assertEquals(findCycle(new Map(Object.entries(round))), ["b", "c", "b"]);
});

Deno.test("bench/demo.ts, which is published, imports nothing that is not", async () => {
  const bad = importsOf(await readModules("bench/demo.ts"))
    .filter(({ from, to }) => from.startsWith("bench/demo") && to !== null)
    .filter(({ to }) => layerOf(to!) < 0 && !to!.startsWith("bench/demo/"));
  assertEquals(bad.map(describe), []);
});

function describe({ from, specifier }: Import): string {
  return `${from} imports ${specifier}`;
}

/** The number of a file's layer, from the left; -1 for none. */
function layerOf(path: string): number {
  return LAYERS.findIndex((layer) =>
    layer.endsWith("/") ? path.startsWith(layer) : path === layer
  );
}

/** Every import of every file of the layers, whether an entry reaches it or not. */
async function readImports(): Promise<Import[]> {
  const modules = new Map<string, InfoModule>();
  for (const file of sourceFiles()) {
    if (modules.has(new URL(file, ROOT).href)) continue;
    for (const module of await readModules(file)) {
      modules.set(module.specifier, module);
    }
  }
  return importsOf([...modules.values()])
    .filter(({ from }) => layerOf(from) >= 0);
}

/** The files of the layers, from the project's folder. */
function sourceFiles(): string[] {
  return LAYERS.flatMap((layer) => layer.endsWith("/") ? walk(layer) : [layer]);
}

function walk(folder: string): string[] {
  return [...Deno.readDirSync(new URL(folder, ROOT))].flatMap((entry) => {
    const path = folder + entry.name;
    if (entry.isDirectory) return walk(`${path}/`);
    return path.endsWith(".ts") ? [path] : [];
  });
}

/** The modules that a file leads to, itself among them. */
async function readModules(file: string): Promise<InfoModule[]> {
  const { code, stdout, stderr } = await runDeno(
    ["info", "--json", "--no-lock", file],
  );
  assert(code === 0, stderr);
  return JSON.parse(stdout).modules;
}

function importsOf(modules: readonly InfoModule[]): Import[] {
  return modules.flatMap(({ specifier: from, dependencies = [] }) =>
    dependencies.map(({ specifier, code, type }) => ({
      from: inProject(from) ?? from,
      specifier,
      to: inProject(code?.specifier ?? type?.specifier ?? specifier),
      typeOnly: code === undefined,
    }))
  );
}

function inProject(address: string): string | null {
  return address.startsWith(ROOT.href) ? address.slice(ROOT.href.length) : null;
}

/** The first cycle found, its first file repeated at the end; or `null`. */
function findCycle(
  edges: ReadonlyMap<string, readonly string[]>,
): string[] | null {
  const done = new Set<string>();
  const path: string[] = [];

  function visit(file: string): string[] | null {
    if (path.includes(file)) return [...path.slice(path.indexOf(file)), file];
    if (done.has(file)) return null;
    path.push(file);
    for (const next of edges.get(file) ?? []) {
      const cycle = visit(next);
      if (cycle !== null) return cycle;
    }
    path.pop();
    done.add(file);
    return null;
  }

  for (const file of edges.keys()) {
    const cycle = visit(file);
    if (cycle !== null) return cycle;
  }
  return null;
}
