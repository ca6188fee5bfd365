/**
 * Calls of green sockets that are begun now and awaited later, by a greenthread
 * that is killed in between, or before: nobody's unhandled rejection.
 */

import {
  assertEquals,
  assertInstanceOf,
  assertStrictEquals,
} from "@std/assert";
import {
  getCurrent,
  getHub,
  HubError,
  IOClosed,
  kill,
  sleep,
  spawn,
  SystemError,
  Timeout,
} from "../../mod.ts";
import { connect, listen, listenDatagram, serve } from "../../green/net.ts";
import { killedBefore } from "../helpers/begun.ts";
import { failure } from "../../hubs/conformance/rig.ts";
import { bytes, settled, tcpPair, temporaryPath, test } from "./rig.ts";

getHub();

const LOCAL = { hostname: "127.0.0.1", port: 0 } as const;
const NOBODY = { hostname: "no-such-host.invalid", port: 1 } as const;

const macrotask = (): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, 0));

/** A Unix listener whose backlog is full: whoever connects waits. */
async function fullListener(): Promise<[path: string, all: DisposableStack]> {
  const all = new DisposableStack();
  const path = temporaryPath();
  all.use(listen({ transport: "unix", path, backlog: 1 }));
  for (;;) {
    try {
      all.use(await connect({ transport: "unix", path, timeout: 5 }));
    } catch (error) {
      assertInstanceOf(error, Timeout);
      return [path, all];
    }
  }
}

/** Run `call` in a greenthread that awaits it only after it was killed. */
async function killedInBetween(call: () => Promise<unknown>): Promise<void> {
  const boom = new Error("boom");
  const gt = spawn(async () => {
    const begun = call();
    const killed = await failure(sleep(60_000));
    // A turn of Deno's loop: by now the rejection would have ended the process.
    await macrotask();
    return [killed, await failure(begun)];
  });
  for (let i = 0; i < 4; i++) await sleep();
  await kill(gt, boom);
  for (const error of await gt.wait()) assertStrictEquals(error, boom);
}

for (const [how, killed] of Object.entries({ killedInBetween, killedBefore })) {
  const title = how === "killedBefore"
    ? "that meets a kill from before is no unhandled rejection"
    : "begun and awaited after a kill is no unhandled rejection";

  test(`connect() ${title}`, async () => {
    const [path, all] = await fullListener();
    using _all = all;
    await killed(() => connect({ transport: "unix", path }));
  });

  test(`serve() ${title}`, async () => {
    using listener = listen(LOCAL);
    await killed(() => serve(listener, () => {}));
  });

  test(`next() of a listener's iterator ${title}`, async () => {
    using listener = listen(LOCAL);
    await killed(() => listener[Symbol.asyncIterator]().next());
  });

  test(`accept() ${title}`, async () => {
    using listener = listen(LOCAL);
    await killed(() => listener.accept());
  });

  test(`read() ${title}`, async () => {
    const [a, b] = await tcpPair();
    await killed(() => a.read(new Uint8Array(1)));
    await killed(() => a.readChunk());
    a.close();
    b.close();
  });

  test(`write() and closeWrite() that wait ${title}`, async () => {
    const [a, b] = await tcpPair();
    await killed(() => a.write(new Uint8Array(20_000_000)));
    const writing = settled(a.write(new Uint8Array(20_000_000)));
    await killed(() => a.write(bytes("x")));
    await killed(() => a.closeWrite());
    a.close();
    assertInstanceOf(await writing, IOClosed);
    b.close();
  });

  test(`receive() ${title}`, async () => {
    using socket = listenDatagram({ transport: "udp", ...LOCAL });
    await killed(() => socket.receive());
  });

  test(`next() of a datagram socket's iterator ${title}`, async () => {
    using socket = listenDatagram({ transport: "udp", ...LOCAL });
    await killed(() => socket[Symbol.asyncIterator]().next());
  });

  test(`send() to a full Unix socket ${title}`, async () => {
    const path = temporaryPath();
    using socket = listenDatagram({ transport: "unixpacket" });
    using full = listenDatagram({ transport: "unixpacket", path });
    socket.writeTimeout = 5;
    let sent: unknown;
    while (!(sent instanceof Timeout)) {
      sent = await socket.send(bytes("x"), full.addr).catch((error) => error);
    }
    socket.writeTimeout = null;
    await killed(() => socket.send(bytes("x"), full.addr));
  });
}

test("connect() begins no look-up if it meets a kill from before", async () => {
  await killedBefore(() => connect(NOBODY));
});

test("send() begins no look-up if it meets a kill from before", async () => {
  using socket = listenDatagram({ transport: "udp", ...LOCAL });
  const addr = { transport: "udp", ...NOBODY } as const;
  await killedBefore(() => socket.send(bytes("x"), addr));
});

test("send() begins no look-up if called from MAINLOOP", async () => {
  using socket = listenDatagram({ transport: "udp", ...LOCAL });
  const addr = { transport: "udp", ...NOBODY } as const;
  const refused = Promise.withResolvers<unknown>();
  getHub().scheduleCallGlobal(0, () => {
    refused.resolve(failure(socket.send(bytes("x"), addr)));
  });
  assertInstanceOf(await refused.promise, HubError);
});

test("a connect() that fails by itself and is never awaited is an unhandled rejection", async () => {
  let port: number;
  {
    using listener = listen(LOCAL);
    port = listener.addr.port;
  }
  const seen = Promise.withResolvers<unknown>();
  const note = (event: PromiseRejectionEvent): void => {
    event.preventDefault();
    seen.resolve(event.reason);
  };
  globalThis.addEventListener("unhandledrejection", note);
  void connect({ port });
  const reason = await seen.promise;
  globalThis.removeEventListener("unhandledrejection", note);
  assertInstanceOf(reason, SystemError);
  assertEquals(reason.code, "ECONNREFUSED");
});

test("connect() that waits for room on a clock that throws leaves nothing behind", async () => {
  const [path, all] = await fullListener();
  using _all = all;
  const hub = getHub();
  const { clock } = hub;
  const gt = spawn(async () => {
    hub.clock = () => {
      throw new Error("no time");
    };
    const error = await settled(connect({ transport: "unix", path }));
    hub.clock = clock;
    return [(error as Error).message, getCurrent().waiting];
  });
  assertEquals(await gt.wait(), ["no time", false]);
});
