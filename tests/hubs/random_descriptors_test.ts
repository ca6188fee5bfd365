/**
 * Random programs of waits and listeners on descriptors that are written to,
 * filled, closed (with and without a word), duplicated and reused, against what
 * poll(2) says of them. A program that fails prints its seed and its steps; run
 * one seed again with `GREENHUB_SEED=<seed>`.
 */

import { assert, assertEquals } from "@std/assert";
import { POLLERR, POLLHUP, POLLIN, POLLOUT } from "../../ffi/constants.ts";
import { POLLFD_SIZE } from "../../ffi/layout.ts";
import { libc } from "../../ffi/libc.ts";
import { macrotask } from "../../hubs/deno_loop.ts";
import { assertNoSpin, NOTICE_MS } from "../../hubs/conformance/checks.ts";
import type { Rig } from "../../hubs/conformance/rig.ts";
import { type FdListener, READ, WRITE } from "../../hubs/mod.ts";
import {
  notifyClose,
  notifyOpened,
  sleep,
  SystemError,
  trampoline,
} from "../../mod.ts";
import { generator } from "../helpers/random.ts";
import { hubTest } from "./hub_test_case.ts";

const PROGRAMS = Deno.env.get("CI") === "true" ? 200 : 60;
const SEED = Number(Deno.env.get("GREENHUB_SEED") ?? NaN);
const ROUNDS = 25;
/** Steps of one round, at most: all in one pass of MAINLOOP. */
const STEPS = 8;
/** Passes after each round, for what it has brought about. */
const PASSES = 4;
/** Numbers from here on, each used once, unless it is reused on purpose. */
const LEAST = 200;

/** What becomes of a wait that is under way. */
type Fate =
  /** It ends when the descriptor is ready. */
  | "open"
  /** Its number was closed in silence. */
  | "closed"
  /** Its number was closed, or handed out anew, and the hub was told. */
  | "told"
  /** Its signal was aborted. */
  | "aborted"
  /** There was another one before it. */
  | "refused";

/** A `trampoline`, or a listener of `hub.add`. */
interface Party {
  readonly id: number;
  readonly fd: number;
  readonly evtype: typeof READ | typeof WRITE;
  readonly controller: AbortController | null;
  readonly listener: FdListener | null;
  fate: Fate;
  /** How often the listener was called in this round. */
  calls: number;
  /** How it ended. */
  end: string | null;
}

/** What poll(2) says, as bits of a hub. */
function ready(fd: number): number {
  const pollfd = new Uint8Array(POLLFD_SIZE);
  const view = new DataView(pollfd.buffer);
  view.setInt32(0, fd, true);
  view.setInt16(4, POLLIN | POLLOUT, true);
  libc().poll(pollfd, 1, 0);
  const events = view.getInt16(6, true);
  if ((events & (POLLERR | POLLHUP)) !== 0) return READ | WRITE;
  return ((events & POLLIN) !== 0 ? READ : 0) |
    ((events & POLLOUT) !== 0 ? WRITE : 0);
}

class Program {
  readonly #rig: Rig;
  readonly #random: () => number;
  readonly #log: string[] = [];
  /** Open descriptors. */
  readonly #fds: number[] = [];
  #parties: Party[] = [];
  #next = LEAST;
  #ids = 0;

  constructor(rig: Rig, seed: number) {
    this.#rig = rig;
    this.#random = generator(seed);
    this.#log.push(`seed ${seed}`);
  }

