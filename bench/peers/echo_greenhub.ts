/** An echo server on green sockets. Prints its port. */

import { listen, serve, type TcpConn } from "../../green/net.ts";

async function echo(conn: TcpConn): Promise<void> {
  const p = new Uint8Array(256);
  // Messages are mostly of one size: a view is as dear as a system call.
  let answer = p;
  for (let n; (n = await conn.read(p)) !== null;) {
    if (n !== answer.length) answer = p.subarray(0, n);
    await conn.write(answer);
  }
}

const listener = listen({ hostname: "127.0.0.1", port: 0 });
console.log(listener.addr.port);
await serve(listener, echo, { concurrency: 100_000, onError() {} });
