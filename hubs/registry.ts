/**
 * Which hub a thread uses, and how it is chosen.
 *
 * The trap it guards is eventlet's: a failed `use_hub` had already dropped the
 * old hub. Here everything is validated first; only then is the old one
 * eliminated.
 *
 * @module
 */

import { atUnload } from "../ffi/unload.ts";
import { readEnv } from "./env.ts";
import { HubError } from "./errors.ts";
import * as epolls from "./epolls.ts";
import { getCurrent } from "./current.ts";
import { BaseHub } from "./hub.ts";
import { inherit } from "./inheritance.ts";
import * as libevent from "./libevent.ts";
import * as poll from "./poll.ts";
import { reportError } from "./report.ts";
import type { Scheduler } from "./scheduler.ts";
import * as selects from "./selects.ts";
import { importSpecifier, isSpecifier, splitSpecifier } from "./specifier.ts";
import { thread } from "./thread.ts";

/** A class of hubs. */
export type HubClass = new () => BaseHub;

/** A module that provides a hub. */
export interface HubModule {
  /** The class of the hub. */
  Hub: HubClass;
  /** Whether it can work here; taken as true if it is missing. */
  isAvailable?(): boolean;
}

/** The names of the hubs that come with the package. */
export type BuiltinHubName =
  | "epolls"
  | "poll"
  | "selects"
  | "libevent"
  | "pyevent";

const BUILTIN: ReadonlyMap<string, HubModule> = new Map<string, HubModule>([
  ["epolls", epolls],
  ["poll", poll],
  ["selects", selects],
  ["libevent", libevent],
  ["pyevent", libevent],
]);

/** In order of preference. */
const AUTOMATIC = ["epolls", "poll", "selects"] as const;

const ENVIRONMENT = "EVENTLET_HUB";

let chosen: HubClass | null = null;

/** Why a hub cannot be used, if its module says so. */
interface Explains {
  whyUnavailable?(): string;
}

/**
 * Whether `new` can be applied to it; nothing is called.
 *
 * The trap it guards: with the class itself as `new.target` V8 would lay out
 * all its instances as those of another class, for good, and slower ones.
 */
function isClass(value: unknown): value is HubClass {
  if (typeof value !== "function") return false;
  try {
    new (new Proxy(value as HubClass, { construct: () => ({}) }))();
    return true;
  } catch {
    return false;
  }
}

/** The class a module provides. */
function classOf(module: HubModule, what: string): HubClass {
  if (!isClass(module.Hub)) {
    throw new HubError(`Cannot use ${what}: it has no class Hub`);
  }
  assertOurs(module.Hub, what);
  assertAvailable(module, what);
  return module.Hub;
}

/**
 * Refuse the hub of another copy of this package: one imported from another
 * address or in another version has a BaseHub of its own, with its own
 * greenthreads, and would run beside ours without ever meeting them.
 *
 * Any other class is taken as it is, as eventlet does.
 */
function assertOurs(Hub: HubClass, what: string): void {
  for (
    let base: unknown = Hub;
    typeof base === "function" && base !== BaseHub;
    base = Object.getPrototypeOf(base)
  ) {
    // Of a class called BaseHub, READ is its own and not inherited.
    if (base.name !== "BaseHub" || !Object.hasOwn(base, "READ")) continue;
    throw new HubError(
      `Cannot use ${what}: it extends the BaseHub of another copy of this ` +
        `package; its author's import and the program's must lead to the same ` +
        `address and version, here ${new URL("..", import.meta.url)}`,
    );
  }
}

function assertAvailable(module: Partial<HubModule>, what: string): void {
  if (typeof module.isAvailable !== "function" || module.isAvailable()) return;
  const why = (module as Explains).whyUnavailable?.() ??
    "it is not available on this system";
  throw new HubError(`Cannot use ${what}: ${why}`);
}

function builtin(name: string): HubModule {
  const module = BUILTIN.get(name);
  if (module === undefined) {
    throw new HubError(
      `Cannot use hub "${name}": unknown; valid names are ` +
        [...BUILTIN.keys()].join(", ") +
        ", or a module specifier that contains '.', '/' or ':'",
    );
  }
  return module;
}

