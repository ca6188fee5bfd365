/**
 * What the demo shows: a table of the hubs, and below it what the hub at work
 * is doing. On a terminal it is drawn in place; elsewhere every finished piece
 * is a plain line.
 *
 * The trap it guards: a line that wraps breaks drawing in place. All lines fit
 * into 80 columns, and a smaller terminal gets the plain form.
 *
 * @module
 */

import { Beat } from "./beat.ts";
import { MESSAGE_SIZE } from "./echo.ts";
import {
  bar,
  counted,
  milliseconds,
  percent,
  short,
  sparkline,
  whole,
} from "./format.ts";
import { RHYTHM, type Score, type Stage } from "./stage.ts";

/** How a hub stands. */
export interface Row {
  readonly name: string;
  /** How it went; while it is at work or waiting: null. */
  score: Score | null;
  /** Why there will be no score. */
  missing: string | null;
}

const FEWEST_COLUMNS = 80;
const FEWEST_ROWS = 20;

const COLUMNS: readonly (readonly [title: string, width: number])[] = [
  ["hub", 8],
  ["messages/s", 10],
  ["wakes", 9],
  ["parks", 5],
  ["idle", 5],
  ["busy", 5],
  ["late", 7],
  ["fetches", 7],
];
/** What the columns take, with two blanks before each. */
const TABLE_WIDTH = COLUMNS.reduce((sum, [, width]) => sum + width + 2, 0);
const BAR_COLUMN = 2;
const LONGEST_BAR = 24;

const LEGEND = [
  "wakes: descriptors found ready · parks: times the hub had nothing to do",
  "idle, busy: CPU with all connections idle, and under load",
  `late: Deno's setInterval(${Beat.PERIOD}) under load · fetches: answered by Deno.serve`,
];

const CSI = "\x1b[";

/** Draws; or, without a terminal, prints. */
export class Screen implements Disposable {
  readonly live: boolean;
  readonly #rows: readonly Row[];
  readonly #barWidth: number;
  readonly #colours: boolean;
  #drawn = 0;

  /** Take over stdout. */
  constructor(rows: readonly Row[]) {
    const size = terminalSize();
    this.#rows = rows;
    this.live = size !== null && size.columns >= FEWEST_COLUMNS &&
      size.rows >= FEWEST_ROWS;
    this.#colours = this.live && !Deno.noColor;
    this.#barWidth = this.live
      ? Math.min(LONGEST_BAR, size!.columns - TABLE_WIDTH - 2)
      : 0;
    if (this.live) write(`${CSI}?25l`);
  }

  /** A line that stays. */
  print(text: string): void {
    write(`${text}\n`);
  }

  /** Draw everything anew, where it was. */
  draw(stage: Stage): void {
    if (!this.live) return;
    this.#replace([...this.#table(stage), "", ...this.#panel(stage)]);
  }

