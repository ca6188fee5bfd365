/** An echo server on green sockets. Prints its port. */

import { listen, serve, type TcpConn } from "../../green/net.ts";

async function echo(conn: TcpConn): Promise<void> {
  let p: Uint8Array | null = null;
  for (;;) {
    p ??= new Uint8Array(1024);
    const n = await conn.read(p);
    if (n === null) return;
    await conn.write(n === p.length ? p : p.subarray(0, n));
  }
}

const listener = listen({ hostname: "127.0.0.1", port: 0 });
console.log(listener.addr.port);
await serve(listener, echo, { concurrency: 100_000, onError() {} });
