/**
 * A real PostgreSQL for the tests: a database cluster in a temporary folder,
 * and a server on it, on a Unix socket and a loopback port.
 *
 * PostgreSQL refuses to run as root, so root runs it as somebody else.
 */

import { findCommand } from "../helpers/need.ts";

const FOLDERS = versionFolders("/usr/lib/postgresql");
const initdb = findCommand("initdb", FOLDERS);
const postgres = findCommand("postgres", FOLDERS);

/** Whether a PostgreSQL server is installed. */
export const hasPostgres: boolean = initdb !== null && postgres !== null;

/** The conventional number of `nobody`, who has nothing to lose. */
const NOBODY = 65_534;
const user = Deno.uid() === 0 ? { uid: NOBODY, gid: NOBODY } : {};

/** A server under way. */
export interface PostgresServer extends AsyncDisposable {
  /** How to connect by the Unix socket. */
  readonly local: string;
  /** How to connect by TCP. */
  readonly tcp: string;
  /** End it: SIGINT is an orderly end, SIGQUIT an immediate one. */
  stop(signal?: Deno.Signal): Promise<void>;
}

let folder: string | null = null;

/** Make the cluster, once; it is removed when the process ends. */
function makeCluster(): string {
  if (folder !== null) return folder;
  folder = Deno.makeTempDirSync({ prefix: "greenhub-pg-" });
  addEventListener(
    "unload",
    () => Deno.removeSync(folder!, { recursive: true }),
  );
  if (user.uid !== undefined) Deno.chownSync(folder, user.uid, user.gid);
  const { success, stderr } = new Deno.Command(initdb!, {
    args: [
      ...["-D", `${folder}/data`, "-U", "postgres", "-A", "trust"],
      ...["-E", "UTF8", "--locale=C", "--no-sync"],
    ],
    cwd: folder,
    ...user,
  }).outputSync();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  return folder;
}

/** Start a server, and wait until it takes connections. */
export async function startPostgres(): Promise<PostgresServer> {
  const folder = makeCluster();
  const port = freePort();
  const child = new Deno.Command(postgres!, {
    args: [
      ...["-D", `${folder}/data`, "-k", folder, "-F"],
      ...["-h", "127.0.0.1", "-p", `${port}`],
    ],
    cwd: folder,
    stdin: "null",
    stdout: "null",
    stderr: "piped",
    ...user,
  }).spawn();
  const log = child.stderr.pipeThrough(new TextDecoderStream()).getReader();
  let said = "";
  while (!said.includes("ready to accept connections")) {
    const { value, done } = await log.read();
    if (done) throw new Error(`PostgreSQL did not start: ${said}`);
    said += value;
  }
  const drained = (async () => {
    while (!(await log.read()).done);
  })();
  let ended: Promise<void> | null = null;
  const stop = (signal: Deno.Signal = "SIGINT") =>
    ended ??= (async () => {
      child.kill(signal);
      await Promise.all([child.status, drained]);
    })();
  return {
    local: `host=${folder} port=${port} user=postgres dbname=postgres`,
    tcp: `hostaddr=127.0.0.1 port=${port} user=postgres dbname=postgres`,
    stop,
    [Symbol.asyncDispose]: () => stop(),
  };
}

function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

/** Debian keeps the server's commands out of PATH, by version. */
function versionFolders(base: string): string[] {
  try {
    return [...Deno.readDirSync(base)].map(({ name }) => `${base}/${name}/bin`);
  } catch {
    return [];
  }
}
