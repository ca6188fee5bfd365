/**
 * Reads an lcov report and tells how much of the published sources the tests
 * reach: `deno run --allow-read tests/tools/coverage.ts <report> [minimum %]`.
 * Exits with 1 when it is less than the minimum.
 *
 * The trap: a file that no test ever loads is not in the report at all. It is
 * counted here as not reached, unless it holds nothing but types.
 */

const ROOT = new URL("../../", import.meta.url);
const ROOMS: readonly string[] = ["mod.ts", "hubs/", "ffi/", "green/"];
/** A declaration that is there at run time. */
const CODE =
  /^(export )?(abstract class|async function|class|const|enum|function|let)\b/m;

interface Lines {
  readonly found: number;
  readonly hit: number;
}

if (import.meta.main) {
  const [report, minimum = "90"] = Deno.args;
  if (report === undefined) throw new TypeError("Which report?");
  const files = parseReport(Deno.readTextFileSync(report));
  for (const file of sourceFiles()) {
    if (!files.has(file)) files.set(file, unreached(file));
  }
  for (const [file, { found, hit }] of [...files].sort()) {
    if (found > 0) console.log(`${percent({ found, hit })}  ${file}`);
  }
  for (const room of ROOMS) {
    const lines = sum([...files].filter(([file]) => file.startsWith(room)));
    if (lines.found > 0) console.log(`${percent(lines)}  = ${room}`);
  }
  const all = sum([...files]);
  const enough = all.hit >= all.found * Number(minimum) / 100;
  console.log(`${percent(all)}  of ${all.found} lines, at least ${minimum} %`);
  if (!enough || all.found === 0) Deno.exit(1);
}

/** Lines found and hit, by file of the rooms. */
function parseReport(text: string): Map<string, Lines> {
  const files = new Map<string, Lines>();
  for (const record of text.split("end_of_record")) {
    const path = /^SF:(.*)$/m.exec(record)?.[1] ?? "";
    if (!path.startsWith(ROOT.pathname)) continue;
    const file = path.slice(ROOT.pathname.length);
    if (!ROOMS.some((room) => file.startsWith(room))) continue;
    files.set(file, {
      found: Number(/^LF:(\d+)$/m.exec(record)?.[1] ?? 0),
      hit: Number(/^LH:(\d+)$/m.exec(record)?.[1] ?? 0),
    });
  }
  return files;
}

function sourceFiles(): string[] {
  return ROOMS.flatMap((room) => room.endsWith("/") ? walk(room) : [room]);
}

function walk(folder: string): string[] {
  return [...Deno.readDirSync(new URL(folder, ROOT))].flatMap((entry) => {
    const path = folder + entry.name;
    if (entry.isDirectory) return walk(`${path}/`);
    return path.endsWith(".ts") ? [path] : [];
  });
}

/** What a file that is not in the report amounts to. */
function unreached(file: string): Lines {
  const text = Deno.readTextFileSync(new URL(file, ROOT));
  if (!CODE.test(text)) return { found: 0, hit: 0 };
  const lines = text.replace(/\/\*[^]*?\*\//g, "").split("\n")
    .filter((line) => !/^\s*(\/\/.*)?$/.test(line));
  return { found: lines.length, hit: 0 };
}

function sum(files: readonly (readonly [string, Lines])[]): Lines {
  let found = 0;
  let hit = 0;
  for (const [, lines] of files) {
    found += lines.found;
    hit += lines.hit;
  }
  return { found, hit };
}

function percent({ found, hit }: Lines): string {
  return `${(100 * hit / Math.max(found, 1)).toFixed(1).padStart(5)} %`;
}