  /** A hub has finished. */
  finish(stage: Stage): void {
    if (!this.live) this.print(this.#panel(stage).join("\n") + "\n");
  }

  /** The table as it stands at the end. */
  summary(): void {
    const legend = LEGEND.map((line) => this.#dim(`  ${line}`));
    this.#replace([...this.#table(null), "", ...legend, ""]);
    this.#drawn = 0;
  }

  /** Give the cursor back. */
  [Symbol.dispose](): void {
    if (this.live) write(`${CSI}?25h`);
  }

  #replace(lines: readonly string[]): void {
    const up = this.#drawn > 0 ? `\r${CSI}${this.#drawn}A` : "";
    const clear = this.live ? `${CSI}K` : "";
    const text = lines.map((line) => `${line}${clear}\n`).join("");
    write(up + text + (this.live ? `${CSI}J` : ""));
    this.#drawn = lines.length;
  }

  #table(stage: Stage | null): string[] {
    const head = COLUMNS.map(([title], i) => pad(title, i));
    const best = Math.max(1, ...this.#rows.map((r) => r.score?.rate ?? 0));
    if (this.#barWidth > 0) {
      head.splice(BAR_COLUMN, 0, "".padEnd(this.#barWidth));
    }
    return [
      this.#dim(`  ${head.join("  ").trimEnd()}`),
      ...this.#rows.map((row) => this.#row(row, best, stage)),
    ];
  }

  #row({ name, score, missing }: Row, best: number, stage: Stage | null) {
    if (score === null) {
      const now = stage?.hub.name === name && stage.phase !== "done";
      const label = pad(name, 0);
      if (now) return this.#bold(`▸ ${label}  at work`);
      return this.#dim(`  ${label}  ${missing ?? "waiting"}`);
    }
    const { rate, wakes, parks, idleCpu, busyCpu, late, fetches } = score;
    const [hub, ...cells] = [
      name,
      whole(rate),
      whole(wakes),
      whole(parks),
      percent(idleCpu),
      percent(busyCpu),
      milliseconds(late),
      fetches === null ? "–" : whole(fetches),
    ].map(pad);
    if (this.#barWidth > 0) {
      cells.splice(1, 0, this.#cyan(bar(rate / best, this.#barWidth)));
    }
    return `  ${this.#bold(hub!)}  ${cells.join("  ")}`;
  }

  #panel(stage: Stage): string[] {
    const { hub, phase, options, beat, samples } = stage;
    const { connections, url } = options;
    const what = {
      opening: "opening",
      idle: "all connections idle",
      busy: "under load",
      done: "",
    }[phase];
    const left = phase === "done"
      ? ""
      : `, ${(stage.left / 1000).toFixed(1)} s left`;
    const trend = this.live ? this.#cyan(sparkline(samples, 20)) : "";
    const lines = [
      line(
        "timerfd",
        `due every ${RHYTHM.timer} ms`,
        counted(stage.ticks, "tick"),
      ),
      line(
        "inotify",
        `a new file every ${RHYTHM.files} ms`,
        counted(stage.files, "event"),
        stage.lastFile,
      ),
      line(
        "pipe",
        `drained every ${RHYTHM.pipe} ms`,
        `${(stage.bytes / 2 ** 20).toFixed(1)} MiB`,
        `full ${counted(stage.brims, "time")}`,
      ),
      line(
        "TCP",
        `${counted(connections, "client")}, ${MESSAGE_SIZE} bytes`,
        counted(stage.messages, "echo", "es"),
        trend,
      ),
      line(
        "setInterval",
        `due every ${Beat.PERIOD} ms`,
        counted(beat.beats, "beat"),
        `${short(beat.late)} ms late, worst ${short(beat.worst)}`,
      ),
    ];
    if (url !== null) {
      lines.push(
        line(
          "fetch",
          `Deno.serve, ${RHYTHM.fetch} ms apart`,
          counted(stage.fetches, "answer"),
        ),
      );
    }
    const title = `  ${this.#bold(hub.name)} ${this.#dim(what + left)}`;
    return [title.trimEnd(), ...lines];
  }

  #bold(text: string): string {
    return this.#colours ? `${CSI}1m${text}${CSI}0m` : text;
  }

  #dim(text: string): string {
    return this.#colours ? `${CSI}2m${text}${CSI}0m` : text;
  }

  #cyan(text: string): string {
    return this.#colours ? `${CSI}36m${text}${CSI}0m` : text;
  }
}

/** The terminal's size; null if stdout is none. */
function terminalSize(): { columns: number; rows: number } | null {
  if (!Deno.stdout.isTerminal()) return null;
  try {
    return Deno.consoleSize();
  } catch {
    return null;
  }
}

function write(text: string): void {
  const bytes = new TextEncoder().encode(text);
  for (let at = 0; at < bytes.length;) {
    at += Deno.stdout.writeSync(bytes.subarray(at));
  }
}

/** A cell of column `i`: words to the left, numbers to the right. */
function pad(text: string, i: number): string {
  const width = COLUMNS[i]![1];
  return i === 0 ? text.padEnd(width) : text.padStart(width);
}

/** A line of at most 80 columns, if `more` has no more than 22. */
function line(name: string, how: string, count: string, more = ""): string {
  const text = `  ${name.padEnd(12)}${how.padEnd(25)}${count.padStart(17)}`;
  return more === "" ? text : `${text}  ${more}`;
}
