/** What a Worker that is terminated leaves of its sockets: nothing. */

import { assert, assertEquals } from "@std/assert";
import { getHub } from "../../mod.ts";
import { listen, listenDatagram, type Listener } from "../../green/net.ts";
import { projectUrl } from "../helpers/spawn.ts";

getHub();

/** A Worker's thread ends some time after; ms. */
const LIMIT = 10_000;

/** Run a Worker until its message has come, and `then`; then terminate it. */
async function terminated<T>(
  text: string,
  then: (message: T) => void = () => {},
): Promise<T> {
  const source = `
    import { listen, listenDatagram } from "${projectUrl("green/net.ts")}";
    const hostname = "127.0.0.1";
    ${text}
  `;
  const blob = new Blob([source], { type: "text/javascript" });
  const url = URL.createObjectURL(blob);
  const worker = new Worker(url, { type: "module" });
  try {
    const message = await new Promise<T>((resolve, reject) => {
      worker.onmessage = ({ data }) => resolve(data);
      worker.onerror = ({ message }) => reject(new Error(message));
    });
    then(message);
    return message;
  } finally {
    worker.terminate();
    URL.revokeObjectURL(url);
  }
}

/** Call `listen` until it succeeds. */
async function soon(listen: () => Disposable): Promise<void> {
  const end = performance.now() + LIMIT;
  for (;;) {
    try {
      listen()[Symbol.dispose]();
      return;
    } catch (error) {
      if (performance.now() > end) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

Deno.test("a listener of a Worker that is terminated is closed", async () => {
  const port = await terminated<number>(`
    const listener = listen({ hostname, port: 0 });
    listener.accept();
    postMessage(listener.addr.port);
  `);
  await soon(() => Deno.listen({ hostname: "127.0.0.1", port }));
});

Deno.test("a datagram socket of a Worker that is terminated is closed", async () => {
  const addr = await terminated<Deno.NetAddr & { transport: "udp" }>(`
    const socket = listenDatagram({ transport: "udp", hostname, port: 0 });
    socket.receive();
    postMessage(socket.addr);
  `);
  await soon(() => listenDatagram(addr));
});

Deno.test("what a Worker has closed before it is terminated is not closed again", async () => {
  const mine: Listener[] = [];
  const { port } = await terminated<{ fds: number[]; port: number }>(
    `
      const early = [
        listen({ hostname, port: 0 }),
        listenDatagram({ transport: "udp", hostname, port: 0 }),
      ];
      const last = listen({ hostname, port: 0 });
      const fds = early.map((socket) => socket.fileno());
      for (const socket of early) socket.close();
      postMessage({ fds, port: last.addr.port });
    `,
    ({ fds }) => {
      // Descriptors of these numbers.
      const missing = new Set(fds);
      for (let i = 0; i < 100 && missing.size > 0; i++) {
        const listener = listen({ hostname: "127.0.0.1", port: 0 });
        mine.push(listener);
        missing.delete(listener.fileno());
      }
      assertEquals(missing.size, 0);
    },
  );
  try {
    await soon(() => Deno.listen({ hostname: "127.0.0.1", port }));
    for (const { addr } of mine) {
      const { hostname, port } = addr as Deno.NetAddr;
      (await Deno.connect({ hostname, port })).close();
    }
    assert(mine.length > 0);
  } finally {
    for (const listener of mine) listener.close();
  }
});
