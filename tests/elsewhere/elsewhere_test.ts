/**
 * A hub from elsewhere: `package/` as somebody else would publish it. Both it
 * and greenhub are served over HTTP, and programs that have seen neither
 * choose its hub in every way there is.
 */

import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { ROOT, runDeno, runProgram, type RunResult } from "../helpers/spawn.ts";

/** Where the package's deno.json says that greenhub is. */
const ADDRESS = "https://greenhub.example";

const PACKAGE = new URL("package/", import.meta.url);

/** What every program does once it has chosen its hub. */
const WORK = `
const hub = getHub();
const libc = Deno.dlopen("libc.so.6", {
  pipe: { parameters: ["buffer"], result: "i32" },
  write: { parameters: ["i32", "buffer", "usize"], result: "isize" },
});
const [reader, writer] = ((fds) => (libc.symbols.pipe(fds), fds))(
  new Int32Array(2),
);
const gt = spawn(() => trampoline(reader, { read: true, timeout: 10_000 }));
await sleep(5);
libc.symbols.write(writer, new Uint8Array(1), 1n);
const { parking } = hub.statistics();
console.log(hub.name, await gt.wait() === reader, parking);
`;

const IMPORTS = `
import { getHub, sleep, spawn, trampoline, useHub } from "GREENHUB/mod.ts";
`;

const BY_MODULE = `
import * as elsewhere from "ELSEWHERE/mod.ts";
useHub(elsewhere);
`;

Deno.test("useHub() takes a module from elsewhere", async () => {
  assertWorked(await run(IMPORTS + BY_MODULE + WORK));
});

Deno.test("useHub() takes a class from elsewhere", async () => {
  assertWorked(
    await run(`${IMPORTS}
import { Hub } from "ELSEWHERE/mod.ts";
useHub(Hub);
${WORK}`),
  );
});

Deno.test("useHub() takes a specifier from elsewhere, with a class or without", async () => {
  for (const specifier of ["ELSEWHERE/mod.ts", "ELSEWHERE/mod.ts:Hub"]) {
    assertWorked(
      await run(`${IMPORTS} await useHub("${specifier}"); ${WORK}`),
    );
  }
});

Deno.test("EVENTLET_HUB takes a specifier from elsewhere", async () => {
  assertWorked(
    await run(IMPORTS + WORK, {
      flags: ["--allow-env=EVENTLET_HUB"],
      hub: "ELSEWHERE/mod.ts:Hub",
    }),
  );
});

Deno.test("EVENTLET_HUB with an address that leads nowhere fails at first use", async () => {
  const { code, stdout, stderr } = await run(
    `${IMPORTS}
console.log("imported");
getHub();
`,
    { flags: ["--allow-env=EVENTLET_HUB"], hub: "ELSEWHERE/missing.ts" },
  );
  assertEquals([code, stdout], [1, "imported\n"], stderr);
  assertMatch(stderr, /HubError: Cannot use hub "http:.*missing\.ts"/);
});

Deno.test("useHub() refuses a hub that extends another copy's BaseHub", async () => {
  // The program's copy comes from an address of its own.
  const { code, stdout, stderr } = await run(
    `${IMPORTS.replace("GREENHUB", "OTHER")}
import * as elsewhere from "ELSEWHERE/mod.ts";
useHub("poll");
const before = getHub();
const errors = [];
for (const way of [elsewhere, elsewhere.Hub, "ELSEWHERE/mod.ts"]) {
  try {
    await useHub(way);
  } catch (error) {
    errors.push(error);
  }
}
console.log(errors.map((error) => error.name).join(), getHub() === before);
console.log(errors[0].message);
`,
  );
  assertEquals(code, 0, stderr);
  const [outcome, message] = stdout.split("\n");
  assertEquals(outcome, "HubError,HubError,HubError true");
  assertStringIncludes(message!, "the BaseHub of another copy");
  assertMatch(message!, /here http:\/\/127\.0\.0\.1:\d+\/other\/$/);
});

Deno.test("useHub() takes a class that extends nothing of ours as it is", async () => {
  const { stdout, stderr } = await run(`${IMPORTS}
class Foreign {}
useHub(Foreign);
console.log(getHub() instanceof Foreign);
`);
  assertEquals(stdout, "true\n", stderr);
});

