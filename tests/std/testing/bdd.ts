/**
 * What the tests use of `@std/testing/bdd`: `describe` groups, `it` cases and
 * hooks, in their plain forms (a name and a function).
 *
 * A group at the top is one `Deno.test` and what it holds are its steps, so that
 * Deno's sanitizers look at each case. (`node:test` would switch them off.)
 *
 * @module
 */

/** A test case or a hook: may be asynchronous. */
export type TestFn = () => void | Promise<void>;

/** A function that registers something under a name, or has it skipped. */
export interface Register<F> {
  (name: string, fn: F): void;
  /** Register it, and skip it when it is reached. */
  skip(name: string, fn: F): void;
}

interface Case {
  readonly name: string;
  readonly ignore: boolean;
  readonly run: TestFn;
}

interface Group {
  readonly name: string;
  readonly ignore: boolean;
  readonly parent: Group | null;
  readonly members: (Case | Group)[];
  readonly beforeAll: TestFn[];
  readonly afterAll: TestFn[];
  readonly beforeEach: TestFn[];
  readonly afterEach: TestFn[];
}

/** The group whose `describe` function is running. */
let current: Group | null = null;

/** Group the cases that `fn` registers under `name`. */
export const describe: Register<() => void> = Object.assign(
  (name: string, fn: () => void): void => addGroup(name, fn, false),
  { skip: (name: string, fn: () => void): void => addGroup(name, fn, true) },
);

/** Register one case. */
export const it: Register<TestFn> = Object.assign(
  (name: string, fn: TestFn): void => addCase(name, fn, false),
  { skip: (name: string, fn: TestFn): void => addCase(name, fn, true) },
);

/** Run `fn` once before the cases of the group. */
export function beforeAll(fn: TestFn): void {
  groupForHook("beforeAll").beforeAll.push(fn);
}

/** Run `fn` once after the cases of the group. */
export function afterAll(fn: TestFn): void {
  groupForHook("afterAll").afterAll.push(fn);
}

/** Run `fn` before each case of the group and of the groups within it. */
export function beforeEach(fn: TestFn): void {
  groupForHook("beforeEach").beforeEach.push(fn);
}

/** Run `fn` after each case of the group and of the groups within it. */
export function afterEach(fn: TestFn): void {
  groupForHook("afterEach").afterEach.push(fn);
}

function groupForHook(hook: string): Group {
  if (current === null) {
    throw new Error(`Cannot register ${hook}(): it is outside of a describe()`);
  }
  return current;
}

function addCase(name: string, run: TestFn, ignore: boolean): void {
  if (current === null) Deno.test({ name, ignore, fn: run });
  else current.members.push({ name, ignore, run });
}

function addGroup(name: string, fn: () => void, ignore: boolean): void {
  const parent = current;
  const group: Group = {
    name,
    ignore,
    parent,
    members: [],
    beforeAll: [],
    afterAll: [],
    beforeEach: [],
    afterEach: [],
  };
  current = group;
  try {
    fn();
  } finally {
    current = parent;
  }
  if (parent !== null) parent.members.push(group);
  else Deno.test({ name, ignore, fn: (t) => runGroup(t, group) });
}

async function runGroup(t: Deno.TestContext, group: Group): Promise<void> {
  await runHooked(group.beforeAll, group.afterAll, async () => {
    for (const member of group.members) {
      const { name, ignore } = member;
      const fn = "run" in member
        ? () => runCase(group, member.run)
        : (step: Deno.TestContext) => runGroup(step, member);
      await t.step({ name, ignore, fn });
    }
  });
}

/** Run a case between the hooks of its groups: outer first, outer last. */
function runCase(group: Group | null, fn: TestFn): Promise<void> {
  if (group === null) return (async () => await fn())();
  return runCase(
    group.parent,
    () => runHooked(group.beforeEach, group.afterEach, fn),
  );
}

/** What comes after runs in any case, like a `finally`. */
async function runHooked(
  before: readonly TestFn[],
  after: readonly TestFn[],
  fn: TestFn,
): Promise<void> {
  try {
    for (const hook of before) await hook();
    await fn();
  } finally {
    for (const hook of after) await hook();
  }
}
