/** The recipe in `curl.ts` against `Deno.serve` in this same process. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { GreenletExit, sleep, spawn } from "../../mod.ts";
import { assertNoFdLeak } from "../helpers/fds.ts";
import { testWith } from "../helpers/need.ts";
import { assertIdle, load } from "./support.ts";

const recipe = await load(import("./curl.ts"));
const NEEDS = ["libcurl", recipe !== null] as const;
const { Curl, CurlError } = recipe ?? {} as never;

const CURLE_COULDNT_CONNECT = 7;
const CURLE_OPERATION_TIMEDOUT = 28;

/** The bytes of the n-th file: no two alike, from nothing to 400 KB. */
function file(n: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(n * 4_001);
  let x = n + 1;
  for (let i = 0; i < bytes.length; i++) {
    x = (x * 1_103_515_245 + 12_345) >>> 0;
    bytes[i] = x >>> 16;
  }
  return bytes;
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

/** Serves `/files/<n>`, and `/stuck`, of which only the header ever comes. */
class Server implements AsyncDisposable {
  /** A request for `/stuck` came, and its client hung up. */
  readonly came = Promise.withResolvers<void>();
  readonly left = Promise.withResolvers<void>();
  readonly #server = Deno.serve({
    hostname: "127.0.0.1",
    port: 0,
    onListen() {},
  }, ({ url }) => {
    const path = new URL(url).pathname;
    if (path !== "/stuck") return new Response(file(Number(path.slice(7))));
    this.came.resolve();
    return new Response(new ReadableStream({ cancel: this.left.resolve }));
  });

  url(path: string): string {
    return `http://127.0.0.1:${this.#server.addr.port}${path}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.shutdown();
  }
}

testWith(
  NEEDS,
  "libcurl makes 100 transfers at once, byte by byte",
  async () => {
    await warmUp();
    await assertNoFdLeak(async () => {
      await using server = new Server();
      {
        using curl = new Curl();
        const aborted = new AbortController();
        const stuck = spawn(() =>
          curl.get(server.url("/stuck"), { signal: aborted.signal })
        );
        const ends = [
          assertRejects(() => stuck.wait(), Error, "no longer wanted"),
          assertRejects(
            () => curl.get(server.url("/stuck"), { timeout: 50 }),
            CurlError,
            `${CURLE_OPERATION_TIMEDOUT}`,
          ),
        ];
        const files = Array.from(
          { length: 100 },
          (_, n) => spawn(() => curl.get(server.url(`/files/${n}`))),
        );
        await server.came.promise;
        aborted.abort(new Error("no longer wanted"));
        for (const [n, transfer] of files.entries()) {
          const { status, body } = await transfer.wait();
          assertEquals(status, 200);
          assert(sameBytes(body, file(n)), `file ${n}`);
        }
        await Promise.all(ends);
        await server.left.promise;
      }
      assertIdle();
    });
  },
);

testWith(NEEDS, "libcurl uses a connection again", async () => {
  await using server = new Server();
  using curl = new Curl();
  for (let n = 0; n < 5; n++) {
    const { body } = await curl.get(server.url(`/files/${n}`));
    assertEquals(body, file(n));
  }
});

testWith(NEEDS, "libcurl says why a transfer failed", async () => {
  {
    using curl = new Curl();
    const error = await assertRejects(
      () => curl.get("http://127.0.0.1:1/"),
      CurlError,
    );
    assertEquals(error.code, CURLE_COULDNT_CONNECT);
  }
  assertIdle();
});

testWith(
  NEEDS,
  "libcurl drops the transfer of a killed greenthread",
  async () => {
    await warmUp();
    await assertNoFdLeak(async () => {
      await using server = new Server();
      {
        using curl = new Curl();
        const stuck = spawn(() => curl.get(server.url("/stuck")));
        const end = assertRejects(() => stuck.wait(), GreenletExit);
        await server.came.promise;
        await stuck.kill();
        await end;
        await server.left.promise;
        await sleep();
      }
      assertIdle();
    });
  },
);

/** Deno's server and libcurl keep a few descriptors once they were used. */
async function warmUp(): Promise<void> {
  await using server = new Server();
  using curl = new Curl();
  await curl.get(server.url("/files/1"));
}
