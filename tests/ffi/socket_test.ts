/** Sockets: what their calls say of an errno. */

import { assertEquals } from "@std/assert";
import { ERRNO } from "../../ffi/constants.ts";
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

Deno.test("startConnect() again, as after EINTR, says that it is under way", () => {
  const open = (): number => openSocket(AF_INET, SOCK_STREAM);
  const server = open();
  bindSocket(server, numericAddress("127.0.0.1", 0)!, "a port");
  listenSocket(server, 0, "a port");
  const to = ownAddress(server);
  // More than wait to be accepted: the rest is not answered.
  const clients = Array.from({ length: 5 }, open);
  for (const fd of clients) startConnect(fd, to);
  const last = clients.at(-1)!;
  assertEquals(startConnect(last, to), ERRNO.EINPROGRESS!);
  for (const fd of [...clients, server]) closeSocket(fd);
});
