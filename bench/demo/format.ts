/**
 * Numbers as text: with units, and as pictures of one line.
 *
 * @module
 */

const SPARKS = "▁▂▃▄▅▆▇█";
const EIGHTHS = " ▏▎▍▌▋▊▉";

const english = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });

/** A whole number, its thousands set apart. */
export function whole(value: number): string {
  return english.format(value);
}

/** So many of something. */
export function counted(n: number, what: string, plural = "s"): string {
  return `${whole(n)} ${what}${n === 1 ? "" : plural}`;
}

/** A percentage. */
export function percent(value: number): string {
  return `${short(value)} %`;
}

/** A time. */
export function milliseconds(value: number): string {
  return `${short(value)} ms`;
}

/** One decimal, and from ten on none. */
export function short(value: number): string {
  return value.toFixed(value < 9.95 ? 1 : 0);
}

/** A part of 1 as a bar that knows eighths of a character. */
export function bar(part: number, width: number): string {
  const eighths = Math.round(part * width * 8);
  const full = "█".repeat(Math.floor(eighths / 8));
  const rest = eighths % 8 === 0 ? "" : EIGHTHS[eighths % 8]!;
  return (full + rest).padEnd(width);
}

/** The last `width` numbers as a line of little columns. */
export function sparkline(values: readonly number[], width: number): string {
  const last = values.slice(-width);
  const most = Math.max(1, ...last);
  return last.map((v) => SPARKS[Math.floor(v / most * 7)]!).join("");
}