async function load(text: string): Promise<HubClass> {
  const [address, className] = splitSpecifier(text);
  const what = `hub "${text}"`;
  let module: Record<string, unknown>;
  try {
    module = await importSpecifier(address);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new HubError(`Cannot use ${what}: ${why}`, { cause });
  }
  const Hub = module[className];
  if (!isClass(Hub)) {
    throw new HubError(`Cannot use ${what}: it has no class ${className}`);
  }
  assertOurs(Hub, what);
  assertAvailable(module, what);
  assertAvailable(Hub as Partial<HubModule>, what);
  return Hub;
}

/** Make `Hub` the thread's class, and forget the hub there is. */
function select(Hub: HubClass): void {
  const old = thread.hub as BaseHub | null;
  chosen = Hub;
  thread.hub = null;
  if (old !== null) void eliminate(old);
}

/**
 * Close a hub that nobody waits for; a class of any kind may have no close.
 *
 * @param half Its constructor has failed: a close of its own may lack what that
 * should have made.
 */
async function eliminate(old: Partial<BaseHub>, half = false): Promise<void> {
  try {
    if (half) await BaseHub.prototype.close.call(old as BaseHub);
    else await old.close?.();
  } catch (error) {
    reportError(`Error at the close of hub ${old.name}`, error);
  }
}

/** The class for no argument: the variable, else the first available. */
function defaultClass(): HubClass {
  const name = readEnv(ENVIRONMENT);
  if (name === "") return classOf(getDefaultHub(), "the default hub");
  if (!isSpecifier(name)) return classOf(builtin(name), `hub "${name}"`);
  if (preloaded?.name !== name) {
    throw new HubError(
      `Cannot use hub "${name}" of ${ENVIRONMENT}: it was not loaded yet; ` +
        `await useHub("${name}")`,
    );
  }
  const { outcome } = preloaded;
  if (outcome instanceof Error) throw outcome;
  return outcome;
}

/** What the variable named when the package was imported, and what it led to. */
let preloaded: { name: string; outcome: HubClass | Error } | null = null;

/**
 * Load the module that `EVENTLET_HUB` names, if it names one, so that the
 * synchronous `getHub()` has it. Never throws: the error comes at first use.
 *
 * @internal
 */
export async function preloadHub(): Promise<void> {
  const name = readEnv(ENVIRONMENT);
  if (!isSpecifier(name) || preloaded?.name === name) return;
  try {
    preloaded = { name, outcome: await load(name) };
  } catch (error) {
    preloaded = { name, outcome: error as Error };
  }
}

/**
 * The module of the first hub that works here: epolls, poll, selects.
 *
 * @throws {HubError} If none does; the message lists them and says why.
 */
export function getDefaultHub(): HubModule {
  // What all of them lack is said once.
  const reasons = new Map<string, string[]>();
  for (const name of AUTOMATIC) {
    const module = BUILTIN.get(name)!;
    if (module.isAvailable!()) return module;
    const why = (module as Explains).whyUnavailable!();
    reasons.set(why, [...reasons.get(why) ?? [], name]);
  }
  const all = [...reasons].map(([why, names]) => `${names.join(", ")}: ${why}`);
  throw new HubError(`Cannot find an available hub: ${all.join("; ")}`);
}

/**
 * Choose the calling thread's hub. Best called first in the main module.
 *
 * The old hub, if any, is eliminated: its listeners and timers are forgotten
 * and its descriptors closed. Nothing of that happens if the call fails. No
 * argument or null: what the environment variable `EVENTLET_HUB` says, else
 * {@linkcode getDefaultHub}. The hub itself is made by the first `getHub()`.
 *
 * @param hub A name, a hub module, a hub class, or null.
 * @throws {HubError} If it is unknown or not available, if it was written for
 * another copy of this package, or from MAINLOOP.
 * @throws {TypeError} If it is something else.
 *
 * @example
 * ```ts
 * import { getHub, useHub } from "../mod.ts";
 *
 * useHub("poll");
 * if (getHub().name !== "poll") throw new Error("another hub");
 * await getHub().close();
 * useHub();
 * ```
 */
