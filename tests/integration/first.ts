/**
 * The shortest: wait for the end of any process, whoever started it, without
 * asking again and again. README opens with this.
 *
 *     deno run --allow-ffi first.ts <pid>
 */

import { trampoline } from "../../mod.ts";

const libc = Deno.dlopen("libc.so.6", {
  syscall: { parameters: ["u32", "u32", "u32"], result: "i32" },
}).symbols;

const pid = Number(Deno.args[0] ?? await example()); // any process
const pidfd = libc.syscall(434, pid, 0); // pidfd_open(2)
console.log(`Waiting for process ${pid}`);
await trampoline(pidfd, { read: true });
console.log(`Process ${pid} has ended`);

/** The pid of a process that is no child of ours and ends by itself. */
async function example(): Promise<string> {
  const args = ["-c", "sleep 0.1 > /dev/null & echo $!"];
  const { stdout } = await new Deno.Command("sh", { args }).output();
  return new TextDecoder().decode(stdout);
}
