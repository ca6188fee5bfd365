/**
 * The hubs as rows of a benchmark, and what their benchmarks share.
 *
 * The trap it guards: `deno bench` runs all functions of a file in one process,
 * whose hub is one for all of them. So each row asks for its hub outside of
 * what is timed, and what a row keeps registered goes with its hub when the
 * next row asks for another.
 *
 * @module
 */

import { EFD_NONBLOCK } from "../../ffi/constants.ts";
import { libc } from "../../ffi/libc.ts";
import * as libevent from "../../hubs/libevent.ts";
import { type BuiltinHubName, getHub, HubError, useHub } from "../../mod.ts";

let told = false;

/** The hubs that are there; the first time tells why one is not. */
export function hubRows(): readonly BuiltinHubName[] {
  if (libevent.isAvailable()) return ["epolls", "poll", "selects", "libevent"];
  if (!told) {
    told = true;
    try {
      useHub("libevent");
    } catch (error) {
      if (!(error instanceof HubError)) throw error;
      console.error(`no row for libevent: ${error.message}`);
    }
    useHub("epolls");
  }
  return ["epolls", "poll", "selects"];
}

/** Have this thread on the hub of a row; returns whether it was not before. */
export function useRow(name: BuiltinHubName): boolean {
  if (getHub().name === name) return false;
  useHub(name);
  return true;
}

const one = new Uint8Array(8);
one[0] = 1;
const counter = new Uint8Array(8);

/** A descriptor that is readable from {@linkcode raise} to {@linkcode lower}. */
export function flag(): number {
  return libc().eventfd(0, EFD_NONBLOCK);
}

/** Make a flag readable. */
export function raise(fd: number): void {
  libc().write(fd, one, 8);
}

/** Make a flag unreadable. */
export function lower(fd: number): void {
  libc().read(fd, counter, 8);
}

/** Two TCP sockets of Deno's own, connected to each other. */
export async function connPair(): Promise<[Deno.TcpConn, Deno.TcpConn]> {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const pair = await Promise.all([
    Deno.connect({ hostname: "127.0.0.1", port: listener.addr.port }),
    listener.accept(),
  ]);
  listener.close();
  for (const conn of pair) conn.setNoDelay();
  return pair;
}

/** A turn of Deno's event loop. */
export function immediate(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Some milliseconds by Deno's own timer. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
