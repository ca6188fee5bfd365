/**
 * Whether a read tries before it waits, as one connection has learned: one
 * number, to be kept with it.
 *
 * @module
 */

/** The read before may have left something, or its end: it does. */
export const MORE = -1;
/**
 * The read before took all there was. Something may have come all the same,
 * where the peer answers before we get that far; or it would be tried in vain,
 * for the price of a system call. It is done as long as it pays, ...
 */
export const PAYS = 0;
/** ... and once more after it has been in vain; then ... */
const DOUBTFUL = 1;
/** ... so many reads wait first; if it still is in vain, ... */
const FEWEST_WAITS = 8;
/** ... twice as many, up to this. */
const MOST_WAITS = 64;
/** How many they are is in the higher bits, how many are left in these. */
const LEFT = 0xff;
const TOTAL = 8;

/** The next read is one of those that wait first. */
export function waitsFirst(tries: number): boolean {
  return tries > DOUBTFUL && (tries & LEFT) !== 0;
}

/** One of them has begun. */
export function waited(tries: number): number {
  return tries - 1;
}

/** It was tried, and has `found` something, or not. */
export function tried(tries: number, found: boolean): number {
  if (tries === MORE) return MORE;
  if (found) return PAYS;
  if (tries === PAYS) return DOUBTFUL;
  const last = tries >> TOTAL;
  const waits = Math.min(MOST_WAITS, Math.max(FEWEST_WAITS, 2 * last));
  return (waits << TOTAL) + waits;
}
