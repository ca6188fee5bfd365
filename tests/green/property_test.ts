/**
 * Random programs of puts, gets, kills, timeouts and resizes, against models
 * that are a page long. A program that fails prints its seed and its steps; run
 * one seed again with `GREENHUB_SEED=<seed>`.
 *
 * A round is a list of steps that run in one pass of MAINLOOP, in order, so a
 * model sees exactly what is granted and not delivered yet when a kill strikes.
 */

import { assertEquals } from "@std/assert";
import {
  CappedSemaphore,
  GreenletExit,
  type GreenThread,
  LifoQueue,
  LightQueue,
  PriorityQueue,
  QueueEmpty,
  QueueFull,
  Semaphore,
  sleep,
  spawn,
} from "../../mod.ts";
import { generator } from "../helpers/random.ts";
import { greenTest, StoppedClock } from "./helpers.ts";

const CI = Deno.env.get("CI") === "true";
/** Steps of each test, and of one program; a test takes a few seconds at most. */
const STEPS = CI ? 20_000 : 10_000;
const LENGTH = 200;
/** A run for one hub is about the hub: the models know of none. */
const DEFAULT = (Deno.env.get("EVENTLET_HUB") ?? "") === "";
/** Tests of each kind: in CI 100,000 steps. */
const PARTS = CI && DEFAULT ? 5 : 1;
/** Steps of one pass, at most. */
const ROUND = 8;

type Step =
  | {
    op: "get" | "put" | "tryGet" | "tryPut";
    id: number;
    item: number;
    timeout?: number;
  }
  | { op: "kill"; id: number }
  | { op: "resize"; to: number | null };

type Round = { readonly steps: Step[]; readonly advance: number };

/** Make a program; `resizes` for queues alone. */
function program(seed: number, resizes: boolean): Round[] {
  const random = generator(seed);
  const pick = (n: number) => Math.floor(random() * n);
  const rounds: Round[] = [];
  let id = 0;
  for (let left = LENGTH; left > 0;) {
    const steps: Step[] = [];
    for (let n = 1 + pick(ROUND); n > 0 && left > 0; n--, left--) {
      const roll = random();
      const timeout = random() < 0.3 ? { timeout: pick(20) } : {};
      if (roll < 0.32) steps.push({ op: "get", id, item: 0, ...timeout });
      else if (roll < 0.62) {
        steps.push({ op: "put", id, item: pick(9), ...timeout });
      } else if (roll < 0.68) steps.push({ op: "tryGet", id, item: 0 });
      else if (roll < 0.74) steps.push({ op: "tryPut", id, item: pick(9) });
      else if (roll < 0.94 || !resizes) {
        // Of the latest, as they are the likely ones to wait still.
        steps.push({ op: "kill", id: Math.max(0, id - 1 - pick(12)) });
      } else {
        steps.push({ op: "resize", to: random() < 0.1 ? null : pick(5) });
      }
      id++;
    }
    rounds.push({ steps, advance: random() < 0.3 ? pick(15) : 0 });
  }
  return rounds;
}

type Ended = Map<number, string>;

interface Waiting {
  readonly id: number;
  item: number;
  readonly due: number;
}

/** What the models of queue and semaphore have in common. */
abstract class Model {
  readonly ended: Ended = new Map();
  now = 0;
  protected getters: Waiting[] = [];
  protected putters: Waiting[] = [];
  /** Granted, to be delivered before the next round. */
  protected granted: { id: number; item: number | null; result: string }[] = [];

  abstract step(step: Step): void;
  abstract counts(): unknown;
  /** A getter was killed with this in hand. */
  protected abstract back(at: number): void;

  deliver(): void {
    for (const { id, result } of this.granted) this.ended.set(id, result);
    this.granted = [];
  }

