/** A file tree that changes under its watcher. */

import { assertEquals, assertThrows } from "@std/assert";
import { sleep, spawn, SystemError } from "../../mod.ts";
import { assertNoFdLeak } from "../helpers/fds.ts";
import { testWith } from "../helpers/need.ts";
import { assertIdle, load } from "./support.ts";

const recipe = await load(import("./inotify.ts"));
const NEEDS = ["Linux", recipe !== null] as const;
const { Tree } = recipe ?? {} as never;

testWith(
  NEEDS,
  "Tree tells what happens to a file tree, new folders too",
  async () => {
    const root = await Deno.makeTempDir({ prefix: "greenhub-" });
    await assertNoFdLeak(async () => {
      using tree = new Tree(root);
      const early = Promise.withResolvers<void>();
      const seen: string[] = [];
      const cookies = new Set<number>();
      const watcher = spawn(async () => {
        for await (const { kind, path, cookie } of tree.events()) {
          seen.push(`${kind} ${path.slice(root.length)}`);
          if (path.endsWith("/early")) early.resolve();
          if (cookie !== 0) cookies.add(cookie);
          if (path.endsWith("/last")) tree[Symbol.dispose]();
        }
        return "ended";
      });
      await sleep();
      // The file is there before its folder can be watched.
      Deno.mkdirSync(`${root}/a/b`, { recursive: true });
      Deno.writeTextFileSync(`${root}/a/b/early`, "");
      await early.promise;
      seen.length = 0;
      Deno.writeTextFileSync(`${root}/a/b/file`, "text");
      Deno.renameSync(`${root}/a/b/file`, `${root}/moved`);
      Deno.removeSync(`${root}/moved`);
      Deno.mkdirSync(`${root}/last`);
      assertEquals(await watcher.wait(), "ended");
      assertEquals(seen.filter((text) => !text.endsWith("/early")), [
        "created /a/b/file",
        "written /a/b/file",
        "moved away /a/b/file",
        "moved here /moved",
        "removed /moved",
        "created /last",
      ]);
      assertEquals(cookies.size, 1);
    });
    await Deno.remove(root, { recursive: true });
    assertIdle();
  },
);

testWith(NEEDS, "Tree says that there is no such folder", async () => {
  await assertNoFdLeak(() => {
    const error = assertThrows(() => new Tree("/no/such/folder"), SystemError);
    assertEquals(error.code, "ENOENT");
  });
});
