/**
 * What the tests use of `@std/testing/mock`: `spy` records the calls of a
 * function or a method, `stub` replaces a method, and both are undone by
 * `restore()` or at the end of a `using` block.
 *
 * @module
 */

import { assertEquals, AssertionError, assertIsError } from "@std/assert";

/** Wrong use of a spy or a stub. */
export class MockError extends Error {
  override name = "MockError";
}

/** One recorded call. */
export interface SpyCall<
  Self = unknown,
  Args extends readonly unknown[] = unknown[],
  Return = unknown,
> {
  /** The arguments, in order. */
  args: Args;
  /** What was returned; for an `async` function, the promise. */
  returned?: Return;
  /** What was thrown instead. */
  error?: unknown;
  /** What `this` was. */
  self?: Self;
}

/** A function that remembers how it was called. */
export interface Spy<
  Self = unknown,
  Args extends readonly unknown[] = unknown[],
  Return = unknown,
> {
  (this: Self, ...args: Args): Return;
  /** The function behind the spy. */
  original: (this: Self, ...args: Args) => Return;
  /** All calls so far, oldest first. */
  calls: SpyCall<Self, Args, Return>[];
  /** Whether the original is back in place. */
  restored: boolean;
  /**
   * Put the original back.
   *
   * @throws {MockError} If it is back already or the spy is not on an object.
   */
  restore(): void;
}

/** A spy that takes a method's place on an object. */
export interface MethodSpy<
  Self = unknown,
  Args extends readonly unknown[] = unknown[],
  Return = unknown,
> extends Spy<Self, Args, Return>, Disposable {}

/** A spy that acts in place of the method it stands for. */
export interface Stub<
  Self = unknown,
  Args extends readonly unknown[] = unknown[],
  Return = unknown,
> extends MethodSpy<Self, Args, Return> {
  /** What is called in place of the original. */
  fake: (this: Self, ...args: Args) => Return;
}

/** What `assertSpyCall()` compares; a member left out is not looked at. */
export interface ExpectedSpyCall {
  /** The arguments, deeply equal. */
  args?: readonly unknown[];
  /** The result, deeply equal. */
  returned?: unknown;
  /** What `this` was, deeply equal. */
  self?: unknown;
  /** The error that was thrown. */
  error?: {
    // deno-lint-ignore no-explicit-any
    Class?: abstract new (...args: any[]) => Error;
    msgIncludes?: string;
  };
}

type Fn<Self, Args extends readonly unknown[], Return> = (
  this: Self,
  ...args: Args
) => Return;
// deno-lint-ignore no-explicit-any
type ArgsOf<F> = F extends (...args: infer A extends any[]) => unknown ? A
  : never;
// deno-lint-ignore no-explicit-any
type ReturnOf<F> = F extends (...args: any[]) => infer R ? R : never;

/** Make a spy that returns `undefined`. */
export function spy<
  Self = unknown,
  Args extends unknown[] = unknown[],
>(): Spy<Self, Args, undefined>;
/** Make a spy around a function. */
export function spy<Self, Args extends unknown[], Return>(
  func: (this: Self, ...args: Args) => Return,
): Spy<Self, Args, Return>;
/** Put a spy around the method `property` of an object. */
export function spy<Self extends object, Prop extends keyof Self>(
  self: Self,
  property: Prop,
): MethodSpy<Self, ArgsOf<Self[Prop]>, ReturnOf<Self[Prop]>>;
export function spy(
  target?: object | Fn<unknown, unknown[], unknown>,
  property?: PropertyKey,
): Spy {
  if (target === undefined) return record(() => undefined);
  if (property === undefined) {
    return record(target as Fn<unknown, unknown[], unknown>);
  }
  return replace(target, property, null);
}

/** Replace the method `property` of an object by one that does nothing. */
export function stub<Self extends object, Prop extends keyof Self>(
  self: Self,
  property: Prop,
): Stub<Self, ArgsOf<Self[Prop]>, ReturnOf<Self[Prop]>>;
/** Replace the method `property` of an object by `func`. */
export function stub<Self extends object, Prop extends keyof Self>(
  self: Self,
  property: Prop,
  func: (this: Self, ...args: ArgsOf<Self[Prop]>) => ReturnOf<Self[Prop]>,
): Stub<Self, ArgsOf<Self[Prop]>, ReturnOf<Self[Prop]>>;
export function stub(
  self: object,
  property: PropertyKey,
  func: Fn<never, never[], unknown> = () => undefined,
): Stub {
  return replace(self, property, func as Fn<unknown, unknown[], unknown>);
}