  async run(): Promise<void> {
    // MAINLOOP does not leave before the end, but parks.
    const timer = this.#rig.hub.scheduleCallGlobal(60_000, () => {});
    for (let round = 0; round < ROUNDS; round++) {
      // What follows is done beside a parked hub, or in one of its passes; but
      // not in the midst of one that has swept, as it is where listeners call.
      const busy = this.#parties.some(({ listener }) => listener !== null);
      for (let i = busy ? 0 : this.#pick(3); i > 0; i--) await macrotask();
      for (let left = 1 + this.#pick(STEPS); left > 0; left--) this.#step();
      for (const party of this.#parties) party.calls = 0;
      // Nobody reads or writes from here on, so it stays as it is.
      const bits = this.#parties.map(({ fd }) => ready(fd));
      await this.#rig.passes(PASSES);
      this.#parties.forEach((party, i) => this.#check(party, bits[i]!));
      this.#parties = this.#parties.filter(({ end }) => end === null);
      this.#log.push("--");
    }
    timer.cancel();
    await this.#finish();
  }

  #pick(below: number): number {
    return Math.floor(this.#random() * below);
  }

  #some(): number {
    return this.#fds[this.#pick(this.#fds.length)]!;
  }

  /** An open descriptor, which is none any more. */
  #lose(): number {
    return this.#fds.splice(this.#pick(this.#fds.length), 1)[0]!;
  }

  #step(): void {
    const rig = this.#rig;
    const roll = this.#random();
    if (this.#fds.length < 4 || roll < 0.06) {
      for (const fd of rig.socketpair()) {
        this.#copy(fd);
        rig.close(fd);
      }
    } else if (roll < 0.3) this.#wait();
    else if (roll < 0.36) this.#listen();
    else if (roll < 0.42) this.#remove();
    else if (roll < 0.5) this.#abort();
    else if (roll < 0.6) this.#say("write", (fd) => send(fd, 1));
    else if (roll < 0.68) this.#say("fill", (fd) => send(fd, Infinity));
    else if (roll < 0.79) this.#say("drain", drain);
    else if (roll < 0.82) {
      const how = this.#pick(3);
      this.#say(`shutdown ${how}`, (fd) => libc().shutdown(fd, how));
    } else if (roll < 0.87) {
      const fd = this.#lose();
      this.#log.push(`close ${fd}`);
      rig.close(fd);
      this.#befalls(fd, "closed");
    } else if (roll < 0.92) {
      const fd = this.#lose();
      this.#log.push(`notifyClose, close ${fd}`);
      notifyClose(fd);
      rig.close(fd);
      this.#befalls(fd, "told");
    } else if (roll < 0.96) this.#copy(this.#some());
    else this.#reuse();
  }

