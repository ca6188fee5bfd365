/**
 * Hubs by module specifier: what a relative one is relative to, in a Worker
 * too, and that nothing prompts, not even on a terminal.
 */

import { assertEquals, assertMatch } from "@std/assert";
import { within } from "../../hubs/conformance/rig.ts";
import { getHub } from "../../mod.ts";
import { testWith } from "../helpers/need.ts";
import { projectUrl, runFile } from "../helpers/spawn.ts";
import { load } from "../integration/support.ts";

const recipe = await load(import("../integration/pty.ts"));
const ON_A_TERMINAL = ["Linux", recipe !== null] as const;
const { Terminal } = recipe ?? {} as never;

const SIGKILL = 9;

const MOD = projectUrl("mod.ts");
const NET = projectUrl("green/net.ts");
const TINY = projectUrl("tests/third_party/tiny.ts");

/** A hub in one file, that imports only what it must. */
const THEIR_HUB = `
import { BaseHub } from "${projectUrl("hubs/mod.ts")}";
class Poller { watch() {} sweep() { return 0; } close() {} }
export class Theirs extends BaseHub { constructor() { super(new Poller()); } }
`;

const SAY = `
const say = async (choose) => {
  try { await choose(); console.log("hub:", getHub().name); }
  catch (error) { console.log(error.name + ": " + error.message); }
};
`;