  expire(advance: number): void {
    this.now += advance;
    this.getters = this.getters.filter((one) => this.#stays(one, "empty"));
    this.putters = this.putters.filter((one) => this.#stays(one, "full"));
  }

  protected kill(id: number): void {
    if (this.ended.has(id)) return;
    const at = this.granted.findIndex((one) => one.id === id);
    if (at >= 0) {
      if (this.granted[at]!.item !== null) this.back(at);
      else this.granted.splice(at, 1);
      this.ended.set(id, "killed");
      return;
    }
    for (const list of [this.getters, this.putters]) {
      const found = list.findIndex((one) => one.id === id);
      if (found < 0) continue;
      list.splice(found, 1);
      this.ended.set(id, "killed");
    }
  }

  protected waits(
    list: Waiting[],
    step: { id: number; item: number; timeout?: number },
  ): void {
    const due = step.timeout === undefined ? Infinity : this.now + step.timeout;
    list.push({ id: step.id, item: step.item, due });
  }

  #stays(one: Waiting, result: string): boolean {
    if (one.due > this.now) return true;
    this.ended.set(one.id, result);
    return false;
  }
}

type Kind = "fifo" | "lifo" | "priority";

/** A queue: a list that is kept in the order in which it will be got. */
class QueueModel extends Model {
  readonly #kind: Kind;
  protected readonly handsOver: boolean = true;
  items: number[] = [];
  max: number | null;

  constructor(kind: Kind, max: number | null) {
    super();
    this.#kind = kind;
    this.max = max;
  }

  step(step: Step): void {
    if (step.op === "kill") return this.kill(step.id);
    if (step.op === "resize") {
      this.max = step.to;
      return this.#admit();
    }
    const { op, id } = step;
    const item = this.handsOver ? step.item : 0;
    if (op === "get" || op === "tryGet") {
      if (this.items.length > 0) {
        this.ended.set(id, `got ${this.items.shift()}`);
        this.#admit();
      } else if (this.putters.length > 0) {
        const putter = this.putters.shift()!;
        this.granted.push({ id: putter.id, item: null, result: "put" });
        this.ended.set(id, `got ${putter.item}`);
      } else if (op === "get") this.waits(this.getters, step);
      else this.ended.set(id, "empty");
      return;
    }
    if (this.getters.length > 0) {
      this.#arrive(item);
      // Into a channel, the putter goes on after the getter.
      if (op === "put" && this.max === 0 && this.handsOver) {
        this.granted.push({ id, item: null, result: "put" });
      } else this.ended.set(id, "put");
    } else if (this.max === null || this.items.length < this.max) {
      this.#arrive(item);
      this.ended.set(id, "put");
    } else if (op === "put") this.waits(this.putters, { ...step, item });
    else this.ended.set(id, "full");
  }

  counts(): unknown {
    return [
      this.items.length,
      this.getters.length,
      this.putters.length,
      this.max,
    ];
  }

  /**
   * All that is there, in hand or not, in order: who was served first gets the
   * first of it, and the rest is kept.
   */
  #arrive(item: number): void {
    const served = this.granted.filter((one) => one.item !== null);
    const all = this.#ordered([...served.map((one) => one.item!)], item);
    for (const one of served) give(one, all.shift()!);
    const [rest] = all;
    const getter = this.getters.shift();
    if (getter === undefined) this.items = this.#ordered(this.items, rest!);
    else this.granted.push(give({ id: getter.id, item: 0, result: "" }, rest!));
  }

  #ordered(list: number[], item: number): number[] {
    if (this.#kind === "lifo") return [item, ...list];
    if (this.#kind === "fifo") return [...list, item];
    const at = list.findIndex((one) => one > item);
    return at < 0 ? [...list, item] : list.toSpliced(at, 0, item);
  }

  #admit(): void {
    while (
      this.putters.length > 0 &&
      (this.max === null || this.items.length < this.max)
    ) {
      const { id, item } = this.putters.shift()!;
      this.items = this.#ordered(this.items, item);
      this.granted.push({ id, item: null, result: "put" });
    }
  }

  protected back(at: number): void {
    const [victim] = this.granted.splice(at, 1);
    let item = victim!.item!;
    for (const one of this.granted.slice(at)) {
      if (one.item === null) continue;
      const other = one.item;
      give(one, item);
      item = other;
    }
    const getter = this.getters.shift();
    if (getter === undefined) this.items.unshift(item);
    else this.granted.push(give({ id: getter.id, item: 0, result: "" }, item));
  }
}

