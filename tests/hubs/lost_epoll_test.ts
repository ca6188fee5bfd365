/**
 * Somebody closed a hub's epoll descriptor, or put something else in its place:
 * nobody who waits may pay for it.
 */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { libc } from "../../ffi/libc.ts";
import { never, within } from "../../hubs/conformance/rig.ts";
import type { HubOptions } from "../../hubs/hub.ts";
import * as epolls from "../../hubs/epolls.ts";
import * as libevent from "../../hubs/libevent.ts";
import {
  type BaseHub,
  getHub,
  type HubModule,
  notifyClose,
  spawn,
  SystemError,
  trampoline,
  useHub,
} from "../../mod.ts";
import { openFds } from "../helpers/fds.ts";
import { testWith } from "../helpers/need.ts";
import { close, type Pipe, pipe, write } from "../helpers/pipes.ts";

/** A module of ours, whose hubs take options. */
interface Module extends HubModule {
  readonly Hub: new (options?: HubOptions) => BaseHub;
}

const HUBS: readonly (readonly [string, Module, boolean])[] = [
  ["epolls", epolls, epolls.isAvailable()],
  ["libevent", libevent, libevent.isAvailable()],
];

const F_DUPFD = 0;

getHub();

/** The epoll descriptors there are now and were not before. */
function epollsSince(before: ReadonlyMap<number, string>): number[] {
  return [...openFds()]
    .filter(([fd, target]) => !before.has(fd) && target.includes("eventpoll"))
    .map(([fd]) => fd);
}

/** Run `fn` on a hub of its own whose epoll descriptor is known. */
async function onHub(
  module: HubModule,
  fn: (hub: BaseHub, epfd: number) => Promise<void>,
): Promise<void> {
  await getHub().close();
  try {
    const before = openFds();
    useHub(module);
    const hub = getHub();
    const [epfd, ...others] = epollsSince(before);
    try {
      assert(epfd !== undefined && others.length === 0);
      await fn(hub, epfd);
    } finally {
      await hub.close();
    }
  } finally {
    useHub();
    getHub();
  }
}

/** Wait for a pipe at once, and be woken from a park. */
async function assertWoken([reader, writer]: Pipe): Promise<void> {
  const { parks } = getHub().statistics();
  let over = false;
  const waiting = trampoline(reader, { read: true });
  waiting.then(() => over = true, () => over = true);
  while (!over && getHub().statistics().parks === parks) {
    await new Promise((resolve) => setImmediate(resolve));
  }
  write(writer);
  assertEquals(await waiting, reader);
  libc().read(reader, new Uint8Array(1), 1);
}

for (const [name, module, available] of HUBS) {
  const needs = [name, available] as const;

  testWith(
    needs,
    `${name}: its epoll descriptor is closed while nobody listens`,
    async () => {
      const ours = pipe();
      await onHub(module, async (hub, epfd) => {
        const { parking } = hub.statistics();
        await assertWoken(ours);
        const before = openFds();
        close(epfd);
        for (let i = 0; i < 5; i++) await assertWoken(ours);
        // Whoever watched the old descriptor sees that there is a new one.
        assert(!openFds().has(epfd));
        assertEquals(hub.statistics().parking, parking);
        assertEquals(openFds().size, before.size);
      });
      close(...ours);
    },
  );

  testWith(
    needs,
    `${name}: its epoll descriptor is closed while somebody listens`,
    async () => {
      const ours = pipe();
      const [reader, writer] = pipe();
      await onHub(module, async (_, epfd) => {
        const waiting = spawn(() => trampoline(reader, { read: true }));
        await assertWoken(ours);
        close(epfd);
        await assertWoken(ours);
        assertEquals(waiting.dead, false);
        write(writer);
        assertEquals(await waiting.wait(), reader);
      });
      close(...ours, reader, writer);
    },
  );

  testWith(
    needs,
    `${name}: its epoll descriptor is closed, and a sweep finds that out`,
    async () => {
      const ours = pipe();
      const [reader, writer] = pipe();
      await onHub(module, async (_, epfd) => {
        const waiting = spawn(() => trampoline(reader, { read: true }));
        await assertWoken(ours);
        close(epfd);
        write(writer);
        assertEquals(await waiting.wait(), reader);
      });
      close(...ours, reader, writer);
    },
  );

  testWith(
    needs,
    `${name}: what has the number of its epoll descriptor stays open`,
    async () => {
      const ours = pipe();
      const [reader, writer] = pipe();
      await onHub(module, async (_, epfd) => {
        await assertWoken(ours);
        const before = openFds();
        libc().dup2(reader, epfd);
        await assertWoken(ours);
        // One for the one that was lost, and no more.
        assertEquals(epollsSince(before).length, 1);
        await assertWoken([epfd, writer]);
        notifyClose(epfd);
        close(epfd);
        await assertWoken(ours);
      });
      close(...ours, reader, writer);
    },
  );

  testWith(
    needs,
    `${name}: parked on a thread, it can be woken after its epoll descriptor was closed`,
    async () => {
      const ours = pipe();
      class Hub extends module.Hub {
        constructor() {
          super({ parking: "thread" });
        }
      }
      await onHub({ Hub }, async (hub, epfd) => {
        await assertWoken(ours);
        close(epfd);
        await assertWoken(ours);
        // For a minute, and for nothing else.
        const far = hub.scheduleCallGlobal(60_000, never);
        const { parks } = hub.statistics();
        while (hub.statistics().parks === parks) {
          await new Promise((resolve) => setImmediate(resolve));
        }
        await within(
          5000,
          new Promise((resolve) => {
            hub.scheduleCallGlobal(0, () => resolve(undefined));
          }),
        );
        far.cancel();
      });
      close(...ours);
    },
  );

  testWith(
    needs,
    `${name}: EBADF is for the descriptor that is not open, and no other`,
    async () => {
      const ours = pipe();
      const bad = libc().fcntl(ours[0], F_DUPFD, 600);
      close(bad);
      await onHub(module, async (_, epfd) => {
        await assertWoken(ours);
        close(epfd);
        const error = await assertRejects(
          () => trampoline(bad, { read: true }),
          SystemError,
          `fd ${bad}`,
        );
        assertEquals(error.code, "EBADF");
        await assertWoken(ours);
      });
      close(...ours);
    },
  );
}
