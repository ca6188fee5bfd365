/** Buffers whose size is no 32-bit number; their pages are never touched. */

import { assertEquals, assertRejects } from "@std/assert";
import { getHub, SystemError } from "../../mod.ts";
import { listenDatagram } from "../../green/net.ts";
import { bytes, tcpPair, test } from "./rig.ts";

getHub();

const SIZE = 2 ** 32;

test("read() and receive() take a buffer of 4 GiB", async () => {
  const large = new Uint8Array(SIZE);
  const [client, server] = await tcpPair();
  // One that waits, and one that does not.
  const reading = server.read(large);
  await client.write(bytes("hello"));
  assertEquals(await reading, 5);
  await client.write(bytes("you"));
  assertEquals(await server.read(large), 3);
  client.close();
  assertEquals(await server.read(large), null);
  server.close();
  using a = listenDatagram({
    transport: "udp",
    hostname: "127.0.0.1",
    port: 0,
  });
  await a.send(bytes("hello"), a.addr);
  assertEquals(await a.receive(large), [bytes("hello"), a.addr]);
});

test("send() of 4 GiB is too large for a datagram", async () => {
  using a = listenDatagram({
    transport: "udp",
    hostname: "127.0.0.1",
    port: 0,
  });
  const sending = () => a.send(new Uint8Array(SIZE), a.addr);
  await assertRejects(sending, SystemError, "Cannot send 4294967296 bytes to");
});
