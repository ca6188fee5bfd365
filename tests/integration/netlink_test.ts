/** Network interfaces, and a change to one. */

import { assert, assertEquals } from "@std/assert";
import { spawn, SystemError } from "../../mod.ts";
import { assertNoFdLeak } from "../helpers/fds.ts";
import { testWith } from "../helpers/need.ts";
import { assertIdle, load } from "./support.ts";

const recipe = await load(import("./netlink.ts"));
const NEEDS = ["Linux", recipe !== null] as const;
const { RouteSocket } = recipe ?? {} as never;

testWith(
  NEEDS,
  "RouteSocket lists the interfaces that Deno knows",
  async () => {
    await assertNoFdLeak(async () => {
      using socket = new RouteSocket();
      const { RTM_GETLINK, NLM_F_DUMP, IFLA_IFNAME } = recipe!;
      const links = await socket.request(
        RTM_GETLINK,
        NLM_F_DUMP,
        new Uint8Array(16),
      );
      const names = links.map(({ attributes }) =>
        new TextDecoder().decode(attributes.get(IFLA_IFNAME)).replace("\0", "")
      );
      for (const { name } of Deno.networkInterfaces()) {
        assert(names.includes(name), `${name} in ${names}`);
      }
      assert(names.includes("lo"));
    });
    assertIdle();
  },
);

testWith(
  NEEDS,
  "RouteSocket hears of a new address, if one may be added",
  async () => {
    const { RTM_NEWADDR, RTM_DELADDR, RTMGRP_IPV4_IFADDR } = recipe!;
    const { IFA_LOCAL, NLM_F_ACK, NLM_F_CREATE_EXCL } = recipe!;
    const address = [127, 83, Deno.pid >> 8 & 255, Deno.pid & 255];
    // struct ifaddrmsg { u8 family, prefixlen, flags, scope; u32 index; }, rtattr
    const payload = new Uint8Array([
      ...[2, 32, 0, 254, 1, 0, 0, 0],
      ...[8, 0, IFA_LOCAL, 0, ...address],
    ]);
    using monitor = new RouteSocket(RTMGRP_IPV4_IFADDR);
    const heard: string[] = [];
    const listener = spawn(async () => {
      for await (const { type, attributes } of monitor.changes()) {
        if (attributes.get(IFA_LOCAL)?.join() !== address.join()) continue;
        heard.push(type === RTM_NEWADDR ? "new" : "gone");
        if (type === RTM_DELADDR) return;
      }
    });
    using socket = new RouteSocket();
    const flags = NLM_F_ACK | NLM_F_CREATE_EXCL;
    try {
      await socket.request(RTM_NEWADDR, flags, payload);
    } catch (error) {
      // Not root: the kernel says so, and nothing stays.
      assert(
        error instanceof SystemError && error.code === "EPERM",
        `${error}`,
      );
      monitor[Symbol.dispose]();
      await listener.wait();
      assertIdle();
      return;
    }
    await socket.request(RTM_DELADDR, NLM_F_ACK, payload);
    await listener.wait();
    assertEquals(heard, ["new", "gone"]);
    assertIdle();
  },
);
