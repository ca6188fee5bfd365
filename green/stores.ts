/**
 * How a queue keeps its items: in order of arrival, newest first, or by
 * priority.
 *
 * The trap it guards: a comparison that throws half way. It must leave the
 * store as it was, so everything is compared before anything is moved.
 *
 * @module
 */

/** What a queue needs of its store. */
export interface Store<T> {
  /** How many items it holds. */
  readonly size: number;
  /** Put an item in; if this throws, nothing has changed. */
  push(item: T): void;
  /** Take out the item whose turn it is; if this throws, nothing has changed. */
  shift(): T;
  /** Put an item back whose turn it was. Never throws. */
  unshift(item: T): void;
  /** Whether `a`, just arrived, goes before `b`. Absent: never. */
  before?(a: T, b: T): boolean;
}

/** Cleared slots at the front after which the array is cut. */
const SLACK = 1024;

/** First in, first out; both ends in constant time. */
export class FifoStore<T> implements Store<T> {
  #items: (T | undefined)[] = [];
  #head = 0;

  /** How many items it holds. */
  get size(): number {
    return this.#items.length - this.#head;
  }

  /** Put an item at the end. */
  push(item: T): void {
    this.#items.push(item);
  }

  /** Take the oldest. */
  shift(): T {
    const items = this.#items;
    const item = items[this.#head] as T;
    items[this.#head++] = undefined;
    if (this.#head === items.length) {
      this.#items = [];
      this.#head = 0;
    } else if (this.#head >= SLACK && this.#head * 2 >= items.length) {
      this.#items = items.slice(this.#head);
      this.#head = 0;
    }
    return item;
  }

  /** Put an item before the oldest. */
  unshift(item: T): void {
    if (this.#head > 0) this.#items[--this.#head] = item;
    else this.#items.unshift(item);
  }
}

/** Last in, first out. */
export class LifoStore<T> implements Store<T> {
  readonly #items: T[] = [];

  /** How many items it holds. */
  get size(): number {
    return this.#items.length;
  }

  /** Put an item on top. */
  push(item: T): void {
    this.#items.push(item);
  }

  /** Take the newest. */
  shift(): T {
    return this.#items.pop() as T;
  }

  /** Put an item on top again. */
  unshift(item: T): void {
    this.#items.push(item);
  }

  /** The newest goes first. */
  before(): boolean {
    return true;
  }
}

/** Negative: `a` comes first; positive: `b` does; 0: in order of arrival. */
export type Comparator<T> = (a: T, b: T) => number;

/**
 * The order of a priority queue: as `<` has it, and arrays element by element.
 *
 * @throws {TypeError} If neither is less than, nor equal to the other.
 * @internal
 */
export function naturalOrder(a: unknown, b: unknown): number {
  if (Array.isArray(a) && Array.isArray(b)) {
    const length = Math.min(a.length, b.length);
    for (let i = 0; i < length; i++) {
      const order = naturalOrder(a[i], b[i]);
      if (order !== 0) return order;
    }
    return a.length - b.length;
  }
  const [x, y] = [a as number, b as number];
  if (x < y) return -1;
  if (y < x) return 1;
  if (Object.is(x, y) || x <= y) return 0;
  throw new TypeError(
    `Cannot order a ${typeof a} and a ${typeof b}: neither is less or equal`,
  );
}

interface Entry<T> {
  readonly item: T;
  /** Makes equal priorities first come, first served. */
  readonly sequence: number;
}

/** Lowest first: a binary heap. */
export class HeapStore<T> implements Store<T> {
  readonly #heap: Entry<T>[] = [];
  readonly #compare: Comparator<T>;
  #newest = 0;
  #oldest = 0;

  /** Make one with an order of its own. */
  constructor(compare: Comparator<T> = naturalOrder) {
    this.#compare = compare;
  }

  /** How many items it holds. */
  get size(): number {
    return this.#heap.length;
  }

  /** Put an item where its priority says. */
  push(item: T): void {
    this.#insert({ item, sequence: ++this.#newest });
  }

  /** Take the lowest. */
  shift(): T {
    const heap = this.#heap;
    const top = heap[0]!;
    const last = heap[heap.length - 1]!;
    const path = this.#pathDown(last, heap.length - 1);
    heap.pop();
    if (last !== top) this.#move(last, 0, path);
    return top.item;
  }

  /** Put the lowest back, before its equals. */
  unshift(item: T): void {
    const entry = { item, sequence: --this.#oldest };
    try {
      this.#insert(entry);
    } catch {
      // Its order cannot be told any more, but it must not be lost.
      this.#heap.push(entry);
    }
  }

  /** A lower one goes first. */
  before(a: T, b: T): boolean {
    return this.#compare(a, b) < 0;
  }

  #insert(entry: Entry<T>): void {
    const heap = this.#heap;
    const path: number[] = [];
    for (let at = heap.length; at > 0;) {
      at = (at - 1) >> 1;
      if (!this.#less(entry, heap[at]!)) break;
      path.push(at);
    }
    heap.push(entry);
    this.#move(entry, heap.length - 1, path);
  }

  /** Where `entry` would sink to from the top, in the first `length`. */
  #pathDown(entry: Entry<T>, length: number): number[] {
    const heap = this.#heap;
    const path: number[] = [];
    for (let at = 0;;) {
      let below = 2 * at + 1;
      if (below >= length) return path;
      const right = heap[below + 1]!;
      if (below + 1 < length && this.#less(right, heap[below]!)) below++;
      if (!this.#less(heap[below]!, entry)) return path;
      path.push(below);
      at = below;
    }
  }

  /** Move all on `path` one on, and `entry` to its end. */
  #move(entry: Entry<T>, from: number, path: readonly number[]): void {
    let hole = from;
    for (const at of path) {
      this.#heap[hole] = this.#heap[at]!;
      hole = at;
    }
    this.#heap[hole] = entry;
  }

  #less(a: Entry<T>, b: Entry<T>): boolean {
    const order = this.#compare(a.item, b.item);
    return order < 0 || (order === 0 && a.sequence < b.sequence);
  }
}
