/**
 * inotify over a whole tree: what happened to which file, as the kernel says it.
 *
 * `Deno.watchFs` tells that a file was modified, at every write. The kernel also
 * knows when its writer has closed it, and where a renamed file came from.
 *
 * Trap: inotify watches folders, not trees. A new folder is watched only after
 * it was reported, so what was put in it before then has to be looked for.
 */

import { notifyClose, readiness, systemCall, tryIO } from "../../mod.ts";
import { cString } from "./c.ts";

const libc = Deno.dlopen("libc.so.6", {
  inotify_init1: { parameters: ["i32"], result: "i32" },
  inotify_add_watch: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  read: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  close: { parameters: ["i32"], result: "i32" },
}).symbols;

const IN_NONBLOCK_CLOEXEC = 0o2004000;
const IN_ISDIR = 0x40000000;
const IN_Q_OVERFLOW = 0x4000;
const IN_ONLYDIR = 0x01000000;

const KINDS = {
  "written": 0x08, // IN_CLOSE_WRITE
  "moved away": 0x40, // IN_MOVED_FROM
  "moved here": 0x80, // IN_MOVED_TO
  "created": 0x100, // IN_CREATE
  "removed": 0x200, // IN_DELETE
} as const;

const MASK = Object.values(KINDS).reduce((mask, bit) => mask | bit, IN_ONLYDIR);

/** Something happened to a file or folder. */
export interface TreeEvent {
  readonly kind: keyof typeof KINDS;
  readonly path: string;
  /** The same for both halves of a rename; otherwise 0. */
  readonly cookie: number;
}

/** A folder and everything below it. */
export class Tree implements Disposable {
  readonly #folders = new Map<number, string>();
  #fd = systemCall(
    () => libc.inotify_init1(IN_NONBLOCK_CLOEXEC),
    "inotify_init1",
  );

  /** Watch from now on. */
  constructor(root: string) {
    try {
      for (const _ of this.#watch(root));
    } catch (error) {
      libc.close(this.#fd);
      throw error;
    }
  }

  /** The descriptor; -1 once closed. */
  fileno(): number {
    return this.#fd;
  }

  /** What happens, until the tree is disposed of. */
  async *events(): AsyncGenerator<TreeEvent, void> {
    const buffer = new DataView(new ArrayBuffer(65_536));
    const size = buffer.byteLength;
    for await (const _ of readiness(this, { read: true })) {
      const got = tryIO(() => libc.read(this.#fd, buffer, size), "read");
      for (let at = 0; at < (got ?? 0);) {
        // struct inotify_event { int wd; uint32_t mask, cookie, len; char name[]; }
        const length = buffer.getUint32(at + 12, true);
        const name = new Uint8Array(buffer.buffer, at + 16, length);
        const text = new TextDecoder().decode(name).replace(/\0+$/, "");
        yield* this.#tell(
          buffer.getInt32(at, true),
          buffer.getUint32(at + 4, true),
          buffer.getUint32(at + 8, true),
          text,
        );
        at += 16 + length;
      }
    }
  }

  [Symbol.dispose](): void {
    if (this.#fd < 0) return;
    notifyClose(this.#fd);
    libc.close(this.#fd);
    this.#fd = -1;
  }

  *#tell(
    wd: number,
    mask: number,
    cookie: number,
    name: string,
  ): Generator<TreeEvent, void> {
    if ((mask & IN_Q_OVERFLOW) !== 0) throw new Error("Events were lost");
    const path = `${this.#folders.get(wd)}/${name}`;
    for (const kind of Object.keys(KINDS) as (keyof typeof KINDS)[]) {
      if ((mask & KINDS[kind]) !== 0) yield { kind, path, cookie };
    }
    const appeared = KINDS.created | KINDS["moved here"];
    if ((mask & IN_ISDIR) !== 0 && (mask & appeared) !== 0) {
      yield* this.#watch(path);
    }
  }

  /** Watch a folder and those below; tells what is in them already. */
  *#watch(folder: string): Generator<TreeEvent, void> {
    let entries: Deno.DirEntry[];
    try {
      const wd = systemCall(
        () => libc.inotify_add_watch(this.#fd, cString(folder), MASK),
        "inotify_add_watch",
      );
      this.#folders.set(wd, folder);
      entries = [...Deno.readDirSync(folder)];
    } catch (error) {
      // Gone again: its removal is on its way.
      if (this.#folders.size > 0) return;
      throw error;
    }
    for (const { name, isDirectory } of entries) {
      const path = `${folder}/${name}`;
      yield { kind: "created", path, cookie: 0 };
      if (isDirectory) yield* this.#watch(path);
    }
  }
}
