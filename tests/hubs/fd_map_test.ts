/** A map by descriptor: near and far numbers alike. */

import { assertEquals } from "@std/assert";
import { FdMap } from "../../hubs/fd_map.ts";

Deno.test("FdMap does what a Map does, for numbers near and far", () => {
  const map = new FdMap<string>();
  const model = new Map<number, string>();
  const fds = [0, 3, 64, 65_535, 65_536, 1_000_000_000];
  // Every order of setting and deleting two of them.
  for (const a of fds) {
    for (const b of fds) {
      map.set(a, `${a}`);
      model.set(a, `${a}`);
      map.set(b, `b${b}`);
      model.set(b, `b${b}`);
      assertEquals(map.delete(a), model.delete(a));
      assertEquals(map.delete(a), model.delete(a));
      for (const fd of [...fds, 1, 70_000]) {
        assertEquals(map.get(fd), model.get(fd));
      }
      assertEquals(map.size, model.size);
      assertEquals(new Map(map.entries()), model);
    }
  }
  assertEquals(map.values().toSorted(), [...model.values()].toSorted());
  map.clear();
  assertEquals([map.size, map.values(), map.get(3)], [0, [], undefined]);
});

Deno.test("FdMap.forEach() may change the map", () => {
  const map = new FdMap<number>();
  for (const fd of [1, 3, 70_000, 80_000]) map.set(fd, fd);
  const seen: number[] = [];
  map.forEach((fd) => {
    seen.push(fd);
    map.delete(fd);
    map.delete(3);
    map.delete(80_000);
  });
  assertEquals([seen, map.size], [[1, 70_000], 0]);
});
