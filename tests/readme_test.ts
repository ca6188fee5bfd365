/**
 * What README says and `deno test --doc` cannot see: that the hub it shows is
 * a right one, and that what it names and links to is there.
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { projectUrl, ROOT, runDeno } from "./helpers/spawn.ts";

const README = Deno.readTextFileSync(new URL("README.md", ROOT));

/** The only block of code that contains `text`. */
function blockWith(text: string): string {
  const blocks = [...README.matchAll(/^```ts\n(.*?)^```$/gms)]
    .map(([, code]) => code!)
    .filter((code) => code.includes(text));
  assertEquals(blocks.length, 1, `blocks with ${text}`);
  return blocks[0]!;
}

// A run for one hub need not look at another one's suite again.
const test = Deno.env.get("EVENTLET_HUB") ? () => {} : Deno.test;

test("README's hub of one's own passes the conformance suite", async () => {
  const block = blockWith("class ElsewherePoller");
  const hub = new URL("tests/elsewhere/package/mod.ts", ROOT);
  assertEquals(block, await Deno.readTextFile(hub));
  const code = block
    .replaceAll('"@greenhub/greenhub/hubs"', `"${projectUrl("hubs/mod.ts")}"`);
  const suite = projectUrl("hubs/conformance.ts");
  const folder = await Deno.makeTempDir({ prefix: "greenhub-" });
  try {
    const file = `${folder}/own_test.ts`;
    await Deno.writeTextFile(
      file,
      `${code}
import { conformance } from "${suite}";
conformance("own", { Hub });
`,
    );
    const { code: exit, stdout } = await runDeno(
      ["test", "--no-lock", "--no-config", "--allow-all", file],
      { timeout: 120_000 },
    );
    assertEquals(exit, 0, stdout);
    assertMatch(stdout, /ok \| [1-9][0-9]+ passed/);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("README links to files and headings that are there", () => {
  const links = [...README.matchAll(/\]\(([^)]+)\)/g)].map(([, to]) => to!);
  const headings = [...README.matchAll(/^#+ (.+)$/gm)].map(([, text]) =>
    "#" + text!.toLowerCase().replaceAll(" ", "-")
  );
  const broken = links.filter((to) => {
    if (to.startsWith("https://")) return false;
    if (to.startsWith("#")) return !headings.includes(to);
    return !isFile(to);
  });
  assertEquals(broken, []);
  assert(links.length > 10);
});

function isFile(path: string): boolean {
  try {
    return Deno.statSync(new URL(path, ROOT)).isFile;
  } catch {
    return false;
  }
}
