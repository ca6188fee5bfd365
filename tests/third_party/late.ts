/**
 * A hub by somebody else whose `watch` takes any number: one that is not open
 * is told of by the sweep, as `BAD`.
 */

import { BaseHub, type Poller, type Report } from "../../hubs/mod.ts";
import { look } from "./tiny.ts";

class LatePoller implements Poller {
  readonly #watched = new Map<number, number>();

  watch(fd: number, interest: number): void {
    if (interest === 0) this.#watched.delete(fd);
    else this.#watched.set(fd, interest);
  }

  sweep(report: Report): number {
    let found = 0;
    for (const [fd, interest] of this.#watched) {
      const ready = look(fd, interest);
      if (ready === 0) continue;
      report(fd, ready);
      found++;
    }
    return found;
  }

  close(): void {
    this.#watched.clear();
  }
}

export class Hub extends BaseHub {
  constructor() {
    super(new LatePoller());
  }
}
