/**
 * A map whose keys are descriptors.
 *
 * The system hands out the smallest free number, so descriptors are dense, and
 * a list indexed by them is the fastest map there is: several look-ups are
 * made at every event. A number far out (`dup2` may make one) goes to a `Map`.
 *
 * @module
 */

/** Numbers from here on are kept in the `Map`. */
const FAR = 65_536;

/** See the module. */
export class FdMap<T> {
  readonly #near: (T | undefined)[] = [];
  readonly #far = new Map<number, T>();
  #size = 0;

  /** How many descriptors there are. */
  get size(): number {
    return this.#size;
  }

  /** The value of a descriptor; undefined if there is none. */
  get(fd: number): T | undefined {
    const near = this.#near;
    if (fd < near.length) return near[fd];
    return fd < FAR ? undefined : this.#far.get(fd);
  }

  /** Set the value of a descriptor, which is not undefined. */
  set(fd: number, value: T): void {
    if (this.get(fd) === undefined) this.#size++;
    if (fd >= FAR) {
      this.#far.set(fd, value);
      return;
    }
    const near = this.#near;
    // Without holes: those are looked up in the prototype, too.
    while (near.length <= fd) near.push(undefined);
    near[fd] = value;
  }

  /** Forget a descriptor; true if there was something. */
  delete(fd: number): boolean {
    if (this.get(fd) === undefined) return false;
    this.#size--;
    if (fd < FAR) this.#near[fd] = undefined;
    else this.#far.delete(fd);
    return true;
  }

  /** Forget all. */
  clear(): void {
    this.#near.length = 0;
    this.#far.clear();
    this.#size = 0;
  }

  /** Call `fn` with each value; the map may be changed meanwhile. */
  forEach(fn: (value: T) => void): void {
    const near = this.#near;
    for (let fd = 0; fd < near.length; fd++) {
      const value = near[fd];
      if (value !== undefined) fn(value);
    }
    for (const value of this.#far.values()) fn(value);
  }

  /** All values; the map may be changed meanwhile. */
  values(): T[] {
    return this.entries().map(([, value]) => value);
  }

  /** All descriptors with their values; the map may be changed meanwhile. */
  entries(): [fd: number, value: T][] {
    const all: [number, T][] = [];
    this.#near.forEach((value, fd) => {
      if (value !== undefined) all.push([fd, value]);
    });
    return [...all, ...this.#far];
  }
}
