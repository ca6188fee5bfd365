/** An echo server on Deno.listen. Prints its port. */

async function echo(conn: Deno.Conn): Promise<void> {
  const p = new Uint8Array(256);
  let answer = p;
  try {
    for (let n; (n = await conn.read(p)) !== null;) {
      if (n !== answer.length) answer = p.subarray(0, n);
      await conn.write(answer);
    }
  } catch {
    // The load generator just goes away.
  } finally {
    conn.close();
  }
}

const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
console.log(listener.addr.port);
for await (const conn of listener) {
  conn.setNoDelay();
  void echo(conn);
}
