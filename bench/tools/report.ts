/**
 * `deno task bench:report`: `bench/REPORT.md` and the charts in
 * `bench/charts/`, from what `deno task bench:peers` has measured.
 *
 * Option: `--in=FILE`.
 *
 * @module
 */

import { makeCharts } from "./report_charts.ts";
import { reportText } from "./report_text.ts";
import { readResults, RESULTS } from "./results.ts";

const BENCH = new URL("../", import.meta.url);

const input = Deno.args.find((arg) => arg.startsWith("--in="))?.slice(5) ??
  RESULTS;
const results = await readResults(input);
if (results === null) {
  console.error("Nothing was measured yet: run deno task bench:peers first");
  Deno.exit(1);
}
await Deno.mkdir(new URL("charts/", BENCH), { recursive: true });
for (const [name, svg] of Object.entries(makeCharts(results))) {
  await Deno.writeTextFile(new URL(`charts/${name}`, BENCH), svg);
  console.log(`bench/charts/${name}`);
}
const report = new URL("REPORT.md", BENCH);
await Deno.writeTextFile(report, reportText(results));
// All that is in the project is as the formatter wants it.
await new Deno.Command(Deno.execPath(), {
  args: ["fmt", "--quiet", report.pathname, new URL("charts/", BENCH).pathname],
}).output();
console.log("bench/REPORT.md");
