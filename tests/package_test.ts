/**
 * The package as others get it: what `deno publish` would send, and an import
 * by address, in a process that has never seen the project.
 */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { ROOT, runDeno, runProgram } from "./helpers/spawn.ts";

/** A newcomer's program; `ORIGIN` is where the package is served. */
const PROGRAM = `
import { getHub, sleep, spawn, trampoline } from "ORIGIN/mod.ts";

const libc = Deno.dlopen("libc.so.6", {
  pipe: { parameters: ["buffer"], result: "i32" },
  write: { parameters: ["i32", "buffer", "usize"], result: "isize" },
  close: { parameters: ["i32"], result: "i32" },
});
const fds = new Int32Array(2);
libc.symbols.pipe(fds);
const [reading, writing] = fds;

const reader = spawn(async () => {
  const fd = await trampoline(reading, { read: true, timeout: 5_000 });
  return fd === reading ? "readable" : "wrong descriptor";
});
await sleep(5);
libc.symbols.write(writing, new Uint8Array([1]), 1n);
console.log(await reader.wait(), getHub().name);
libc.symbols.close(reading);
libc.symbols.close(writing);
`;

/** What `deno publish` would send. */
async function published(): Promise<string[]> {
  const { code, stdout, stderr } = await runDeno(
    ["publish", "--dry-run", "--allow-dirty"],
    { timeout: 120_000 },
  );
  assert(code === 0, stdout + stderr);
  return [...(stdout + stderr).matchAll(/file:\/\/(\S+)/g)]
    .map(([, path]) => path!.slice(ROOT.pathname.length));
}

Deno.test("deno publish accepts the package, without slow types", async () => {
  const files = await published();
  assert(files.includes("mod.ts"), "mod.ts is not published");
  assertEquals(
    files.filter((path) =>
      !/^(mod\.ts|(hubs|ffi|green)\/.+|bench\/demo(\.ts|\/.+))$/.test(path) &&
      !/^(bench\/charts\/\w+\.svg|tests\/integration\/\w+\.ts)$/.test(path) &&
      !["README.md", "LICENSE", "deno.json", "bench/REPORT.md"].includes(path)
    ),
    [],
  );
  assertEquals(files.filter((path) => path.endsWith("_test.ts")), []);
});

Deno.test("what README.md links to is published, and what that needs", async () => {
  const files = await published();
  const missing: string[] = [];
  for (const from of ["README.md", "bench/REPORT.md"]) {
    const text = await Deno.readTextFile(new URL(from, ROOT));
    const links = [...text.matchAll(/\]\((?!https?:|#)([^)#\s]+)/g)];
    assert(links.length > 0, `${from} has no links`);
    missing.push(...unpublished(from, links));
  }
  for (const from of files.filter((path) => path.startsWith("tests/"))) {
    const text = await Deno.readTextFile(new URL(from, ROOT));
    missing.push(...unpublished(from, text.matchAll(/ from "(\.[^"]+)"/g)));
  }
  assertEquals(missing, []);

  function unpublished(from: string, links: Iterable<RegExpMatchArray>) {
    const base = new URL(from, ROOT);
    return [...links]
      .map(([, link]) => new URL(link!, base).pathname)
      .map((path) => path.slice(ROOT.pathname.length))
      .filter((path) => !files.includes(path))
      .map((path) => `${path}, from ${from}`);
  }
});

Deno.test("deno.json exports exactly what is promised", async () => {
  const { exports } = JSON.parse(
    await Deno.readTextFile(new URL("deno.json", ROOT)),
  );
  assertEquals(Object.keys(exports).sort(), [
    ".",
    "./conformance",
    "./debug",
    "./demo",
    "./hubs",
    "./hubs/epolls",
    "./hubs/libevent",
    "./hubs/poll",
    "./hubs/selects",
    "./net",
  ]);
});

Deno.test("deno.json exports files that are there", async () => {
  const { exports } = JSON.parse(
    await Deno.readTextFile(new URL("deno.json", ROOT)),
  );
  const missing = Object.values<string>(exports).filter((path) => {
    try {
      return !Deno.statSync(new URL(path, ROOT)).isFile;
    } catch {
      return true;
    }
  });
  assertEquals(missing, []);
});

Deno.test("mod.ts works when it is imported by URL", async () => {
  await using server = serveProject();
  const { port } = server.addr;
  const origin = `http://127.0.0.1:${port}`;
  const cache = await Deno.makeTempDir({ prefix: "greenhub-cache-" });
  const folder = await Deno.makeTempDir({ prefix: "greenhub-new-" });
  try {
    const result = await runProgram(PROGRAM.replaceAll("ORIGIN", origin), {
      flags: ["--no-config", `--allow-import=127.0.0.1:${port}`, "--allow-ffi"],
      env: { DENO_DIR: cache, EVENTLET_HUB: undefined },
      cwd: folder,
      timeout: 60_000,
    });
    assertEquals(result.stdout, "readable epolls\n", result.stderr);
    assertEquals([result.code, result.timedOut], [0, false]);
    assertStringIncludes(result.stderr, `${origin}/mod.ts`);
  } finally {
    await Deno.remove(cache, { recursive: true });
    await Deno.remove(folder, { recursive: true });
  }
});

/** Serve the project's published files on a free port of the loopback. */
function serveProject(): Deno.HttpServer<Deno.NetAddr> {
  return Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    async (request) => {
      const { pathname } = new URL(request.url);
      if (!/^\/(mod\.ts|(hubs|green|ffi)\/.+\.ts)$/.test(pathname)) {
        return new Response("Not published", { status: 404 });
      }
      try {
        const file = await Deno.open(new URL(`.${pathname}`, ROOT));
        return new Response(file.readable, {
          headers: { "content-type": "application/typescript" },
        });
      } catch {
        return new Response("Not found", { status: 404 });
      }
    },
  );
}
