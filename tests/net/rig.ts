/** What the tests of green sockets share: pairs, data, resets. */

import { libc } from "../../ffi/libc.ts";
import { setOptionBytes } from "../../ffi/socket.ts";
import { SO_LINGER, SOL_SOCKET } from "../../ffi/socket_constants.ts";
import { getHub, sleep } from "../../mod.ts";
import {
  connect,
  listen,
  type TcpConn,
  type UnixConn,
} from "../../green/net.ts";

/** Two ends of a TCP connection. */
export async function tcpPair(
  hostname = "127.0.0.1",
): Promise<[client: TcpConn, server: TcpConn]> {
  using listener = listen({ hostname, port: 0 });
  const client = await connect({ hostname, port: listener.addr.port });
  return [client, await listener.accept()];
}

/** Two ends of a Unix connection. */
export async function unixPair(): Promise<
  [client: UnixConn, server: UnixConn]
> {
  const path = temporaryPath();
  using listener = listen({ transport: "unix", path });
  const client = await connect({ transport: "unix", path });
  return [client, await listener.accept()];
}

/**
 * Register a test that ends when nobody waits any more: the other end of a
 * connection learns of its end a pass later.
 */
export function test(name: string, fn: () => void | Promise<void>): void {
  Deno.test(name, async () => {
    await fn();
    await quiet();
  });
}

/**
 * Wait until nothing is waited for. At least one pass: a hub that parks on a
 * thread may have been woken for good, and its call not have returned yet.
 */
export async function quiet(): Promise<void> {
  const hub = getHub();
  const busy = (): boolean =>
    hub.getReaders().length + hub.getWriters().length + hub.getTimersCount() >
      0;
  for (let i = 0; i === 0 || i < 500 && busy(); i++) await sleep(1);
  if (busy()) {
    const who = [...hub.getReaders(), ...hub.getWriters(), ...hub.getTimers()];
    throw new Error(`Somebody still waits: ${who.join("; ")}`);
  }
}

const paths: string[] = [];

/** A path for a Unix socket that nobody has; removed when the tests are over. */
export function temporaryPath(): string {
  const name = `greenhub-${Deno.pid}-${paths.length}-${
    Math.random().toString(36).slice(2)
  }.sock`;
  const path = `${Deno.env.get("TMPDIR") ?? "/tmp"}/${name}`;
  paths.push(path);
  return path;
}

addEventListener("unload", () => {
  for (const path of paths) {
    try {
      Deno.removeSync(path);
    } catch {
      // It was not used, or the test itself has removed it.
    }
  }
});

/** Close with a reset instead of an end of file. */
export function reset(conn: { fileno(): number; close(): void }): void {
  // struct linger: on, no time.
  const linger = new Uint8Array(new Int32Array([1, 0]).buffer);
  setOptionBytes(conn.fileno(), SOL_SOCKET, SO_LINGER, linger);
  conn.close();
}

/** An option of a socket that is an int, as the kernel has it. */
export function optionOf(
  socket: { fileno(): number },
  level: number,
  name: number,
): number {
  const value = new Int32Array(1);
  const size = new Uint32Array([4]);
  libc().getsockopt(socket.fileno(), level, name, value, size);
  return value[0]!;
}

/** How many passes of the hub begin until `promise` is settled. */
export async function passesUntil(promise: Promise<unknown>): Promise<number> {
  const { passes } = getHub().statistics();
  await settled(promise);
  return getHub().statistics().passes - passes;
}

/** Bytes as text. */
export function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

/** Text as bytes. */
export function bytes(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

/** Read until the end. */
export async function readAll(conn: {
  read(p: Uint8Array): Promise<number | null>;
}): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  const p = new Uint8Array(65_536);
  for (let n; (n = await conn.read(p)) !== null;) chunks.push(p.slice(0, n));
  return new Uint8Array(await new Blob(chunks).arrayBuffer());
}

/** Bytes that say where they belong. */
export function pattern(length: number, seed = 0): Uint8Array<ArrayBuffer> {
  const data = new Uint8Array(length);
  for (let i = 0; i < length; i++) data[i] = (i * 31 + (i >> 8) + seed) & 255;
  return data;
}

/** How a promise ended. */
export function settled<T>(promise: Promise<T>): Promise<T | Error> {
  return promise.catch((error) => error);
}
