/** What the kernel refused, in words. */

import { assertEquals, assertInstanceOf, assertThrows } from "@std/assert";
import { check, errnoName, SystemError } from "../../ffi/errors.ts";
import { ERRNO } from "../../ffi/constants.ts";
import { libc } from "../../ffi/libc.ts";

libc();

Deno.test("SystemError says action, code and system call", () => {
  const error = new SystemError(ERRNO.EBADF, "epoll_ctl", "Cannot watch fd 7");
  assertInstanceOf(error, Error);
  assertEquals(
    [error.name, error.code, error.errno, error.syscall],
    ["SystemError", "EBADF", ERRNO.EBADF, "epoll_ctl"],
  );
  assertEquals(error.message, "Cannot watch fd 7: EBADF (epoll_ctl)");
  assertEquals(
    new SystemError(ERRNO.EPERM, "read").message,
    "Cannot read: EPERM (read)",
  );
});

Deno.test("errnoName() names what it knows and numbers the rest", () => {
  for (const [name, value] of Object.entries(ERRNO)) {
    assertEquals(errnoName(value), name);
  }
  assertEquals(errnoName(4000), "errno 4000");
});

Deno.test("check() passes a result on and throws errno for a negative one", () => {
  assertEquals(check(5, "read"), 5);
  assertEquals(check(0, "read"), 0);
  const error = assertThrows(
    () => check(libc().close(-1), "close", "Cannot close it"),
    SystemError,
    "Cannot close it: EBADF (close)",
  );
  assertEquals(error.errno, ERRNO.EBADF);
});
