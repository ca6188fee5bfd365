/**
 * Runs a small program in a Deno of its own, for what cannot be seen from
 * within: permissions, exit codes, signals, a process that must end by itself.
 */

/** The project's folder, ending in a slash. */
export const ROOT: URL = new URL("../../", import.meta.url);

/** How to run a program. */
export interface RunOptions {
  /** Flags of `deno run`, permissions above all. None are added but the lock's. */
  readonly flags?: readonly string[];
  /** Arguments of the program. */
  readonly args?: readonly string[];
  /** Environment beside the inherited one; `undefined` takes a variable away. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Working folder. Default: the project's. */
  readonly cwd?: string | URL;
  /** After so many milliseconds the process is killed. Default: 20,000. */
  readonly timeout?: number;
}

/** How a program went. */
export interface RunResult {
  /** Exit code; 128 and more after a signal. */
  readonly code: number;
  readonly signal: Deno.Signal | null;
  readonly stdout: string;
  readonly stderr: string;
  /** Whether the time limit ended it. */
  readonly timedOut: boolean;
  /** How long it ran, in milliseconds. */
  readonly elapsed: number;
}

/** No colours; and no look for a newer Deno, which opens sockets of its own. */
export const PLAIN: Readonly<Record<string, string>> = {
  NO_COLOR: "1",
  DENO_NO_UPDATE_CHECK: "1",
};

/**
 * To be put before a program that counts descriptors. Deno opens two sockets
 * for signals at the first listener, or about half a second after its start.
 */
export const SIGNALS_READY = `
{
  const none = () => {};
  Deno.addSignalListener("SIGUSR2", none);
  Deno.removeSignalListener("SIGUSR2", none);
}
`;

/** The address of a file of the project, for an `import` in a program's text. */
export function projectUrl(path: string): string {
  return new URL(path, ROOT).href;
}

/**
 * Run the text of a TypeScript program, from a file in a temporary folder.
 *
 * The text imports the project's files by `projectUrl()`.
 */
export async function runProgram(
  text: string,
  options: RunOptions = {},
): Promise<RunResult> {
  const folder = await Deno.makeTempDir({ prefix: "greenhub-" });
  try {
    const file = `${folder}/main.ts`;
    await Deno.writeTextFile(file, text);
    return await runFile(file, options);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** What a program prints that may do all; nothing may go to stderr. */
export async function printedBy(text: string): Promise<string> {
  const flags = ["--allow-all", "--no-check"];
  const { stdout, stderr } = await runProgram(text, { flags });
  if (stderr !== "") throw new Error(`The program has complained: ${stderr}`);
  return stdout;
}

/** Run a file with `deno run`. */
export function runFile(
  file: string | URL,
  options: RunOptions = {},
): Promise<RunResult> {
  const { flags = [], args = [] } = options;
  return runDeno(
    ["run", "--no-prompt", "--no-lock", ...flags, String(file), ...args],
    options,
  );
}

/** Run Deno with exactly these arguments. */
export async function runDeno(
  args: readonly string[],
  options: Omit<RunOptions, "flags" | "args"> = {},
): Promise<RunResult> {
  const { env = {}, cwd = ROOT, timeout = 20_000 } = options;
  const started = performance.now();
  const child = new Deno.Command(Deno.execPath(), {
    args: [...args],
    cwd,
    clearEnv: true,
    env: environment(env),
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  let timedOut = false;
  const limit = setTimeout(() => {
    timedOut = true;
    child.kill("SIGKILL");
  }, timeout);
  try {
    const { code, signal, stdout, stderr } = await child.output();
    return {
      code,
      signal,
      stdout: new TextDecoder().decode(stdout),
      stderr: new TextDecoder().decode(stderr),
      timedOut,
      elapsed: performance.now() - started,
    };
  } finally {
    clearTimeout(limit);
  }
}

/** The inherited environment with these changes, and output without colours. */
function environment(
  changes: Readonly<Record<string, string | undefined>>,
): Record<string, string> {
  const env: Record<string, string> = { ...Deno.env.toObject(), ...PLAIN };
  for (const [name, value] of Object.entries(changes)) {
    if (value === undefined) delete env[name];
    else env[name] = value;
  }
  return env;
}
