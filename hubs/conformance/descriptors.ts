/**
 * Conformance: regular files, high numbers, hang-ups, and readiness that nobody
 * asked for. The same answer on every hub, and never a busy loop.
 *
 * @module
 */

import assert from "node:assert/strict";
import { O_PATH } from "../../ffi/constants.ts";
import { libc } from "../../ffi/libc.ts";
import { READ, WRITE } from "../poller.ts";
import { kill, sleep, spawn } from "../spawn.ts";
import { trampoline } from "../trampoline.ts";
import { assertBadFd, assertNoSpin, NOTICE_MS } from "./checks.ts";
import { type Case, failure, never, within } from "./rig.ts";

const SHUT_RDWR = 2;

/** The cases of this group. */
export const descriptorCases: readonly Case[] = [
  ["a regular file is always ready", async (rig) => {
    const { hub } = rig;
    const file = rig.file();
    for (let i = 0; i < 3; i++) {
      assert.equal(await trampoline(file, { read: true }), file);
      assert.equal(await trampoline(file, { write: true }), file);
    }
    const calls = [0, 0];
    const listeners = [
      hub.add(READ, file, () => calls[0]!++, never),
      hub.add(WRITE, file, () => calls[1]!++, never),
    ];
    await rig.passes(4);
    assert.ok(calls[0]! >= 3 && calls[1] === calls[0], `${calls}`);
    listeners.forEach((listener) => hub.remove(listener));
    rig.assertIdle();
  }],

  [
    "a regular file wakes a hub that is parked, and only as asked",
    async (rig) => {
      const { hub } = rig;
      const [quiet] = rig.pipe();
      hub.add(READ, quiet, never, never);
      await rig.parked();
      const file = rig.file();
      assert.equal(
        await within(NOTICE_MS, trampoline(file, { read: true })),
        file,
      );
      await assertNoSpin(rig);
    },
  ],

  ["descriptors above 1,023 work", async (rig) => {
    const [reader, writer] = rig.pipe();
    const [a] = rig.socketpair();
    const high = rig.dup(reader, 1500);
    const higher = rig.dup(a, 3000);
    assert.ok(high >= 1500 && higher >= 3000);
    assert.equal(await trampoline(higher, { write: true }), higher);
    const gt = spawn(() => trampoline(high, { read: true }));
    await sleep();
    await rig.parked();
    rig.write(writer);
    assert.equal(await gt.wait(), high);
    await failure(trampoline(higher, { read: true, timeout: 1 }));
    rig.assertIdle();
  }],

  ["an event nobody waits for any more is forgotten", async (rig) => {
    const { hub } = rig;
    const [reader, writer] = rig.pipe();
    const [quiet] = rig.pipe();
    hub.add(READ, quiet, never, never);
    const gt = spawn(() => trampoline(reader, { read: true }));
    await sleep();
    await kill(gt);
    rig.write(writer);
    await rig.parked();
    await assertNoSpin(rig);
  }],

  ["each is watched for its own direction when another goes", async (rig) => {
    const [reader, input] = rig.pipe();
    const [end, writer] = rig.pipe();
    const size = rig.fill(writer);
    const first = spawn(() => trampoline(reader, { read: true }));
    const blocked = spawn(() => trampoline(writer, { write: true }));
    await rig.passes(2);
    rig.write(input);
    await first.wait();
    // What is there to read is nobody's, so the reader is forgotten.
    await rig.passes(3);
    rig.read(end, size);
    await rig.passes(3);
    assert.equal(blocked.dead, true);
    rig.assertIdle();
  }],

  ["one direction left: the other's readiness does not spin", async (rig) => {
    const { hub } = rig;
    const [a, b] = rig.socketpair();
    const reader = spawn(() => trampoline(a, { read: true }));
    // Writable at once, and from then on nobody asks.
    assert.equal(await trampoline(a, { write: true }), a);
    await rig.parked();
    await assertNoSpin(rig);
    assert.equal(hub.getReaders().length, 1);
    rig.write(b);
    assert.equal(await reader.wait(), a);
  }],

  ["a hang-up wakes a reader and a writer", async (rig) => {
    const [a, b] = rig.socketpair();
    rig.fill(a);
    const waiters = [
      spawn(() => trampoline(a, { read: true })),
      spawn(() => trampoline(a, { write: true })),
    ];
    await sleep();
    await rig.parked();
    assert.deepEqual(waiters.map((gt) => gt.dead), [false, false]);
    rig.close(b);
    for (const gt of waiters) {
      assert.equal(await within(NOTICE_MS, gt.wait()), a);
    }
    rig.assertIdle();
  }],

  ["a hang-up wakes a writer beside a reader that stays", async (rig) => {
    const { hub } = rig;
    const [a] = rig.socketpair();
    rig.fill(a);
    let calls = 0;
    const reader = hub.add(hub.READ, a, () => calls++, never);
    const gt = spawn(() => trampoline(a, { write: true }));
    await sleep();
    await rig.parked();
    // Hung up, and still full: neither writable nor an error.
    libc().shutdown(a, SHUT_RDWR);
    assert.equal(await within(NOTICE_MS, gt.wait()), a);
    assert.ok(calls > 0);
    hub.remove(reader);
    rig.assertIdle();
  }],

  ["a hang-up alone wakes a lone writer, unread input or not", async (rig) => {
    for (const unread of [false, true]) {
      const [a, b] = rig.socketpair();
      rig.fill(a);
      if (unread) rig.write(b);
      const gt = spawn(() => trampoline(a, { write: true }));
      await sleep();
      await rig.parked();
      await assertNoSpin(rig);
      if (unread) rig.write(b);
      await assertNoSpin(rig);
      assert.equal(gt.dead, false);
      // Hung up, and still full: neither writable nor an error.
      libc().shutdown(a, SHUT_RDWR);
      assert.equal(await within(NOTICE_MS, gt.wait()), a);
      rig.close(b);
    }
    rig.assertIdle();
  }],

  ["unread input does not keep a lone writer from others", async (rig) => {
    const [a, b] = rig.socketpair();
    const [reader, writer] = rig.pipe();
    rig.fill(a);
    rig.write(b);
    const blocked = spawn(() => trampoline(a, { write: true }));
    const other = spawn(() => trampoline(reader, { read: true }));
    await sleep();
    await rig.parked();
    rig.write(writer);
    assert.equal(await within(NOTICE_MS, other.wait()), reader);
    // It is wanted now.
    assert.equal(
      await within(NOTICE_MS, trampoline(a, { read: true })),
      a,
    );
    while (rig.read(b, 65_536) !== null);
    assert.equal(await within(NOTICE_MS, blocked.wait()), a);
    rig.assertIdle();
  }],

  [
    "what names a file and no more is EBADF, and hinders nobody",
    async (rig) => {
      if (O_PATH === 0) return;
      const [reader, writer] = rig.pipe();
      const other = spawn(() => trampoline(reader, { read: true }));
      const named = libc().open(new TextEncoder().encode("/\0"), O_PATH);
      try {
        assertBadFd(await failure(trampoline(named, { read: true })));
        assertBadFd(await failure(trampoline(named, { write: true })));
      } finally {
        rig.hub.notifyClose(named);
        libc().close(named);
      }
      rig.write(writer);
      assert.equal(await within(NOTICE_MS, other.wait()), reader);
      rig.assertIdle();
    },
  ],

  ["a hang-up wakes a lone writer, and a lone reader", async (rig) => {
    const [reader, writer] = rig.pipe();
    rig.fill(writer);
    const blocked = spawn(() => trampoline(writer, { write: true }));
    await sleep();
    await rig.parked();
    rig.close(reader);
    assert.equal(await within(NOTICE_MS, blocked.wait()), writer);
    const [end, closing] = rig.pipe();
    const waiting = spawn(() => trampoline(end, { read: true }));
    await sleep();
    await rig.parked();
    rig.close(closing);
    assert.equal(await within(NOTICE_MS, waiting.wait()), end);
    assert.equal(rig.read(end), 0);
  }],
];
