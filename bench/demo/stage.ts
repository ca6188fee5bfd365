/**
 * One hub at work: everything is opened, watched for a while with nothing much
 * to do, then loaded, then closed again. What it did becomes a score.
 *
 * Greenthreads are killed before their descriptors are closed, so that none is
 * caught halfway, however the run ends.
 *
 * @module
 */

import {
  type BaseHub,
  getHub,
  type GreenThread,
  kill,
  sleep,
  spawn,
} from "../../mod.ts";
import { Beat } from "./beat.ts";
import { serve, Socket, talk } from "./echo.ts";
import { cpuTime, type Descriptor } from "./libc.ts";
import {
  countFiles,
  countTicks,
  drain,
  fill,
  openPipe,
  openTimer,
  openWatch,
  type Seen,
  TempFolder,
  touchFiles,
} from "./sources.ts";

/** The quiet part of a run. */
const QUIET_PART = 0.25;
/** How often progress is shown and sampled, ms. */
const FRAME = 100;
/** The sources' own rhythm, ms. */
export const RHYTHM = { timer: 100, files: 50, pipe: 25, fetch: 5 } as const;

/** What a hub achieved. */
export interface Score {
  readonly hub: string;
  /** Echoes that came back, and how many a second. */
  readonly messages: number;
  readonly rate: number;
  /** Descriptors found ready and listeners called. */
  readonly wakes: number;
  /** Times the hub had nothing to do and parked. */
  readonly parks: number;
  /** CPU in percent of one core: with all connections idle, and under load. */
  readonly idleCpu: number;
  readonly busyCpu: number;
  /** How late Deno's setInterval was under load, ms. */
  readonly late: number;
  /** Answers of Deno.serve to fetch; null without it. */
  readonly fetches: number | null;
}

/** How a run is set up. */
export interface StageOptions {
  readonly connections: number;
  readonly seconds: number;
  /** Where Deno.serve listens; null: leave it out. */
  readonly url: string | null;
  /** Ends the run early. */
  readonly signal: AbortSignal;
}

/** A run on the hub that `useHub` chose, and all there is to show of it. */
export class Stage implements Seen {
  readonly hub: BaseHub = getHub();
  readonly options: StageOptions;
  readonly beat: Beat = new Beat();
  /** Messages in each frame so far. */
  readonly samples: number[] = [];
  phase: "opening" | "idle" | "busy" | "done" = "opening";
  ticks = 0;
  files = 0;
  lastFile = "";
  bytes = 0;
  messages = 0;
  fetches = 0;
  #pipe: Descriptor | null = null;
  #end = 0;

  readonly #threads: GreenThread[] = [];
  readonly #owned = new DisposableStack();

  /** Set up a run. Nothing is opened yet. */
  constructor(options: StageOptions) {
    this.options = options;
  }

  /** How often the pipe was full. */
  get brims(): number {
    return this.#pipe?.waitsToWrite ?? 0;
  }

  /** How long it will go on, ms. */
  get left(): number {
    return Math.max(0, this.#end - performance.now());
  }

  /** Run. `onFrame` is called ten times a second. */
  async run(onFrame: () => void): Promise<Score> {
    const { seconds } = this.options;
    try {
      this.#openSources();
      const clients = await this.#openClients();
      this.phase = "idle";
      this.#end = performance.now() + seconds * 1000;
      const idleCpu = await this.#watch(seconds * QUIET_PART, onFrame);

      this.phase = "busy";
      this.beat.reset();
      const count = (): void => {
        this.messages++;
      };
      for (const client of clients) this.#spawn(talk, client, count);
      const stopFetching = this.#fetch();
      const started = performance.now();
      const busyCpu = await this.#watch(seconds * (1 - QUIET_PART), onFrame);
      const elapsed = performance.now() - started;
      const score = this.#score(idleCpu, busyCpu, elapsed);
      await stopFetching();
      return score;
    } finally {
      await this.#close();
      this.phase = "done";
    }
  }

  #openSources(): void {
    const own = this.#owned;
    const timer = own.use(openTimer(RHYTHM.timer));
    const folder = own.use(new TempFolder());
    const watch = own.use(openWatch(folder));
    const [reader, writer] = openPipe();
    own.use(reader);
    own.use(writer);
    this.#pipe = writer;
    own.use(this.beat.start());

    this.#spawn(countTicks, timer, this);
    this.#spawn(countFiles, watch, this);
    this.#spawn(touchFiles, folder, RHYTHM.files);
    this.#spawn(drain, reader, RHYTHM.pipe, this);
    this.#spawn(fill, writer);
  }

  async #openClients(): Promise<Socket[]> {
    const listener = this.#owned.use(Socket.open()).listen();
    this.#spawn(serve, listener, (socket, handler) => {
      this.#owned.use(socket);
      this.#threads.push(handler);
    });
    const clients: Socket[] = [];
    const connecting: GreenThread[] = [];
    for (let i = 0; i < this.options.connections; i++) {
      const socket = this.#owned.use(Socket.open());
      clients.push(socket);
      connecting.push(spawn(() => socket.connect(listener.port)));
    }
    for (const thread of connecting) await thread.wait();
    return clients;
  }

  /** Spawn a greenthread that is killed at the end. */
  #spawn<A extends unknown[]>(
    fn: (...args: A) => Promise<void>,
    ...args: A
  ): void {
    this.#threads.push(spawn(fn, ...args));
  }

  /** Look on for so many seconds; returns the CPU used, in percent. */
  async #watch(seconds: number, onFrame: () => void): Promise<number> {
    const started = performance.now();
    const cpu = cpuTime();
    let messages = this.messages;
    while (
      performance.now() - started < seconds * 1000 &&
      !this.options.signal.aborted
    ) {
      await sleep(FRAME);
      if (this.phase === "busy") this.samples.push(this.messages - messages);
      messages = this.messages;
      onFrame();
    }
    return 100 * (cpuTime() - cpu) / (performance.now() - started);
  }

  /** Ask Deno.serve, pause, ask again; returns what ends that. */
  #fetch(): () => Promise<void> {
    const { url } = this.options;
    if (url === null) return () => Promise.resolve();
    const stop = new AbortController();
    const asking = (async () => {
      while (!stop.signal.aborted) {
        const response = await fetch(url);
        await response.text();
        if (response.ok) this.fetches++;
        await new Promise((resolve) => setTimeout(resolve, RHYTHM.fetch));
      }
    })();
    return () => {
      stop.abort();
      return asking;
    };
  }

  #score(idleCpu: number, busyCpu: number, elapsed: number): Score {
    const { events, parks } = this.hub.statistics();
    return {
      hub: this.hub.name,
      messages: this.messages,
      rate: this.messages / (elapsed / 1000),
      wakes: events,
      parks,
      idleCpu,
      busyCpu,
      late: this.beat.late,
      fetches: this.options.url === null ? null : this.fetches,
    };
  }

  async #close(): Promise<void> {
    await Promise.all(this.#threads.map((thread) => kill(thread)));
    this.#owned.dispose();
    await this.hub.close();
  }
}
