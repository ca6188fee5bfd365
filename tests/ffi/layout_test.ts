/** The C structures, as a table and as the kernel sees them. */

import { assertEquals } from "@std/assert";
import {
  EPOLL_EVENT,
  epollEventLayout,
  POLLFD_SIZE,
  Timespec,
} from "../../ffi/layout.ts";
import { libc } from "../../ffi/libc.ts";

libc();

/** Seconds and nanoseconds of 16 bytes. */
function parts(bytes: Uint8Array<ArrayBuffer>): [number, number] {
  const view = new DataView(bytes.buffer);
  return [
    Number(view.getBigInt64(0, true)),
    Number(view.getBigInt64(8, true)),
  ];
}

Deno.test("EPOLL_EVENT is packed on x86-64 and aligned on aarch64", () => {
  assertEquals(EPOLL_EVENT, {
    x86_64: { size: 12, data: 4 },
    aarch64: { size: 16, data: 8 },
  });
  assertEquals(epollEventLayout("x86_64"), { size: 12, data: 4 });
  assertEquals(epollEventLayout("aarch64"), { size: 16, data: 8 });
});

Deno.test("epollEventLayout() aligns for an architecture it does not know", () => {
  assertEquals(epollEventLayout("riscv64"), { size: 16, data: 8 });
  assertEquals(epollEventLayout(), EPOLL_EVENT[Deno.build.arch]);
});

Deno.test({
  name: "epollEventLayout() is the kernel's: data comes back as it went in",
  ignore: Deno.build.os !== "linux",
  fn() {
    const c = libc();
    const { size, data } = epollEventLayout();
    const epfd = c.epoll_create1(0);
    const fds = [c.eventfd(1, 0), c.eventfd(1, 0)];
    for (const fd of fds) {
      const event = new Uint8Array(size);
      const view = new DataView(event.buffer);
      view.setUint32(0, 1, true);
      view.setInt32(data, fd, true);
      view.setInt32(data + 4, -fd, true);
      assertEquals(c.epoll_ctl(epfd, 1, fd, event), 0);
    }
    const events = new Uint8Array(size * 4);
    assertEquals(c.epoll_wait(epfd, events, 4, 0), 2);
    const view = new DataView(events.buffer);
    const seen = [0, 1].map((i) => [
      view.getUint32(i * size, true),
      view.getInt32(i * size + data, true),
      view.getInt32(i * size + data + 4, true),
    ]);
    assertEquals(
      seen.sort((a, b) => a[1]! - b[1]!),
      fds.map((fd) => [1, fd, -fd]),
    );
    [epfd, ...fds].forEach((fd) => c.close(fd));
  },
});

Deno.test("POLLFD_SIZE is the kernel's: two entries stand side by side", () => {
  const c = libc();
  const pair = new Int32Array(2);
  c.pipe(pair);
  const bytes = new Uint8Array(2 * POLLFD_SIZE);
  const view = new DataView(bytes.buffer);
  pair.forEach((fd, i) => {
    view.setInt32(i * POLLFD_SIZE, fd, true);
    view.setInt16(i * POLLFD_SIZE + 4, 5, true);
  });
  assertEquals(c.poll(bytes, 2, 0), 1);
  assertEquals(
    [view.getInt16(6, true), view.getInt16(POLLFD_SIZE + 6, true)],
    [0, 4],
  );
  pair.forEach((fd) => c.close(fd));
});

Deno.test("Timespec.set() rounds up and carries", () => {
  const timespec = new Timespec();
  const cases: [number, number, number][] = [
    [0, 0, 0],
    [-5, 0, 0],
    [1, 0, 1_000_000],
    [1.5, 0, 1_500_000],
    [0.000_000_1, 0, 1],
    [0.000_001, 0, 1],
    [0.000_001_1, 0, 2],
    [999.999_999_9, 1, 0],
    [1000, 1, 0],
    [1999.999_999_9, 2, 0],
    [86_400_000, 86_400, 0],
    [(2 ** 32 + 7) * 1000, 2 ** 32 + 7, 0],
  ];
  for (const [ms, seconds, nanos] of cases) {
    assertEquals(parts(timespec.set(ms)), [seconds, nanos], `${ms} ms`);
  }
  assertEquals(timespec.bytes, timespec.set(1));
});

Deno.test("Timespec.set() is never shorter than what was asked", () => {
  const timespec = new Timespec();
  for (let i = 0; i < 2000; i++) {
    const ms = (i * 7919.123_456_789) % 5000;
    const [seconds, nanos] = parts(timespec.set(ms));
    const asked = BigInt(Math.ceil(ms * 1e6));
    const given = BigInt(seconds) * 1_000_000_000n + BigInt(nanos);
    // Not shorter, and not longer by more than a few nanoseconds.
    assertEquals(given >= asked - 1n && given <= asked + 2n, true, `${ms}`);
    assertEquals(nanos >= 0 && nanos < 1e9, true);
  }
});