  #say(what: string, act: (fd: number) => unknown): void {
    const fd = this.#some();
    this.#log.push(`${what} ${fd}`);
    act(fd);
  }

  #copy(fd: number): void {
    const copy = this.#rig.dup(fd, this.#next);
    this.#next = copy + 1;
    this.#fds.push(copy);
    this.#log.push(`dup ${fd} ${copy}`);
  }

  #reuse(): void {
    const [fd, other] = [this.#some(), this.#some()];
    if (fd === other) return;
    this.#log.push(`dup2 ${other} ${fd}, notifyOpened`);
    this.#rig.reuse(fd, other);
    notifyOpened(fd);
    this.#befalls(fd, "told");
  }

  #befalls(fd: number, fate: Fate): void {
    for (const party of this.#parties) {
      if (party.fd === fd && party.fate === "open") party.fate = fate;
    }
  }

  /** A descriptor and a direction, and whether somebody waits for that. */
  #place(): { fd: number; evtype: typeof READ | typeof WRITE; taken: boolean } {
    const fd = this.#some();
    const evtype = this.#random() < 0.7 ? READ : WRITE;
    const taken = this.#parties.some((one) =>
      one.fd === fd && one.evtype === evtype && one.fate === "open" &&
      one.end === null
    );
    return { fd, evtype, taken };
  }

  #wait(): void {
    const { fd, evtype, taken } = this.#place();
    const controller = this.#random() < 0.5 ? new AbortController() : null;
    const party = this.#party(fd, evtype, controller, null);
    this.#log.push(`wait #${party.id} for ${evtype} of ${fd}`);
    const wait = trampoline(fd, {
      ...(evtype === READ ? { read: true } : { write: true }),
      ...(controller === null ? {} : { signal: controller.signal }),
    });
    wait.then(() => party.end = "ready", (error) => party.end = nameOf(error));
    if (taken) party.fate = "refused";
  }

  #listen(): void {
    const { fd, evtype, taken } = this.#place();
    const { hub } = this.#rig;
    const told = (error: Error) => party.end = nameOf(error);
    let listener: FdListener | null = null;
    try {
      listener = hub.add(evtype, fd, () => party.calls++, told);
    } catch (error) {
      assertEquals(nameOf(error), "HubError");
    }
    const party = this.#party(fd, evtype, null, listener);
    this.#log.push(`add #${party.id} for ${evtype} of ${fd}`);
    assertEquals(listener === null, taken, this.#story(party));
    if (taken) this.#parties.pop();
  }

  #party(
    fd: number,
    evtype: Party["evtype"],
    controller: AbortController | null,
    listener: FdListener | null,
  ): Party {
    const party: Party = {
      id: this.#ids++,
      fd,
      evtype,
      controller,
      listener,
      fate: "open",
      calls: 0,
      end: null,
    };
    this.#parties.push(party);
    return party;
  }

  #remove(): void {
    const all = this.#parties.filter(({ listener }) => listener !== null);
    const party = all[this.#pick(all.length)];
    if (party === undefined) return;
    this.#log.push(`remove #${party.id}`);
    this.#rig.hub.remove(party.listener!);
    this.#parties.splice(this.#parties.indexOf(party), 1);
  }

  #abort(): void {
    const all = this.#parties.filter(({ controller, fate, end }) =>
      controller !== null && fate === "open" && end === null
    );
    const party = all[this.#pick(all.length)];
    if (party === undefined) return;
    this.#log.push(`abort #${party.id}`);
    party.controller!.abort();
    party.fate = "aborted";
  }

  #check(party: Party, bits: number): void {
    const { fate, listener, end, calls, evtype } = party;
    const is = (bits & evtype) !== 0;
    const right = fate === "told"
      // What was closed before the next sweep may be found out by that.
      ? end === "IOClosed" || end === "EBADF"
      : fate === "aborted"
      ? end === "AbortError"
      : fate === "refused"
      ? end === "HubError"
      : fate === "closed"
      // On epoll a duplicate may still wake it: a last hint.
      ? end === null || end === "EBADF" || (end === "ready" && !listener)
      : listener !== null
      ? end === null && (is ? calls >= PASSES - 1 : calls === 0)
      : end === (is ? "ready" : null);
    assert(right, `poll(2) says ${bits}: ${this.#story(party)}`);
  }

  /** Whoever waits for a number that is closed is told, and nobody is left. */
  async #finish(): Promise<void> {
    const { hub } = this.#rig;
    for (const { listener, fate } of this.#parties) {
      if (listener !== null && fate === "open") hub.remove(listener);
    }
    const closed = this.#parties.filter(({ fate }) => fate === "closed");
    const start = performance.now();
    while (closed.some(({ end }) => end === null)) {
      assert(performance.now() - start < NOTICE_MS, this.#log.join("\n"));
      await sleep(1);
    }
    for (const fd of this.#fds) {
      notifyClose(fd);
      this.#rig.close(fd);
    }
    await this.#rig.passes(2);
    this.#rig.assertIdle();
  }

  #story({ id, fd, evtype, fate, calls, end }: Party): string {
    const what = `#${id} (${evtype} of ${fd}, ${fate}): ${calls} calls, ${end}`;
    return [what, ...this.#log].join("\n");
  }
}

/** Write so many bytes, or as many as are taken. */
function send(fd: number, count: number): void {
  const bytes = new Uint8Array(Math.min(count, 65_536));
  for (let left = count; left > 0;) {
    const n = libc().write(fd, bytes, bytes.length);
    if (n <= 0) return;
    left -= n;
  }
}

function drain(fd: number): void {
  const bytes = new Uint8Array(65_536);
  while (libc().read(fd, bytes, bytes.length) > 0);
}

function nameOf(error: unknown): string {
  return error instanceof SystemError ? error.code : (error as Error).name;
}

hubTest("random programs on descriptors do as poll(2) says", async (rig) => {
  const seeds = Number.isNaN(SEED)
    ? Array.from({ length: PROGRAMS }, (_, i) => i)
    : [SEED];
  for (const seed of seeds) await new Program(rig, seed).run();
  await assertNoSpin(rig);
});
