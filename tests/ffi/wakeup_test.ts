/** The descriptor that ends another thread's wait. */

import { assertEquals } from "@std/assert";
import { libc } from "../../ffi/libc.ts";
import { Wakeup } from "../../ffi/wakeup.ts";
import { assertNoFdLeak } from "../helpers/fds.ts";

libc();

/** Whether a descriptor polls readable. */
function readable(fd: number): boolean {
  const pollfd = new DataView(new ArrayBuffer(8));
  pollfd.setInt32(0, fd, true);
  pollfd.setInt16(4, 1, true);
  return libc().poll(new Uint8Array(pollfd.buffer), 1, 0) === 1;
}

Deno.test("Wakeup.wake() makes fd readable until clear()", () => {
  const wakeup = new Wakeup();
  assertEquals(readable(wakeup.fd), false);
  wakeup.wake();
  assertEquals(readable(wakeup.fd), true);
  assertEquals(readable(wakeup.fd), true);
  wakeup.clear();
  assertEquals(readable(wakeup.fd), false);
  wakeup.clear();
  wakeup.wake();
  assertEquals(readable(wakeup.fd), true);
  wakeup.close();
});

Deno.test("Wakeup.wake() many times is one write", () => {
  const wakeup = new Wakeup();
  for (let i = 0; i < 1000; i++) wakeup.wake();
  const bytes = new Uint8Array(64);
  const n = libc().read(wakeup.fd, bytes, bytes.length);
  // An eventfd gives its counter, a pipe what was written: one wake either way.
  assertEquals([n, bytes[0]], [8, 1]);
  assertEquals(readable(wakeup.fd), false);
  wakeup.close();
});

Deno.test("Wakeup.close() gives everything back, and twice is harmless", async () => {
  await assertNoFdLeak(() => {
    const wakeup = new Wakeup();
    wakeup.wake();
    wakeup.close();
    wakeup.close();
    wakeup.wake();
    wakeup.clear();
  });
});

Deno.test("Wakeup.wake() and clear() after close() leave alone who has the number now", () => {
  for (const woken of [false, true]) {
    const closed = new Wakeup();
    if (woken) closed.wake();
    closed.close();
    const next = new Wakeup();
    assertEquals(next.fd, closed.fd);
    if (woken) next.wake();
    closed.wake();
    closed.clear();
    assertEquals(readable(next.fd), woken);
    next.close();
  }
});

Deno.test("Wakeup.wake() ends a wait that another thread is in", async () => {
  const wakeup = new Wakeup();
  const pollfd = new DataView(new ArrayBuffer(8));
  pollfd.setInt32(0, wakeup.fd, true);
  pollfd.setInt16(4, 1, true);
  const parked = libc().poll_park(new Uint8Array(pollfd.buffer), 1, 20_000);
  wakeup.wake();
  assertEquals(await parked, 1);
  wakeup.close();
});
