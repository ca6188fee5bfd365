/**
 * Errors of accept that are nobody's fault, injected by strace: the server
 * goes on, and every connection is served. Needs strace, and leave to trace.
 */

import { assert, assertEquals } from "@std/assert";
import { testWith } from "../helpers/need.ts";
import { projectUrl } from "../helpers/spawn.ts";
import { canTrace, countInjected, traceModule } from "../helpers/strace.ts";

/** Twenty connections, one after the other, each answered with its byte. */
const PROGRAM = `
  import { spawn } from "${projectUrl("mod.ts")}";
  import { connect, listen, serve } from "${projectUrl("green/net.ts")}";
  const listener = listen({ hostname: "127.0.0.1", port: 0 });
  const server = spawn(serve, listener, async (conn) => {
    const p = new Uint8Array(1);
    await conn.read(p);
    await conn.write(p);
  });
  let answered = 0;
  for (let i = 0; i < 20; i++) {
    using conn = await connect({ port: listener.addr.port });
    await conn.write(new Uint8Array([i]));
    const p = new Uint8Array(1);
    if (await conn.read(p) === 1 && p[0] === i) answered++;
  }
  listener.close();
  await server.wait();
  console.log(answered);
`;

testWith(
  ["strace", canTrace],
  "accept() goes on to the next connection after ECONNABORTED",
  async () => {
    const result = await traceModule(
      `
      import { connect, listen } from "${projectUrl("green/net.ts")}";
      using listener = listen({ hostname: "127.0.0.1", port: 0 });
      const { port } = listener.addr;
      for (let i = 0; i < 20; i++) {
        using _client = await connect({ port });
        using _conn = await listener.accept();
      }
      console.log("all");
      `,
      [
        "-e",
        "trace=accept4",
        "-e",
        "inject=accept4:error=ECONNABORTED:when=2+3",
      ],
      ["--allow-all"],
    );
    assertEquals([result.stdout, result.stderr], ["all\n", ""]);
    assert(countInjected(result) >= 5);
  },
);

for (const error of ["ECONNABORTED", "ENFILE", "EMFILE"]) {
  testWith(
    ["strace", canTrace],
    `serve() goes on after ${error} from accept`,
    async () => {
      const fault = `inject=accept4:error=${error}:when=2+3`;
      const result = await traceModule(
        PROGRAM,
        ["-e", "trace=accept4", "-e", fault],
        ["--allow-all"],
      );
      assertEquals([result.stdout, result.stderr], ["20\n", ""]);
      const injected = countInjected(result);
      assert(injected >= 5, `${injected} injected`);
    },
  );
}
