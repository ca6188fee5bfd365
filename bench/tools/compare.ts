/**
 * `deno task bench:compare OLD.json NEW.json`: how two runs of
 * `deno task bench --json` differ, row by row.
 *
 * A row is marked when its ratio is outside the noise: when it moved further
 * than both runs scatter (from the fastest iteration to the 75th percentile),
 * and by more than a tenth, since whole runs drift by that much. The ratio is
 * that of the fastest iterations if they and the averages agree on a direction.
 *
 * @module
 */

/** What is read of a result. */
interface Times {
  readonly min: number;
  readonly avg: number;
  readonly p75: number;
}

interface BenchFile {
  readonly benches: readonly {
    readonly group: string | null;
    readonly name: string;
    readonly results: readonly { readonly ok?: Times }[];
  }[];
}

/** How one row has changed. */
export interface Change {
  /** New time divided by old time. */
  readonly ratio: number;
  /** The least ratio above 1 that would tell something. */
  readonly noise: number;
  /** What to make of it. */
  readonly verdict: "slower" | "faster" | "";
}

/** Drift between two runs of the same code. */
const DRIFT = 1.1;

/** Compare two measurements of one row. */
export function change(before: Times, after: Times): Change {
  const scatter = ({ min, p75 }: Times) => p75 / min;
  const noise = Math.max(DRIFT, Math.max(scatter(before), scatter(after)));
  const fastest = after.min / before.min;
  const average = after.avg / before.avg;
  const agree = (fastest > 1) === (average > 1);
  // The one nearer to 1: a single lucky or unlucky iteration moves the other.
  const ratio = !agree
    ? 1
    : fastest > 1
    ? Math.min(fastest, average)
    : Math.max(fastest, average);
  const verdict = ratio > noise ? "slower" : ratio < 1 / noise ? "faster" : "";
  return { ratio, noise, verdict };
}

/** Rows by group and name. */
function rows(file: BenchFile): Map<string, Times> {
  const found = new Map<string, Times>();
  for (const { group, name, results } of file.benches) {
    const times = results[0]?.ok;
    if (times !== undefined) found.set(`${group ?? ""} / ${name}`, times);
  }
  return found;
}

/** Print the table; returns how many rows are slower. */
function compare(before: BenchFile, after: BenchFile): number {
  const old = rows(before);
  const now = rows(after);
  const width = Math.max(0, ...[...now.keys()].map((name) => name.length));
  const counts = { slower: 0, faster: 0, "": 0 };
  for (const [name, times] of now) {
    const was = old.get(name);
    if (was === undefined) {
      console.log(`${name.padEnd(width)}  new`);
      continue;
    }
    const { ratio, noise, verdict } = change(was, times);
    counts[verdict]++;
    console.log(
      name.padEnd(width),
      `${ratio.toFixed(2)}`.padStart(6),
      `(noise ${noise.toFixed(2)})`,
      verdict === "" ? "" : `  <- ${verdict}`,
    );
  }
  for (const name of old.keys()) {
    if (!now.has(name)) console.log(`${name.padEnd(width)}  gone`);
  }
  console.log(
    `${counts.slower} slower, ${counts.faster} faster, ` +
      `${counts[""]} within the noise`,
  );
  return counts.slower;
}

if (import.meta.main) {
  const [before, after] = Deno.args;
  if (before === undefined || after === undefined) {
    console.error("usage: deno task bench:compare OLD.json NEW.json");
    Deno.exit(2);
  }
  const read = (file: string): BenchFile =>
    JSON.parse(Deno.readTextFileSync(file));
  compare(read(before), read(after));
}