function give<G extends { item: number | null; result: string }>(
  one: G,
  item: number,
): G {
  one.item = item;
  one.result = `got ${item}`;
  return one;
}

/** A capped semaphore: a queue of items that are all the same. */
class CappedModel extends QueueModel {
  protected override readonly handsOver = false;

  constructor(count: number, limit: number) {
    super("fifo", limit);
    this.items = Array(count).fill(0);
  }

  override counts(): unknown {
    const { length } = this.items;
    const room = Math.max(0, this.max! - length);
    return length - this.getters.length - (room - this.putters.length);
  }
}

/** A semaphore, where get is acquire and put is release. */
class SemaphoreModel extends Model {
  counter: number;

  constructor(counter: number) {
    super();
    this.counter = counter;
  }

  step(step: Step): void {
    if (step.op === "kill") return this.kill(step.id);
    if (step.op === "resize") return;
    const { op, id } = step;
    if (op === "put" || op === "tryPut") {
      this.#release();
      this.ended.set(id, "put");
    } else if (this.counter > 0) {
      this.counter--;
      this.ended.set(id, "got 0");
    } else if (op === "get") this.waits(this.getters, step);
    else this.ended.set(id, "empty");
  }

  counts(): unknown {
    return this.counter - this.getters.length;
  }

  #release(): void {
    const getter = this.getters.shift();
    if (getter === undefined) this.counter++;
    else this.granted.push({ id: getter.id, item: 0, result: "got 0" });
  }

  protected back(at: number): void {
    this.granted.splice(at, 1);
    this.#release();
  }
}

/** The real thing behind the same verbs. */
interface Subject {
  get(timeout?: number): Promise<string>;
  put(item: number, timeout?: number): Promise<string>;
  tryGet(): string;
  tryPut(item: number): string;
  resize(to: number | null): void;
  counts(): unknown;
}

function nameOf(error: unknown): string {
  if (error instanceof QueueEmpty) return "empty";
  if (error instanceof QueueFull) return "full";
  if (error instanceof GreenletExit) return "killed";
  return String(error);
}

function attempt(fn: () => string): string {
  try {
    return fn();
  } catch (error) {
    return nameOf(error);
  }
}

function queueSubject(queue: LightQueue<number>): Subject {
  return {
    get: async (timeout) =>
      `got ${await queue.get({ timeout: timeout ?? null })}`,
    put: async (item, timeout) => {
      await queue.put(item, { timeout: timeout ?? null });
      return "put";
    },
    tryGet: () => `got ${queue.tryGet()}`,
    tryPut: (item) => (queue.tryPut(item), "put"),
    resize: (to) => queue.resize(to),
    counts: () => [queue.size, queue.getting, queue.putting, queue.maxSize],
  };
}

function semaphoreSubject(sem: Semaphore): Subject {
  return {
    get: async (timeout) =>
      await sem.acquire({ timeout: timeout ?? null }) ? "got 0" : "empty",
    put: () => Promise.resolve((sem.release(), "put")),
    tryGet: () => sem.tryAcquire() ? "got 0" : "empty",
    tryPut: () => (sem.release(), "put"),
    resize: () => {},
    counts: () => sem.balance,
  };
}

function cappedSubject(sem: CappedSemaphore): Subject {
  return {
    get: async (timeout) =>
      await sem.acquire({ timeout: timeout ?? null }) ? "got 0" : "empty",
    put: async (_item, timeout) =>
      await sem.release({ timeout: timeout ?? null }) ? "put" : "full",
    tryGet: () => sem.tryAcquire() ? "got 0" : "empty",
    tryPut: () => {
      if (sem.bounded) return "full";
      void sem.release({ block: false });
      return "put";
    },
    resize: () => {},
    counts: () => sem.balance,
  };
}