Deno.test("the package from elsewhere type-checks by its own deno.json", async () => {
  const cache = await Deno.makeTempDir({ prefix: "greenhub-cache-" });
  const folder = await Deno.makeTempDir({ prefix: "greenhub-package-" });
  try {
    const result = await served(async (host) => {
      const origin = `http://${host}`;
      const config = await Deno.readTextFile(new URL("deno.json", PACKAGE));
      await Deno.writeTextFile(
        `${folder}/deno.json`,
        config.replace(ADDRESS, `${origin}/greenhub`),
      );
      await Deno.copyFile(new URL("mod.ts", PACKAGE), `${folder}/mod.ts`);
      return await runDeno(["check", `--allow-import=${host}`, "mod.ts"], {
        cwd: folder,
        env: { DENO_DIR: cache },
        timeout: 60_000,
      });
    });
    assertEquals(result.code, 0, result.stderr);
    assertStringIncludes(result.stderr, "/greenhub/hubs/mod.ts");
  } finally {
    await Deno.remove(folder, { recursive: true });
    await Deno.remove(cache, { recursive: true });
  }
});

function assertWorked({ code, stdout, stderr, timedOut }: RunResult): void {
  assertEquals(
    [stdout, code, timedOut],
    ["elsewhere true none\n", 0, false],
    stderr,
  );
}

/** Serve greenhub and the package, and let `use` have the host. */
async function served<T>(use: (host: string) => Promise<T>): Promise<T> {
  await using server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    (request) => answer(new URL(request.url)),
  );
  return await use(`127.0.0.1:${server.addr.port}`);
}

interface ProgramOptions {
  readonly flags?: readonly string[];
  /** `EVENTLET_HUB`. */
  readonly hub?: string;
}

/** Run a program of a newcomer, who has nothing but addresses. */
async function run(
  program: string,
  { flags = [], hub }: ProgramOptions = {},
): Promise<RunResult> {
  return await served((host) => runAt(host, program, flags, hub));
}

async function runAt(
  host: string,
  program: string,
  flags: readonly string[],
  hub: string | undefined,
): Promise<RunResult> {
  const withAddresses = (text: string): string =>
    text.replaceAll("GREENHUB", `http://${host}/greenhub`)
      .replaceAll("OTHER", `http://${host}/other`)
      .replaceAll("ELSEWHERE", `http://${host}/elsewhere`);
  const cache = await Deno.makeTempDir({ prefix: "greenhub-cache-" });
  try {
    return await runProgram(withAddresses(program), {
      flags: [
        "--no-config",
        "--no-check",
        `--allow-import=${host}`,
        "--allow-ffi",
        ...flags,
      ],
      env: {
        DENO_DIR: cache,
        EVENTLET_HUB: hub === undefined ? undefined : withAddresses(hub),
      },
      cwd: new URL("file:///"),
      timeout: 60_000,
    });
  } finally {
    await Deno.remove(cache, { recursive: true });
  }
}

/** `/greenhub/` and `/other/` are two copies of greenhub. */
async function answer({ origin, pathname }: URL): Promise<Response> {
  const [, copy, path] = /^\/(\w+)\/(.+\.ts)$/.exec(pathname) ?? [];
  try {
    const folder = copy === "elsewhere" ? PACKAGE : ROOT;
    let text = await Deno.readTextFile(new URL(path!, folder));
    if (copy === "elsewhere") text = await published(text, origin);
    return new Response(text, {
      headers: { "content-type": "application/typescript" },
    });
  } catch {
    return new Response("Not found", { status: 404 });
  }
}

/** The package's text as a registry publishes it: its imports written out. */
async function published(text: string, origin: string): Promise<string> {
  const { imports } = JSON.parse(
    await Deno.readTextFile(new URL("deno.json", PACKAGE)),
  ) as { imports: Record<string, string> };
  for (const [name, address] of Object.entries(imports)) {
    const served = address.replace(
      ADDRESS,
      `${origin}/greenhub`,
    );
    text = text.replaceAll(JSON.stringify(name), JSON.stringify(served));
  }
  return text;
}
