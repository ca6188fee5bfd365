/**
 * What the kernel is asked for, and what becomes of errors it rarely gives:
 * seen and injected by strace. Needs strace, and leave to trace.
 */

import { assert, assertEquals } from "@std/assert";
import { testWith } from "../helpers/need.ts";
import { projectUrl } from "../helpers/spawn.ts";
import {
  canTrace,
  countInjected,
  faults,
  traceModule,
} from "../helpers/strace.ts";
import { temporaryPath } from "./rig.ts";

const IMPORTS = `
  import { kill, sleep, spawn } from "${projectUrl("mod.ts")}";
  import { connect, listen, serve } from "${projectUrl("green/net.ts")}";
  const LOCAL = { hostname: "127.0.0.1", port: 0 };
`;

testWith(
  ["strace", canTrace],
  "listen() passes its backlog on, 1024 unless told",
  async () => {
    const { lines, stdout } = await traceModule(
      `${IMPORTS}
      const path = Deno.args[0];
      listen({ transport: "unix", path }).close();
      listen({ transport: "unix", path, backlog: 3 }).close();
      listen(LOCAL).close();
      listen({ ...LOCAL, backlog: 7 }).close();
      listen({ ...LOCAL, tcpBacklog: 0 }).close();
      listen({ ...LOCAL, tcpBacklog: 9 }).close();
      listen({ ...LOCAL, backlog: 8, tcpBacklog: 9 }).close();
      listen({ ...LOCAL, backlog: Infinity }).close();
      console.log("fine");`,
      ["-e", "trace=listen"],
      ["--allow-all"],
      [temporaryPath()],
    );
    assertEquals(stdout, "fine\n");
    const asked = lines.flatMap((line) =>
      /listen\(\d+, (\d+)\)/.exec(line)?.[1] ?? []
    );
    assertEquals(asked.map(Number), [1024, 3, 1024, 7, 0, 9, 8, 2 ** 31 - 1]);
  },
);

testWith(
  ["strace", canTrace],
  "accept() passes over a connection that was aborted",
  async () => {
    const result = await traceModule(
      `${IMPORTS}
      using listener = listen(LOCAL);
      using client = await connect({ port: listener.addr.port });
      using server = await listener.accept();
      console.log(server.remoteAddr.port === client.localAddr.port);`,
      faults("accept4:error=ECONNABORTED:when=1"),
      ["--allow-all"],
    );
    assertEquals([result.stdout, result.stderr], ["true\n", ""]);
    assertEquals(countInjected(result), 1);
  },
);

testWith(
  ["strace", canTrace],
  "read() rejects with ECONNRESET where the kernel says EPIPE",
  async () => {
    const result = await traceModule(
      `${IMPORTS}
      using listener = listen(LOCAL);
      using client = await connect({ port: listener.addr.port });
      using server = await listener.accept();
      for (let i = 0; i < 2; i++) {
        await server.read(new Uint8Array(1)).catch((e) => console.log(e.code));
        await client.closeWrite();
      }`,
      faults("recvfrom:error=EPIPE:when=1"),
      ["--allow-all"],
    );
    // The kernel tells once, and shows an end after it.
    assertEquals(result.stdout, "ECONNRESET\nECONNRESET\n", result.stderr);
    assertEquals(countInjected(result), 1);
  },
);

testWith(
  ["strace", canTrace],
  "serve() tries again and again for want of descriptors, ever more rarely",
  async () => {
    const result = await traceModule(
      `${IMPORTS}
      using listener = listen(LOCAL);
      const server = spawn(serve, listener, () => {});
      const { port } = listener.addr;
      using first = await connect({ port });
      await first.read(new Uint8Array(1));
      using second = await connect({ port });
      await sleep(300);
      console.log(server.dead);
      await kill(server);
      await server.wait().catch(() => {});`,
      faults("accept4:error=EMFILE:when=2+"),
      ["--allow-all"],
    );
    assertEquals([result.stdout, result.stderr], ["false\n", ""]);
    // 5 + 10 + 20 + 40 + 80 + 160 ms: the seventh or eighth is after that.
    const injected = countInjected(result);
    assert(injected >= 2 && injected < 10, `${injected} tries in 300 ms`);
  },
);
