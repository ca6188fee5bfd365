/** Greenthreads that are killed while a call of theirs is not awaited yet. */

import { assertStrictEquals } from "@std/assert";
import { kill, sleep, spawn } from "../../mod.ts";
import { failure } from "../../hubs/conformance/rig.ts";
import { macrotask } from "../../hubs/deno_loop.ts";

/** Run `call` in a greenthread that was killed during an ordinary await. */
export async function killedBefore(
  call: () => Promise<unknown>,
): Promise<void> {
  const plain = Promise.withResolvers<void>();
  const boom = new Error("boom");
  const gt = spawn(async () => {
    await plain.promise;
    const begun = call();
    await macrotask();
    return await failure(begun);
  });
  await sleep();
  await kill(gt, boom);
  plain.resolve();
  assertStrictEquals(await gt.wait(), boom);
}
