/**
 * What a figure was measured on, without what would name the machine.
 *
 * @module
 */

/** CPU, cores, memory, kernel. */
export async function describeMachine(): Promise<Record<string, string>> {
  const cpuinfo = await Deno.readTextFile("/proc/cpuinfo").catch(() => "");
  const model = /^model name\s*:\s*(.*)$/m.exec(cpuinfo)?.[1] ?? "unknown";
  const hypervisor = /^flags.*\bhypervisor\b/m.test(cpuinfo);
  return {
    CPU: `${model}, ${Deno.build.arch}${hypervisor ? ", virtual" : ""}`,
    cores: String(navigator.hardwareConcurrency),
    memory: `${(Deno.systemMemoryInfo().total / 2 ** 30).toFixed(0)} GiB`,
    kernel: `${Deno.build.os} ${Deno.osRelease()}`,
  };
}
