/**
 * What the comparisons run: programs in C, built into a folder of their own,
 * and the interpreters that are there. What is missing is told with a reason.
 *
 * @module
 */

import { run } from "./process.ts";

/** The folder of the other programs. */
export const PEERS: string = new URL("../peers/", import.meta.url).pathname;

/** Debian's Python, which has Debian's eventlet and gevent. */
const PYTHON = "/usr/bin/python3";

/** What is there to compare with. */
export class Toolbox {
  /** Why something is left out, by name. */
  readonly skipped: Record<string, string> = {};
  /** Version of each program, by name. */
  readonly versions: Record<string, string> = {};
  readonly #folder: string;
  readonly #tools = new Map<string, string[]>();

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /** Looks for everything, and builds what is in C. */
  static async open(): Promise<Toolbox> {
    const box = new Toolbox(await Deno.makeTempDir({ prefix: "greenhub-" }));
    box.versions["Deno"] = Deno.version.deno;
    box.#tools.set("deno", [Deno.execPath(), "run", "--allow-all"]);
    await box.#look("node", ["node"], ["node", "--version"], "Node");
    for (const name of ["greenlet", "eventlet", "gevent"]) {
      const show = `import ${name}; print(${name}.__version__)`;
      await box.#look(name, [PYTHON], [PYTHON, "-W", "ignore", "-c", show]);
    }
    await box.#look("cc", ["cc"], ["cc", "-dumpfullversion"], "C compiler");
    const python = await run([PYTHON, "--version"]);
    if (python.code === 0) {
      box.versions["Python"] = python.stdout.replace("Python", "").trim();
    }
    for (const name of ["measure", "pipes", "tasks", "echo", "load"]) {
      await box.#build(name, []);
    }
    for (const name of ["pipes_libevent", "tasks_libevent"]) {
      await box.#build(name, ["-levent"]);
    }
    return box;
  }

  /** The beginning of a command; null if it is left out. */
  get(name: string): readonly string[] | null {
    return this.#tools.get(name) ?? null;
  }

  /** Note why a row is left out. */
  skip(name: string, reason: string): void {
    this.skipped[name] ??= reason;
  }

  /** Removes what was built. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.#folder, { recursive: true });
  }

  async #look(
    name: string,
    command: string[],
    ask: string[],
    title = name,
  ): Promise<void> {
    const { code, stdout, complaint } = await run(ask);
    if (code !== 0) return this.skip(name, complaint);
    this.versions[title] = stdout.trim();
    this.#tools.set(name, command);
  }

  async #build(name: string, libraries: readonly string[]): Promise<void> {
    const out = `${this.#folder}/${name}`;
    const source = `${PEERS}${name}.c`;
    const { code, complaint } = await run(
      ["cc", "-O2", "-o", out, source, "-lpthread", ...libraries],
    );
    if (code === 0) this.#tools.set(name, [out]);
    else this.skip(name, complaint);
  }
}
