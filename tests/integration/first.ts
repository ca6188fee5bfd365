/**
 * The shortest: wait for the end of any process, whoever started it, without
 * asking again and again. README opens with this.
 *
 *     deno run --allow-ffi first.ts <pid>
 */

import { trampoline } from "../../mod.ts";

const libc = Deno.dlopen("libc.so.6", {
  syscall: { parameters: ["i64", "i64", "i64"], result: "i64" },
}).symbols;

const pid = BigInt(Deno.args[0]!); // any process: no child of ours
const pidfd = Number(libc.syscall(434n, pid, 0n)); // pidfd_open(2)
console.log(`Waiting for process ${pid}`);
await trampoline(pidfd, { read: true });
console.log(`Process ${pid} has ended`);
