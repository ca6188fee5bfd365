/**
 * Which greenthread is current: a value that follows the code across awaits.
 *
 * `AsyncLocalStorage` does just that, and is what is used wherever need be.
 * But each value entered there costs a weak-map entry and two objects, which
 * was half the price of a greenthread in time and memory. Deno's own storage
 * underneath is a plain mapping that every promise reaction carries; where it
 * can be reached and passes a test, the greenthread is put into it directly.
 *
 * The trap it guards: that is an undocumented corner. A mapping that is not
 * what we know, or a Deno without it, and the documented way is taken.
 *
 * @module
 */

import { AsyncLocalStorage } from "node:async_hooks";

/** How to enter and read the current value. */
export interface Context<T> {
  /** The value here; undefined outside of any. */
  get(): T | undefined;
  /** Set the value for the rest of this reaction and what follows from it. */
  enter(value: T): void;
  /** Call `fn` with the value set. */
  run(value: T, fn: () => void): void;
  /** The same, and leave everybody else's values. */
  runAlone(value: T, fn: () => void): void;
  /** Nobody else's value is in force here, so there is nothing to inherit. */
  alone(): boolean;
  /** As {@linkcode Context.enter}, and leave everybody else's values. */
  enterAlone(value: T): void;
}

/** The corner of Deno that is used. */
export interface Internals {
  getAsyncContext(): object | null | undefined;
  setAsyncContext(mapping: object | null | undefined): void;
}

const KEY = Symbol("greenhub.current");

/** A mapping with nothing in it but ours; any other key is copied along. */
class Frame<T> {
  readonly [KEY]: T;

  constructor(value: T) {
    this[KEY] = value;
  }
}

/** The corner of Deno that is used; null if it is not there. */
export function internals(): Internals | null {
  const root = Deno as unknown as {
    internal: symbol;
    [key: symbol]: { core?: Partial<Internals> } | undefined;
  };
  const core = root[root.internal]?.core;
  return typeof core?.getAsyncContext === "function" &&
      typeof core.setAsyncContext === "function"
    ? core as Internals
    : null;
}

/** Our key in Deno's own mapping. */
export function directContext<T>(
  { getAsyncContext, setAsyncContext }: Internals,
): Context<T> {
  const ours = (mapping: object | null | undefined): boolean =>
    mapping === null || mapping === undefined || mapping instanceof Frame;
  const enter = (value: T): void => {
    const outer = getAsyncContext();
    setAsyncContext(
      ours(outer)
        ? new Frame(value)
        : { __proto__: null, ...outer, [KEY]: value },
    );
  };
  const enterAlone = (value: T): void => setAsyncContext(new Frame(value));
  const runIn = (how: (value: T) => void, value: T, fn: () => void): void => {
    const outer = getAsyncContext();
    how(value);
    try {
      fn();
    } finally {
      setAsyncContext(outer);
    }
  };
  return {
    get: () => (getAsyncContext() as Frame<T> | null | undefined)?.[KEY],
    enter,
    run: (value, fn) => runIn(enter, value, fn),
    runAlone: (value, fn) => runIn(enterAlone, value, fn),
    alone: () => ours(getAsyncContext()),
    enterAlone,
  };
}

/** The documented way. */
export function storedContext<T>(): Context<T> {
  const storage = new AsyncLocalStorage<T>();
  return {
    get: () => storage.getStore(),
    enter: (value) => storage.enterWith(value),
    run: (value, fn) => storage.run(value, fn),
    // Others' values cannot be left.
    runAlone: (value, fn) => storage.run(value, fn),
    alone: () => false,
    enterAlone: (value) => storage.enterWith(value),
  };
}

/** Whether our key and those of others live side by side. */
function works(context: Context<unknown>): boolean {
  const other = new AsyncLocalStorage<number>();
  const before = context.get();
  let good = false;
  context.run("outer", () => {
    other.run(1, () => {
      good = context.get() === "outer";
      context.run("inner", () => {
        good &&= context.get() === "inner" && other.getStore() === 1;
      });
      good &&= context.get() === "outer" && other.getStore() === 1;
    });
  });
  return good && context.get() === before && other.getStore() === undefined;
}

/** The fastest context that works in this Deno. */
export function makeContext<T>(): Context<T> {
  try {
    const core = internals();
    if (core !== null) {
      const direct = directContext<T>(core);
      if (works(direct as Context<unknown>)) return direct;
    }
  } catch {
    // Not what we know: the documented way.
  }
  return storedContext<T>();
}
