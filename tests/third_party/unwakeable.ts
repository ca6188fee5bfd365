/**
 * A hub by somebody else that can wait but not be woken: `park` and no `wake`.
 */

import { BaseHub, type Poller } from "../../hubs/mod.ts";
import { TinyPoller } from "./tiny.ts";

class UnwakeablePoller extends TinyPoller implements Poller {
  async park(timeout: number | null): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, timeout ?? 60_000));
  }
}

export class Hub extends BaseHub {
  constructor() {
    super(new UnwakeablePoller());
  }
}