/** Run one program on both, and compare them after every round. */
async function run(
  rounds: Round[],
  subject: Subject,
  model: Model,
): Promise<void> {
  const clock = new StoppedClock();
  const ended: Ended = new Map();
  const alive = new Map<number, GreenThread>();
  const wait = (id: number, begin: () => Promise<string>) => {
    const gt = spawn(async () => {
      ended.set(id, await begin().catch(nameOf));
      alive.delete(id);
    });
    alive.set(id, gt as GreenThread);
  };
  const perform = (step: Step): void => {
    if (step.op === "resize") subject.resize(step.to);
    else if (step.op === "kill") {
      const gt = alive.get(step.id);
      if (gt?.started) gt.throw(new GreenletExit());
    } else if (step.op === "tryGet") {
      ended.set(step.id, attempt(subject.tryGet));
    } else if (step.op === "tryPut") {
      ended.set(step.id, attempt(() => subject.tryPut(step.item)));
    }
  };
  for (const { steps, advance } of rounds) {
    for (const step of steps) {
      if (step.op === "get") wait(step.id, () => subject.get(step.timeout));
      else if (step.op === "put") {
        wait(step.id, () => subject.put(step.item, step.timeout));
      } else spawn(perform, step);
    }
    // What the last round granted is delivered before this one's steps.
    model.deliver();
    await sleep();
    for (const step of steps) model.step(step);
    assertEquals(subject.counts(), model.counts());
    if (advance > 0 || steps.some((step) => "timeout" in step)) {
      model.deliver();
      await sleep();
      model.expire(advance);
      await clock.advance(advance);
      assertEquals(subject.counts(), model.counts());
      assertEquals(sorted(ended), sorted(model.ended));
    }
  }
  model.deliver();
  await clock.advance(0);
  model.expire(0);
  for (const gt of alive.values()) await gt.kill();
}

function sorted(ended: Ended): [number, string][] {
  return [...ended].sort(([a], [b]) => a - b);
}

type Make = (seed: number) => { subject: Subject; model: Model };

/** Register tests with as many programs as make the steps. */
function propertyTests(name: string, resizes: boolean, make: Make): void {
  const given = Deno.env.get("GREENHUB_SEED");
  const count = STEPS / LENGTH;
  for (let part = 0; part < PARTS; part++) {
    const seeds = given === undefined
      ? Array.from({ length: count }, (_, n) => 1 + part * count + n)
      : [Number(given)];
    const last = seeds.at(-1);
    greenTest(
      `${name} does what its model does, seeds ${seeds[0]} to ${last}`,
      async () => {
        for (const seed of seeds) await check(seed, resizes, make);
      },
    );
  }
}

/** One program; if it fails, it is printed. */
async function check(
  seed: number,
  resizes: boolean,
  make: Make,
): Promise<void> {
  const rounds = program(seed, resizes);
  const { subject, model } = make(seed);
  try {
    await run(rounds, subject, model);
  } catch (cause) {
    const text = rounds.map((round) => JSON.stringify(round)).join("\n");
    throw new Error(`Seed ${seed} fails; its program:\n${text}`, { cause });
  }
}

const SIZES: readonly (number | null)[] = [0, 1, 2, 3, null];

function queueTests(
  name: string,
  kind: Kind,
  make: (max: number | null) => LightQueue<number>,
): void {
  propertyTests(name, true, (seed) => {
    const max = SIZES[seed % SIZES.length]!;
    return {
      subject: queueSubject(make(max)),
      model: new QueueModel(kind, max),
    };
  });
}

queueTests("LightQueue", "fifo", (max) => new LightQueue(max));
queueTests("LifoQueue", "lifo", (max) => new LifoQueue(max));
queueTests("PriorityQueue", "priority", (max) => new PriorityQueue(max));
propertyTests("Semaphore", false, (seed) => ({
  subject: semaphoreSubject(new Semaphore(seed % 3)),
  model: new SemaphoreModel(seed % 3),
}));
propertyTests("CappedSemaphore", false, (seed) => {
  const limit = seed % 4;
  const count = Math.min(limit, seed % 3);
  return {
    subject: cappedSubject(new CappedSemaphore(count, limit)),
    model: new CappedModel(count, limit),
  };
});