/** Make a function that returns the values one after the other. */
export function returnsNext<Return>(
  values: Iterable<Return | Error>,
): () => Return {
  const iterator = values[Symbol.iterator]();
  let calls = 0;
  return () => {
    const next = iterator.next();
    if (next.done) {
      throw new MockError(`Not expected to be called more than ${calls} times`);
    }
    calls++;
    if (next.value instanceof Error) throw next.value;
    return next.value;
  };
}

/** Assert that the spy was called exactly so many times. */
export function assertSpyCalls<Self, Args extends unknown[], Return>(
  spy: Spy<Self, Args, Return>,
  expectedCalls: number,
): void {
  const count = spy.calls.length;
  if (count === expectedCalls) return;
  throw new AssertionError(
    `Spy called ${
      count < expectedCalls ? "not as much" : "more"
    } than expected: ${count} calls, expected ${expectedCalls}`,
    count > expectedCalls ? { cause: spy.calls.at(-1)?.error } : undefined,
  );
}

/** Assert that call number `index` of the spy, from 0, was like `expected`. */
export function assertSpyCall<Self, Args extends unknown[], Return>(
  spy: Spy<Self, Args, Return>,
  index: number,
  expected: ExpectedSpyCall = {},
): void {
  const call = spy.calls[index];
  if (call === undefined) {
    throw new AssertionError(
      `Spy call ${index} not made: there were ${spy.calls.length} calls`,
    );
  }
  if (expected.args) assertEquals<unknown>(call.args, expected.args);
  if ("self" in expected) assertEquals<unknown>(call.self, expected.self);
  if ("returned" in expected) {
    if ("error" in call) throw new AssertionError("Spy call threw an error");
    assertEquals<unknown>(call.returned, expected.returned);
  }
  if (expected.error) {
    if (!("error" in call)) {
      throw new AssertionError("Spy call did not throw an error");
    }
    assertIsError(
      call.error,
      expected.error.Class,
      expected.error.msgIncludes,
    );
  }
}

/** Assert that call number `index` of the spy had exactly these arguments. */
export function assertSpyCallArgs<Self, Args extends unknown[], Return>(
  spy: Spy<Self, Args, Return>,
  index: number,
  expected: readonly unknown[],
): void {
  assertSpyCall(spy, index, { args: expected });
}

/** Make a spy around `original` that belongs to no object. */
function record(original: Fn<unknown, unknown[], unknown>): Spy {
  const calls: SpyCall[] = [];
  function recorder(this: unknown, ...args: unknown[]): unknown {
    const call: SpyCall = { args };
    if (this !== undefined) call.self = this;
    try {
      call.returned = original.apply(this, args);
    } catch (error) {
      call.error = error;
      calls.push(call);
      throw error;
    }
    calls.push(call);
    return call.returned;
  }
  return Object.assign(recorder, {
    original,
    calls,
    restored: false,
    restore(): never {
      throw new MockError("Cannot restore: the spy is not on an object");
    },
  });
}

/** Put a recorder of `fake`, or of the method itself, in the method's place. */
function replace(
  self: object,
  property: PropertyKey,
  fake: Fn<unknown, unknown[], unknown> | null,
): Stub {
  const method = Reflect.get(self, property);
  const name = String(property);
  if (typeof method !== "function") {
    throw new MockError(`Cannot replace "${name}": it is not a method`);
  }
  const own = Object.getOwnPropertyDescriptor(self, property);
  if (own && !own.configurable) {
    throw new MockError(`Cannot replace "${name}": it is not configurable`);
  }
  const original = method as Fn<unknown, unknown[], unknown>;
  const mock: Stub = Object.assign(record(fake ?? original), {
    original,
    fake: fake ?? original,
    restore(): void {
      if (mock.restored) {
        throw new MockError(`Cannot restore "${name}": it is restored already`);
      }
      if (own) Object.defineProperty(self, property, own);
      else Reflect.deleteProperty(self, property);
      mock.restored = true;
    },
    [Symbol.dispose](): void {
      if (!mock.restored) mock.restore();
    },
  });
  Object.defineProperty(self, property, {
    value: mock,
    configurable: true,
    enumerable: own?.enumerable ?? false,
    writable: true,
  });
  return mock;
}
