/** Sockets: what their calls say of an errno. */

import { assertEquals } from "@std/assert";
import { ERRNO, POLLIN } from "../../ffi/constants.ts";
import { libc } from "../../ffi/libc.ts";
import { numericAddress } from "../../ffi/sockaddr.ts";
import {
  bindSocket,
  closeSocket,
  listenSocket,
  openSocket,
  ownAddress,
  startConnect,
} from "../../ffi/socket.ts";
import { AF_INET, SOCK_STREAM } from "../../ffi/socket_constants.ts";

libc();

Deno.test("startConnect() again, as after EINTR, says that it is under way", () => {
  const open = (): number => openSocket(AF_INET, SOCK_STREAM);
  const server = open();
  bindSocket(server, numericAddress("127.0.0.1", 0)!, "a port");
  listenSocket(server, 0, "a port");
  const to = ownAddress(server);
  // As many wait to be accepted as may: the next one is not answered.
  const [first, last] = [open(), open()];
  startConnect(first, to);
  const queued = new Uint8Array(new Int32Array([server, POLLIN]).buffer);
  assertEquals(libc().poll(queued, 1, 10_000), 1);
  startConnect(last, to);
  assertEquals(startConnect(last, to), ERRNO.EINPROGRESS);
  for (const fd of [first, last, server]) closeSocket(fd);
});
