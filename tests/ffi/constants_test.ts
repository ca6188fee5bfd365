/** Our constants against those that Node knows of this platform. */

import { assertEquals } from "@std/assert";
import { constants } from "node:os";
import { constants as fs } from "node:fs";
import * as ours from "../../ffi/constants.ts";

Deno.test("ERRNO agrees with the platform's", () => {
  const theirs = constants.errno as Record<string, number>;
  let compared = 0;
  for (const [name, value] of Object.entries(ours.ERRNO)) {
    if (theirs[name] === undefined) continue;
    assertEquals(value, theirs[name], name);
    compared++;
  }
  assertEquals(compared > 20, true);
});

Deno.test("the errors with names of their own are known on this platform", () => {
  const { EAGAIN, EBADF, EEXIST, EINTR, EINVAL, ENOENT, ENOSYS, EPERM } = ours;
  for (
    const value of [EAGAIN, EBADF, EEXIST, EINTR, EINVAL, ENOENT, ENOSYS, EPERM]
  ) assertEquals(value > 0, true);
});

Deno.test("O_NONBLOCK agrees with the platform's", () => {
  assertEquals(ours.O_NONBLOCK, fs.O_NONBLOCK);
});