/** A folder with these files, for as long as `fn` needs it. */
async function withFiles(
  files: Readonly<Record<string, string>>,
  fn: (folder: string) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "greenhub-" });
  try {
    for (const [name, text] of Object.entries(files)) {
      await Deno.writeTextFile(`${folder}/${name}`, text);
    }
    await fn(await Deno.realPath(folder));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Reports the hub it gets, and what it gets by these specifiers. */
function worker(...specifiers: string[]): string {
  return `
    import { getHub, useHub } from "${MOD}";
    ${SAY}
    await say(() => {});
    await getHub().close();
    for (const specifier of ${JSON.stringify(specifiers)}) {
      await say(() => useHub(specifier));
    }
    self.postMessage("done");
  `;
}

Deno.test("a relative specifier stands beside a Worker's own module", async () => {
  const their = `export { Hub as Theirs } from "${TINY}";`;
  await withFiles({ "their_hub.ts": their }, async (folder) => {
    await Deno.mkdir(`${folder}/sub`);
    const texts = {
      "main.ts": `
        const worker = new Worker(import.meta.resolve("./sub/worker.ts"), { type: "module" });
        worker.onmessage = () => worker.terminate();`,
      "sub/their_hub.ts": their,
      "sub/worker.ts": worker(
        "../their_hub.ts:Theirs",
        "their_hub.ts:Theirs",
        `${folder}/their_hub.ts:Theirs`,
      ),
    };
    for (const [name, text] of Object.entries(texts)) {
      await Deno.writeTextFile(`${folder}/${name}`, text);
    }
    const { code, stdout, stderr } = await runFile(`${folder}/main.ts`, {
      flags: ["-A"],
      env: { EVENTLET_HUB: "./their_hub.ts:Theirs" },
      cwd: "/",
    });
    assertEquals([code, stderr], [0, ""]);
    assertEquals(stdout, "hub: Hub\n".repeat(4));
  });
});

Deno.test("a rooted specifier works in a Worker that is not a file", async () => {
  await withFiles({ "their_hub.ts": THEIR_HUB }, async (folder) => {
    const specifier = `${folder}/their_hub.ts:Theirs`;
    const text = `
      const text = ${JSON.stringify(worker(specifier, "./their_hub.ts"))};
      const blob = new Blob([text], { type: "application/typescript" });
      const worker = new Worker(URL.createObjectURL(blob), { type: "module" });
      worker.onmessage = () => worker.terminate();`;
    await Deno.writeTextFile(`${folder}/main.ts`, text);
    const { stdout } = await runFile(`${folder}/main.ts`, {
      flags: ["-A"],
      env: { EVENTLET_HUB: specifier },
    });
    const [preloaded, chosen, relative] = stdout.split("\n");
    assertEquals([preloaded, chosen], ["hub: Theirs", "hub: Theirs"]);
    assertMatch(relative!, /^HubError: Cannot use hub/);
  });
});

Deno.test("EVENTLET_HUB with a specifier works for a program of ./net alone", async () => {
  const main = `
    import { listen } from "${NET}";
    using listener = listen({ hostname: "127.0.0.1", port: 0 });
    const accepting = listener.accept();
    listener.close();
    await accepting.catch((error) => console.log(error.name));
  `;
  const files = { "main.ts": main, "their_hub.ts": THEIR_HUB };
  await withFiles(files, async (folder) => {
    const { stdout, stderr } = await runFile(`${folder}/main.ts`, {
      flags: ["-A"],
      env: { EVENTLET_HUB: "./their_hub.ts:Theirs" },
    });
    assertEquals([stdout, stderr], ["IOClosed\n", ""]);
  });
});

Deno.test("off a terminal, what the program has imported needs no permission", async () => {
  const main = `
    import { getHub, useHub } from "${MOD}";
    import "./their_hub.ts";
    ${SAY}
    await say(() => useHub("./their_hub.ts:Theirs"));
  `;
  const files = { "main.ts": main, "their_hub.ts": THEIR_HUB };
  await withFiles(files, async (folder) => {
    const { stdout, stderr } = await runFile(`${folder}/main.ts`, {
      flags: ["--allow-ffi"],
    });
    assertEquals([stdout, stderr], ["hub: Theirs\n", ""]);
  });
});

/** Run a program on a terminal; its first line that tells of a hub or asks. */
async function onTerminal(
  file: string,
  flags: readonly string[],
  env: Record<string, string> = {},
): Promise<string> {
  const { PATH = "", HOME = "", DENO_DIR } = Deno.env.toObject();
  using terminal = new Terminal(
    [Deno.execPath(), "run", "--no-lock", "--no-config", ...flags, file],
    {
      PATH,
      HOME,
      NO_COLOR: "1",
      ...(DENO_DIR === undefined ? {} : { DENO_DIR }),
      ...env,
    },
  );
  try {
    return await within(
      20_000,
      terminal.expect(/hub: \w+|HubError[^\r\n]*|Deno requests[^\r\n]*/),
    );
  } finally {
    terminal.process.send(SIGKILL);
    await terminal.ended();
  }
}

// Opening libc is a resource that stays.
await getHub().close();

const CHOOSE = `
  import { getHub, useHub } from "${MOD}";
  ${SAY}
  await say(() => useHub(SPECIFIER));
`;

for (
  const [specifier, grants, expected] of [
    ["./their_hub.ts:Theirs", [], /HubError.*--allow-read=\/\S*their_hub\.ts$/],
    ["./their_hub.ts:Theirs", ["--allow-read=."], /hub: Theirs$/],
    [
      `data:text/javascript,${encodeURIComponent(THEIR_HUB)}:Theirs`,
      [],
      /hub: Theirs$/,
    ],
    [
      "https://example.invalid/hub.ts",
      [],
      /HubError.*--allow-import=example\.invalid:443$/,
    ],
    [
      "http://127.0.0.1:9/hub.ts:Hub",
      [],
      /HubError.*--allow-import=127\.0\.0\.1:9$/,
    ],
  ] as const
) {
  const name = specifier.slice(0, 24);
  testWith(
    ON_A_TERMINAL,
    `useHub("${name}…") prompts for nothing with ${grants[0] ?? "no grant"}`,
    async () => {
      const main = CHOOSE.replace("SPECIFIER", JSON.stringify(specifier));
      const files = { "main.ts": main, "their_hub.ts": THEIR_HUB };
      await withFiles(files, async (folder) => {
        const flags = grants.map((flag) => flag.replace(/\.$/, folder));
        const seen = await onTerminal(
          `${folder}/main.ts`,
          ["--allow-ffi", ...flags],
        );
        assertMatch(seen, expected);
      });
    },
  );
}

testWith(
  ON_A_TERMINAL,
  "EVENTLET_HUB with a specifier prompts for nothing at the import",
  async () => {
    const main = `
    import { getHub } from "${MOD}";
    ${SAY}
    await say(() => {});
  `;
    const files = { "main.ts": main, "their_hub.ts": THEIR_HUB };
    await withFiles(files, async (folder) => {
      const seen = await onTerminal(
        `${folder}/main.ts`,
        ["--allow-ffi", "--allow-env=EVENTLET_HUB"],
        { EVENTLET_HUB: "./their_hub.ts:Theirs" },
      );
      assertMatch(seen, /HubError.*--allow-read=/);
    });
  },
);
