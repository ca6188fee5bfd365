/**
 * A pseudo-terminal: talk to an interactive program as a person would.
 *
 * Through a pipe, programs know that nobody is there: no prompt, no line
 * editing, no password question, no Ctrl-C. On a terminal they do not.
 *
 * Trap: fork(2) in a process with threads may run next to nothing before
 * exec(2), so this uses posix_spawn(3): a new session first (POSIX_SPAWN_SETSID)
 * and then the terminal opened by name, which makes it the controlling one.
 */

import { asyncIO, notifyClose, systemCall, SystemError } from "../../mod.ts";
import { cString } from "./c.ts";
import { Process } from "./pidfd.ts";

const libc = Deno.dlopen("libc.so.6", {
  posix_openpt: { parameters: ["i32"], result: "i32" },
  grantpt: { parameters: ["i32"], result: "i32" },
  unlockpt: { parameters: ["i32"], result: "i32" },
  ptsname_r: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  posix_spawnp: {
    parameters: ["buffer", "buffer", "buffer", "buffer", "buffer", "buffer"],
    result: "i32",
  },
  posix_spawnattr_init: { parameters: ["buffer"], result: "i32" },
  posix_spawnattr_setflags: { parameters: ["buffer", "i16"], result: "i32" },
  posix_spawnattr_setsigdefault: {
    parameters: ["buffer", "buffer"],
    result: "i32",
  },
  posix_spawnattr_destroy: { parameters: ["buffer"], result: "i32" },
  posix_spawn_file_actions_init: { parameters: ["buffer"], result: "i32" },
  posix_spawn_file_actions_addopen: {
    parameters: ["buffer", "i32", "buffer", "i32", "u32"],
    result: "i32",
  },
  posix_spawn_file_actions_adddup2: {
    parameters: ["buffer", "i32", "i32"],
    result: "i32",
  },
  posix_spawn_file_actions_destroy: { parameters: ["buffer"], result: "i32" },
  sigfillset: { parameters: ["buffer"], result: "i32" },
  read: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  write: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  close: { parameters: ["i32"], result: "i32" },
}).symbols;

const O_RDWR = 2;
const O_NOCTTY = 0o400;
const O_NONBLOCK = 0o4000;
const O_CLOEXEC = 0o2000000;
const POSIX_SPAWN_SETSIGDEF = 0x04;
const POSIX_SPAWN_SETSID = 0x80;

/** A program on a terminal of its own. */
export class Terminal implements Disposable {
  /** The program. */
  readonly process: Process;
  readonly #decoder = new TextDecoder();
  readonly #buffer = new Uint8Array(4096);
  #fd: number;
  #unread = "";

  /** Start `argv[0]`, looked for in PATH, with just this environment. */
  constructor(argv: readonly string[], env: Record<string, string> = {}) {
    const flags = O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC;
    this.#fd = systemCall(() => libc.posix_openpt(flags), "posix_openpt");
    try {
      systemCall(() => libc.grantpt(this.#fd), "grantpt");
      systemCall(() => libc.unlockpt(this.#fd), "unlockpt");
      const tty = new Uint8Array(64);
      systemCall(() => -libc.ptsname_r(this.#fd, tty, 64), "ptsname_r");
      this.process = new Process(spawnOn(tty, argv, env));
    } catch (error) {
      libc.close(this.#fd);
      throw error;
    }
  }

  /** Type something. Return is `"\r"`, Ctrl-C is `"\x03"`. */
  async type(text: string): Promise<void> {
    let rest = new TextEncoder().encode(text);
    while (rest.length > 0) {
      const sent = await asyncIO(
        this.#fd,
        { write: true },
        () => libc.write(this.#fd, rest, rest.length),
      );
      rest = rest.subarray(sent);
    }
  }

  /**
   * Read until `pattern` is on the screen, and return everything up to its end.
   *
   * @throws {SystemError} EIO if the program has hung up before that.
   */
  async expect(pattern: RegExp): Promise<string> {
    for (;;) {
      const match = pattern.exec(this.#unread);
      if (match !== null) {
        const end = match.index + match[0].length;
        const seen = this.#unread.slice(0, end);
        this.#unread = this.#unread.slice(end);
        return seen;
      }
      const got = await asyncIO(
        this.#fd,
        { read: true },
        () => libc.read(this.#fd, this.#buffer, 4096),
      );
      const bytes = this.#buffer.subarray(0, got);
      this.#unread += this.#decoder.decode(bytes, { stream: true });
    }
  }

  /** Wait for the program to end: its exit code, or minus a signal's number. */
  async ended(): Promise<number> {
    await this.process.ended();
    return this.process.reap();
  }

  /**
   * Hang up: the program gets SIGHUP. One that waits to read may see the end of
   * its input (EIO) first, and end by that.
   */
  [Symbol.dispose](): void {
    if (this.#fd < 0) return;
    notifyClose(this.#fd);
    libc.close(this.#fd);
    this.#fd = -1;
    this.process[Symbol.dispose]();
  }
}

/** Start a program whose three streams are the terminal `tty`; its number. */
function spawnOn(
  tty: Uint8Array<ArrayBuffer>,
  argv: readonly string[],
  env: Record<string, string>,
): number {
  // Larger than either struct is anywhere.
  const attributes = new Uint8Array(1024);
  const actions = new Uint8Array(1024);
  libc.posix_spawnattr_init(attributes);
  const flags = POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGDEF;
  libc.posix_spawnattr_setflags(attributes, flags);
  // Deno ignores SIGPIPE, and what is ignored is inherited.
  const signals = new Uint8Array(128);
  libc.sigfillset(signals);
  libc.posix_spawnattr_setsigdefault(attributes, signals);
  libc.posix_spawn_file_actions_init(actions);
  libc.posix_spawn_file_actions_addopen(actions, 0, tty, O_RDWR, 0);
  libc.posix_spawn_file_actions_adddup2(actions, 0, 1);
  libc.posix_spawn_file_actions_adddup2(actions, 0, 2);
  const variables = Object.entries(env).map(([key, s]) => `${key}=${s}`);
  const pid = new Int32Array(1);
  const error = libc.posix_spawnp(
    pid,
    cString(argv[0]!),
    actions,
    attributes,
    stringArray(argv),
    stringArray(variables),
  );
  libc.posix_spawnattr_destroy(attributes);
  libc.posix_spawn_file_actions_destroy(actions);
  if (error !== 0) throw new SystemError(error, "posix_spawnp");
  return pid[0]!;
}

/**
 * A `char *const []`: addresses, NULL, and behind them the strings themselves.
 * In one buffer, since an address keeps nothing alive.
 */
function stringArray(texts: readonly string[]): Uint8Array<ArrayBuffer> {
  const strings = new TextEncoder().encode(texts.map((s) => `${s}\0`).join(""));
  const table = 8 * (texts.length + 1);
  const array = new Uint8Array(table + strings.length);
  const base = Deno.UnsafePointer.value(Deno.UnsafePointer.of(array));
  array.set(strings, table);
  const pointers = new BigUint64Array(array.buffer, 0, texts.length);
  let at = table;
  for (let i = 0; i < texts.length; i++) {
    pointers[i] = base + BigInt(at);
    at = array.indexOf(0, at) + 1;
  }
  return array;
}
