/**
 * Handing 1,000 items from one greenthread to another: through a `Queue` that
 * holds one, that holds any number, and through a `LightQueue`, beside the
 * same through a `TransformStream`.
 */

import { LightQueue, Queue, sleep, spawn } from "../mod.ts";
import { hubRows, useRow } from "./tools/rows.ts";

const ITEMS = 1000;
const group = "queue: hand over 1,000";

Deno.bench({
  name: "TransformStream",
  group,
  baseline: true,
  async fn() {
    const { readable, writable } = new TransformStream<number, number>();
    const writer = writable.getWriter();
    const reader = readable.getReader();
    const produce = (async () => {
      for (let i = 0; i < ITEMS; i++) await writer.write(i);
    })();
    for (let i = 0; i < ITEMS; i++) await reader.read();
    await produce;
  },
});

const queues: Readonly<Record<string, () => LightQueue<number>>> = {
  "Queue(1)": () => new Queue<number>(1),
  "Queue": () => new Queue<number>(),
  "LightQueue": () => new LightQueue<number>(),
};

for (const hub of hubRows()) {
  for (const [name, make] of Object.entries(queues)) {
    Deno.bench({
      name: `${hub}, ${name}`,
      group,
      async fn(b) {
        useRow(hub);
        await sleep(0);
        const queue = make();
        b.start();
        const producer = spawn(async () => {
          for (let i = 0; i < ITEMS; i++) await queue.put(i);
        });
        const consumer = spawn(async () => {
          for (let i = 0; i < ITEMS; i++) await queue.get();
        });
        await producer.wait();
        await consumer.wait();
        b.end();
      },
    });
  }
}
