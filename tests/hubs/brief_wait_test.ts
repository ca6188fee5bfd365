/** The bets of a brief wait, by a clock of the tests' own. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  BriefWait,
  type BriefWaitOptions,
  DENOS,
} from "../../hubs/brief_wait.ts";
import type { Poller } from "../../hubs/poller.ts";

/** What a question takes, ms. */
const QUESTION = 0.001;

/** Something comes, but only to who asks (0 ms), or to who sleeps. */
class Bets implements Poller {
  now = 0;
  awake = false;
  asleep = false;
  /** Whoever asks is answered so long after the wait began, ms. */
  delay = 0;
  #start = 0;
  asked = 0;
  slept = 0;

  watch(): void {}

  sweep(): number {
    return 0;
  }

  close(): void {}

  linger(timeout: number): boolean {
    if (timeout > 0) {
      this.slept++;
      this.now += this.asleep ? Math.min(timeout, 0.02) : timeout;
      return this.asleep;
    }
    this.asked++;
    this.now += QUESTION;
    return this.awake && this.now - this.#start >= this.delay;
  }

  brief(options: BriefWaitOptions): BriefWait {
    return new BriefWait(this, {
      giveWay() {},
      clock: () => this.now,
      ...options,
    });
  }

  /** So many occasions; how many waits were made. */
  wait(brief: BriefWait, occasions: number): number {
    let made = 0;
    for (let i = 0; i < occasions; i++) {
      if (!brief.pays()) continue;
      made++;
      this.#start = this.now;
      brief.wait(Infinity);
    }
    return made;
  }
}

Deno.test("BriefWait stays where it pays and is left out where it does not", () => {
  const bets = new Bets();
  const brief = bets.brief({ longest: 0.05 });
  bets.awake = true;
  assertEquals(bets.wait(brief, 100), 100);
  bets.awake = false;
  assert(bets.wait(brief, 10_000) < 40, "bets on nothing");
  bets.awake = true;
  bets.wait(brief, 5_000);
  assertEquals(bets.wait(brief, 100), 100);
});

Deno.test("BriefWait sleeps where asking does not pay", () => {
  const bets = new Bets();
  const brief = bets.brief({ longest: 0.05 });
  bets.asleep = true;
  bets.wait(brief, 1000);
  assert(bets.slept > 900, `slept ${bets.slept} times`);
  bets.awake = true;
  bets.wait(brief, 100_000);
  bets.asked = 0;
  bets.slept = 0;
  bets.wait(brief, 100);
  assertEquals([bets.asked, bets.slept], [100, 0]);
});

Deno.test("BriefWait asks only where the answer is worth the asking", () => {
  const bets = new Bets();
  bets.awake = true;
  bets.asleep = true;
  // Comes in time, but asking for it takes longer than sleeping.
  bets.delay = 0.04;
  const brief = bets.brief({ longest: 0.5 });
  assertEquals(bets.wait(brief, 1000), 1000);
  assert(bets.slept > 900, `slept ${bets.slept} times`);
});

Deno.test("BriefWait gives way to whoever has the answer", () => {
  for (const took of [0.001, 0.1, 0.19]) {
    const bets = new Bets();
    let given = 0;
    const brief = bets.brief({
      longest: 0.2,
      // However long it takes: it would have been waited for.
      giveWay() {
        given++;
        bets.now += took;
        bets.awake = true;
      },
    });
    for (let i = 0; i < 100; i++) {
      bets.awake = false;
      // Asking is in vain, and dear; so it is only tried now and then.
      bets.wait(brief, 1);
    }
    assert(given > 90, `gave way ${given} times`);
    assertEquals(bets.slept, 0);
  }
});

Deno.test("BriefWait does not give way to those who keep the processor", () => {
  for (const answered of [false, true]) {
    const bets = new Bets();
    bets.asleep = true;
    let given = 0;
    const brief = bets.brief({
      longest: 0.2,
      giveWay() {
        given++;
        bets.now += 1;
        bets.awake = answered;
      },
    });
    for (let i = 0; i < 1000; i++) {
      bets.awake = false;
      bets.wait(brief, 1);
    }
    assert(given < 12, `gave way ${given} times`);
    assert(bets.slept > 900, `slept ${bets.slept} times`);
  }
});

Deno.test("BriefWait does not lose when it is Deno's I/O that wakes it", () => {
  const bets = new Bets();
  let woken = 0;
  const brief = bets.brief({
    longest: 0.2,
    sleep() {
      woken++;
      return DENOS;
    },
  });
  // Asks once, in vain, which is dear enough to sleep from then on.
  brief.wait(Infinity);
  for (let i = 0; i < 7; i++) {
    assert(brief.pays());
    assertEquals(brief.wait(Infinity), false);
  }
  assertEquals(woken, 7);
});

Deno.test("BriefWait can be switched off, and is never above 1 ms", () => {
  assertEquals(new BriefWait(new Bets(), { longest: 0 }).pays(), false);
  for (const longest of [1, 5, Infinity]) {
    const bets = new Bets();
    let most = 0;
    const brief = bets.brief({
      longest,
      sleep(ms) {
        most = Math.max(most, ms);
        return 0;
      },
    });
    bets.wait(brief, 200);
    assertEquals(most, 1);
  }
  for (const longest of [NaN, -1]) {
    assertThrows(
      () => new BriefWait(new Bets(), { longest }),
      RangeError,
      "briefWait",
    );
  }
});
