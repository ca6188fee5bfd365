/** An eventfd, written to by another thread. */

import { assertEquals, assertRejects } from "@std/assert";
import { IOClosed, sleep, spawn } from "../../mod.ts";
import { testWith } from "../helpers/need.ts";
import { assertIdle, load } from "./support.ts";

const recipe = await load(import("./eventfd.ts"));
const NEEDS = ["Linux", recipe !== null] as const;
const { EventFd } = recipe ?? {} as never;

testWith(NEEDS, "EventFd wakes a greenthread from another thread", async () => {
  await using worker = new EventWorker();
  using event = new EventFd();
  const waiter = spawn(() => event.take());
  await sleep();
  worker.post(event.fileno(), 3n);
  assertEquals(await waiter.wait(), 3n);
  event.post(1n);
  event.post(2n);
  assertEquals(await event.take(), 3n);
  assertIdle();
});

testWith(
  NEEDS,
  "EventFd disposed of wakes its waiter with IOClosed",
  async () => {
    const event = new EventFd();
    const waiter = spawn(() => event.take());
    const end = assertRejects(() => waiter.wait(), IOClosed);
    await sleep();
    event[Symbol.dispose]();
    await end;
    assertIdle();
  },
);

/** Another thread, which does nothing but write to descriptors. */
class EventWorker implements AsyncDisposable {
  readonly #worker: Worker;

  constructor() {
    const text = `
      const libc = Deno.dlopen("libc.so.6", {
        eventfd_write: { parameters: ["i32", "u64"], result: "i32" },
      });
      onmessage = ({ data: [fd, count] }) => {
        libc.symbols.eventfd_write(fd, count);
      };`;
    const url = `data:application/javascript,${encodeURIComponent(text)}`;
    this.#worker = new Worker(url, { type: "module" });
  }

  post(fd: number, count: bigint): void {
    this.#worker.postMessage([fd, count]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#worker.terminate();
    await sleep();
  }
}
