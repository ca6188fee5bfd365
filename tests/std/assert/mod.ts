/**
 * `@std/assert` for machines that reach npm and not JSR: the same functions,
 * from an npm build of the same sources. `deno.json` links this folder in place
 * of the real package; the config of the task `test:jsr` does not.
 *
 * The npm build carries no types, so they are declared beside it. What is not
 * declared there is not part of the package as the tests know it.
 *
 * @module
 */

// @ts-types="./assert.d.ts"
export * from "npm:deno-std@1.4.0/assert/mod.js";