export function useHub(
  hub?: BuiltinHubName | HubModule | HubClass | null,
): void;
/**
 * Choose the hub of a module by its specifier, `"<specifier>"` or
 * `"<specifier>:<ClassName>"`, relative to the main module; in a Worker, to
 * the Worker's own.
 *
 * If another hub was chosen before the module was loaded, that one stays.
 *
 * The import needs the permission to read (`--allow-read`, `--allow-import`),
 * unless the program has imported the module itself. Where Deno would ask for
 * it, on a terminal, the call fails instead.
 *
 * @param specifier A string with `.`, `/` or `:` in it.
 * @throws {HubError} If the module or class is missing, not available, or not
 * permitted to be imported.
 */
export function useHub(specifier: string): Promise<void>;
/**
 * Choose a hub by whatever is at hand, say what the program's settings name.
 * It is a promise if, and only if, it is a specifier; awaiting it is right
 * either way.
 *
 * @param hub A name, a specifier, a hub module, a hub class, or null.
 * @throws As above; of a specifier, by rejecting.
 */
export function useHub(
  hub?: string | HubModule | HubClass | null,
): Promise<void> | void;
export function useHub(
  hub?: string | HubModule | HubClass | null,
): Promise<void> | void {
  const text = typeof hub === "string" ? hub.trim() : "";
  if (text !== "" && isSpecifier(text)) return useSpecifier(text);
  assertNotMainloop();
  const found = findClass(hub, text);
  lastChoice = ++choices;
  select(found);
}

/** How many calls have begun to choose, and which of them has had its way. */
let choices = 0;
let lastChoice = 0;

async function useSpecifier(text: string): Promise<void> {
  assertNotMainloop();
  const choice = ++choices;
  const found = await load(text);
  if (choice < lastChoice) return;
  lastChoice = choice;
  select(found);
}

function assertNotMainloop(): void {
  if (getCurrent().isMainloop) {
    throw new HubError("Cannot choose a hub: the caller is MAINLOOP");
  }
}

function findClass(
  hub: string | HubModule | HubClass | null | undefined,
  text: string,
): HubClass {
  if (hub === undefined || hub === null) return defaultClass();
  if (typeof hub === "string") return classOf(builtin(text), `hub "${text}"`);
  if (isClass(hub)) {
    assertOurs(hub, `hub class ${hub.name}`);
    assertAvailable(hub as Partial<HubModule>, `hub class ${hub.name}`);
    return hub;
  }
  if (typeof hub === "object") return classOf(hub, "the hub module");
  throw new TypeError(
    "Cannot use a hub: neither a name, a module nor a class: " +
      (typeof hub === "function" ? "a function without new" : typeof hub),
  );
}

/**
 * The calling thread's hub, made at the first call. MAINLOOP is not started.
 *
 * @throws {HubError} If no class was chosen and none is available.
 */
export function getHub(): BaseHub {
  return thread.hub as BaseHub | null ?? makeHub();
}

/** The program ends, and the process may not. */
function eliminateLast(): void {
  if (thread.hub !== null) void eliminate(thread.hub as BaseHub);
}

function makeHub(): BaseHub {
  if (thread.hub !== null) return thread.hub as BaseHub;
  chosen ??= defaultClass();
  atUnload(eliminateLast);
  const hub = construct(chosen);
  thread.hub ??= hub;
  inherit(thread.hub);
  return thread.hub as BaseHub;
}

/**
 * Make a hub. If its constructor throws after `super()`, nobody has the hub:
 * what BaseHub's constructor was given, the poller above all, is given back.
 */
function construct(Hub: HubClass): BaseHub {
  const outer = thread.making;
  const begun: Scheduler[] = thread.making = [];
  try {
    const hub = new Hub();
    // A class of any kind has no such method.
    if (hub instanceof BaseHub) hub.constructed();
    return hub;
  } catch (error) {
    for (const hub of begun as BaseHub[]) void eliminate(hub, true);
    throw error;
  } finally {
    thread.making = outer;
  }
}

thread.makeHub = makeHub;
