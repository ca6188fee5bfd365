/**
 * A hub by somebody else whose park is none of Deno's business: an
 * `Atomics.waitAsync`, which does not keep the process alive.
 */

import { BaseHub, type Poller } from "../../hubs/mod.ts";
import { TinyPoller } from "./tiny.ts";

class UnrefPoller extends TinyPoller implements Poller {
  readonly #cell = new Int32Array(new SharedArrayBuffer(4));

  async park(timeout: number | null): Promise<void> {
    const limit = timeout ?? Infinity;
    const { async, value } = Atomics.waitAsync(this.#cell, 0, 0, limit);
    if (async) await value;
    Atomics.store(this.#cell, 0, 0);
  }

  wake(): void {
    Atomics.store(this.#cell, 0, 1);
    Atomics.notify(this.#cell, 0);
  }
}

export class Hub extends BaseHub {
  constructor() {
    super(new UnrefPoller());
  }
}

class Unwakeable extends TinyPoller implements Poller {
  readonly #poller = new UnrefPoller();

  park(timeout: number | null): Promise<void> {
    return this.#poller.park(timeout);
  }
}

/** The same, and nothing ends its park. */
export class UnwakeableHub extends BaseHub {
  constructor() {
    super(new Unwakeable());
  }
}
