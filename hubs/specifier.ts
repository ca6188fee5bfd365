/**
 * Hubs by module specifier: `"<specifier>"` or `"<specifier>:<ClassName>"`.
 *
 * The trap it guards: to import what was not granted makes Deno ask, on a
 * terminal, and a program that only chose its hub stands still. So it is
 * refused before that. Off a terminal Deno never asks, and what the program
 * itself has imported needs no permission there. What the module imports in
 * turn cannot be known here.
 *
 * @module
 */

/** Whether a name is a specifier, and not that of a hub of the package. */
export function isSpecifier(text: string): boolean {
  return /[./:]/.test(text);
}

/** Split "specifier:ClassName"; a leading scheme belongs to the address. */
export function splitSpecifier(
  text: string,
): [address: string, className: string] {
  const match = /^(.*[./].*):([\p{ID_Start}$_][\p{ID_Continue}$]*)?$/su.exec(
    text,
  );
  return match === null ? [text, "Hub"] : [match[1]!, match[2] ?? "Hub"];
}

/**
 * Import relative to the main module, in a Worker to its own; a bare name by
 * the import map first.
 *
 * @throws {Error} If Deno would have to ask for a permission.
 */
export async function importSpecifier(
  address: string,
): Promise<Record<string, unknown>> {
  if (/^\.{0,2}\//.test(address)) return await load(beside(address));
  try {
    return await load(import.meta.resolve(address));
  } catch (error) {
    if (/^[a-z][a-z0-9+-]*:/i.test(address)) throw error;
    try {
      return await load(beside(address));
    } catch {
      throw error;
    }
  }
}

/** What an address leads to that is relative to the thread's main module. */
function beside(address: string): string {
  // A Worker has no main module, and its own address as its location.
  const { location } = globalThis as { location?: { href: string } };
  const base = Deno.mainModule as string | undefined ?? location?.href;
  if (address.startsWith("/") && !URL.canParse(address, base)) {
    return new URL(address, "file:///").href;
  }
  return new URL(address, base).href;
}

async function load(url: string): Promise<Record<string, unknown>> {
  assertNoPrompt(url);
  return await import(url);
}

/** What the import of a module needs, and the flag that grants it. */
function neededFor(
  url: URL,
): [need: Deno.PermissionDescriptor, flag: string] | null {
  switch (url.protocol) {
    case "file:": {
      const path = decodeURIComponent(url.pathname);
      return [{ name: "read", path }, `--allow-read=${path}`];
    }
    case "jsr:":
    case "https:":
    case "http:": {
      const port = url.port || (url.protocol === "http:" ? "80" : "443");
      const host = `${url.hostname || "jsr.io"}:${port}`;
      return [{ name: "import", host }, `--allow-import=${host}`];
    }
    default:
      return null;
  }
}

function assertNoPrompt(url: string): void {
  if (!Deno.stdin.isTerminal() || !Deno.stderr.isTerminal()) return;
  const needed = neededFor(new URL(url));
  if (needed === null) return;
  const [need, flag] = needed;
  if (Deno.permissions.querySync(need).state !== "prompt") return;
  throw new Error(`to import ${url} is not permitted, run with ${flag}`);
}
