/**
 * Removes the coverage reports that are not whole: a program that a test has
 * killed may have left half of one, and `deno coverage` takes none of them then.
 *
 *     deno run --allow-read --allow-write tests/tools/whole_reports.ts <folder>
 */

/** Remove what is no whole report. */
function removePartial(folder: string): void {
  for (const { name } of [...Deno.readDirSync(folder)]) {
    if (!name.endsWith(".json")) continue;
    const path = `${folder}/${name}`;
    if (!endsAsObject(path)) Deno.removeSync(path);
  }
}

function endsAsObject(path: string): boolean {
  using file = Deno.openSync(path);
  const { size } = file.statSync();
  if (size === 0) return false;
  file.seekSync(size - 1, Deno.SeekMode.Start);
  const last = new Uint8Array(1);
  file.readSync(last);
  return last[0] === "}".charCodeAt(0);
}

if (import.meta.main) {
  const [folder] = Deno.args;
  if (folder === undefined) throw new TypeError("Which folder?");
  removePartial(folder);
}
