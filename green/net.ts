/**
 * Green sockets: TCP, UDP and Unix, of the shape of Deno's own and faster,
 * each with a `fileno()`.
 *
 * Code written for `Deno.Conn`, `Deno.Listener` and `Deno.DatagramConn` runs on
 * them unchanged. What differs: only `--allow-ffi` is needed; calls on a closed
 * socket reject with `IOClosed` and closing twice is harmless; there are
 * `readTimeout` and `writeTimeout`; and where a hub parks on a thread (poll and
 * selects), a wait keeps the process alive in spite of `unref()`.
 *
 * @example A server and a client
 * ```ts
 * import { connect, listen, serve } from "./net.ts";
 * import { spawn } from "../mod.ts";
 *
 * using listener = listen({ hostname: "127.0.0.1", port: 0 });
 * const server = spawn(() =>
 *   serve(listener, async (conn) => {
 *     await conn.write(new TextEncoder().encode("hello\n"));
 *   })
 * );
 *
 * using conn = await connect({ port: listener.addr.port });
 * const p = new Uint8Array(16);
 * const n = await conn.read(p);
 * if (new TextDecoder().decode(p.subarray(0, n!)) !== "hello\n") {
 *   throw new Error("no hello");
 * }
 * listener.close();
 * await server.wait();
 * ```
 *
 * @module
 */

// What a hub by specifier imports is there then, and needs no permission.
import "../hubs/mod.ts";
import { preloadHub } from "../hubs/registry.ts";

export { connect } from "./net/connect.ts";
export type { TcpConn, UnixConn } from "./net/conn.ts";
export {
  type Datagram,
  type DatagramAddr,
  type DatagramConn,
} from "./net/datagram.ts";
export type {
  MulticastV4Membership,
  MulticastV6Membership,
} from "./net/multicast.ts";
export { listen } from "./net/listen.ts";
export { listenDatagram } from "./net/listen_datagram.ts";
export {
  type Listener,
  type TcpListener,
  type UnixListener,
} from "./net/listener.ts";
export type {
  ConnectOptions,
  TcpListenOptions,
  UdpListenOptions,
  UnixConnectOptions,
  UnixDatagramOptions,
  UnixListenOptions,
} from "./net/options.ts";
export {
  type ConnOf,
  type Handler,
  serve,
  type ServeOptions,
  StopServe,
} from "./net/serve.ts";
export type { StreamAddr, StreamConn } from "./net/stream_conn.ts";

// A program may import nothing else. Never throws: an error comes at first use.
await preloadHub();
