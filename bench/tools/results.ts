/**
 * The file of measured data: what `bench:peers` writes and `bench:report`
 * reads.
 *
 * @module
 */

/** Named figures of one run, or their medians. */
export type Metrics = Readonly<Record<string, number>>;

/** What all rounds of one row gave. */
export interface Row {
  /** Every round's figures. */
  readonly samples: readonly Metrics[];
  /** The median of each figure. */
  readonly median: Metrics;
}

/** One question, and the rows that answer it. */
export interface Group {
  /** When it was measured, ISO 8601. */
  readonly date: string;
  /** By name, in the order of measuring. */
  readonly rows: Readonly<Record<string, Row>>;
}

/** The file. */
export interface Results {
  /** What it was measured on: CPU, cores, memory, kernel. */
  readonly machine: Readonly<Record<string, string>>;
  /** Versions of all programs. */
  readonly versions: Readonly<Record<string, string>>;
  /** What was left out, and why. */
  readonly skipped: Readonly<Record<string, string>>;
  /** By name, as `pipes/1000`. */
  readonly groups: Readonly<Record<string, Group>>;
}

/** Where the file is. */
export const RESULTS: URL = new URL("../peers/results.json", import.meta.url);

/** The middle one of some numbers; of an even number, of the middle two. */
export function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  if (sorted.length % 2 === 1) return sorted[middle]!;
  return (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Rounds and their medians. */
export function rowOf(samples: readonly Metrics[]): Row {
  const names = [...new Set(samples.flatMap((sample) => Object.keys(sample)))];
  const middle = names.map((name) => {
    const values = samples.map((sample) => sample[name])
      .filter((value) => value !== undefined);
    return [name, Number(median(values).toPrecision(6))] as const;
  });
  return { samples, median: Object.fromEntries(middle) };
}

/** Read a file of measured data; null if there is none. */
export async function readResults(file: URL | string): Promise<Results | null> {
  try {
    return JSON.parse(await Deno.readTextFile(file));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}

/** Write it; groups of an older file that were not measured anew stay. */
export async function writeResults(
  file: URL | string,
  results: Results,
): Promise<void> {
  const old = await readResults(file);
  // What was left out of a group is known anew if the group was measured anew.
  const kept = Object.entries(old?.skipped ?? {}).filter(([name]) => {
    const group = name.split(": ")[0]!;
    return group.includes("/") && !(group in results.groups);
  });
  const merged: Results = {
    ...results,
    skipped: { ...Object.fromEntries(kept), ...results.skipped },
    groups: { ...old?.groups, ...results.groups },
  };
  await Deno.writeTextFile(file, JSON.stringify(merged, null, 2) + "\n");
}
