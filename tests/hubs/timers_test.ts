/** The heap behind the timers, against a sorted list. */

import { assertEquals } from "@std/assert";
import { Timer, TimerHeap, type TimerHome } from "../../hubs/timers.ts";
import { never } from "../../hubs/conformance/rig.ts";

/** A home that takes a timer out of a heap, as a hub does. */
function homeOf(heap: TimerHeap): TimerHome {
  return {
    removeTimer: (timer) => heap.remove(timer),
    deadlineAt: (index) => heap.deadlineAt(index),
  };
}

/** The same numbers every time. */
function makeRandom(seed: number): (below: number) => number {
  return (below) => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
    return (seed >>> 8) % below;
  };
}

Deno.test("TimerHeap is empty at first", () => {
  const heap = new TimerHeap();
  assertEquals([heap.size, heap.next], [0, Infinity]);
  assertEquals(heap.takeDue(Infinity), null);
  assertEquals(heap.list(), []);
});

Deno.test("TimerHeap gives equal deadlines in order of adding", () => {
  const heap = new TimerHeap();
  const timers = Array.from(
    { length: 100 },
    () => new Timer(homeOf(heap), never),
  );
  timers.forEach((timer) => heap.add(timer, 5));
  assertEquals(heap.list(), timers);
  for (const timer of timers) assertEquals(heap.takeDue(5) === timer, true);
});

Deno.test("TimerHeap.takeDue() takes what is due by then and no more", () => {
  const heap = new TimerHeap();
  const [three, one, two] = [3, 1, 2].map((at) => {
    const timer = new Timer(homeOf(heap), never);
    heap.add(timer, at);
    assertEquals(timer.deadline, at);
    return timer;
  });
  assertEquals(heap.takeDue(0.5), null);
  assertEquals(heap.takeDue(2) === one, true);
  assertEquals([one!.deadline, three!.deadline], [0, 3]);
  assertEquals(heap.takeDue(2) === two, true);
  assertEquals(heap.takeDue(2), null);
  assertEquals([heap.size, heap.next], [1, 3]);
});

Deno.test("TimerHeap agrees with a sorted list through thick and thin", () => {
  for (let seed = 1; seed <= 20; seed++) {
    const random = makeRandom(seed);
    const heap = new TimerHeap();
    const live: Timer[] = [];
    const order = new Map<Timer, [deadline: number, sequence: number]>();
    for (let i = 0; i < 2000; i++) {
      const what = random(10);
      if (what < 5 || live.length === 0) {
        const timer = new Timer(homeOf(heap), never);
        const deadline = random(50);
        heap.add(timer, deadline);
        order.set(timer, [deadline, i]);
        live.push(timer);
      } else if (what < 8) {
        const [timer] = live.splice(random(live.length), 1);
        timer!.cancel();
        timer!.cancel();
      } else {
        const now = random(50);
        for (let due; (due = heap.takeDue(now)) !== null;) {
          live.splice(live.indexOf(due), 1);
        }
        assertEquals(live.some((timer) => timer.deadline <= now), false);
      }
      assertEquals(heap.size, live.length);
    }
    const sorted = live.toSorted((a, b) => {
      const [first, older] = order.get(a)!;
      const [second, younger] = order.get(b)!;
      return first - second || older - younger;
    });
    assertEquals(heap.list().every((one, i) => one === sorted[i]), true);
    for (const timer of sorted) {
      assertEquals(timer.deadline, order.get(timer)![0]);
      assertEquals(heap.takeDue(Infinity) === timer, true);
    }
  }
});

Deno.test("Timer lets go of its callback and arguments once called", () => {
  const heap = new TimerHeap();
  const calls: unknown[] = [];
  const fired = new Timer(homeOf(heap), (x) => calls.push(x), [1]);
  assertEquals([fired.pending, fired.called], [true, false]);
  fired.fire();
  fired.fire();
  assertEquals(calls, [1]);
  assertEquals([fired.pending, fired.called], [false, true]);
  assertEquals(String(fired), "Timer(0.000, (called))");
  const cancelled = new Timer(homeOf(heap), never);
  cancelled.cancel();
  assertEquals(cancelled.fire(), undefined);
  assertEquals(cancelled.what, "(called)");
});
