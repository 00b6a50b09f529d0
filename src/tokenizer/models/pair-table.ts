/**
 * A hash table from pairs of non-negative integers to a non-negative integer, with open addressing in one typed
 * array. A `Map` would need a combined key, and boxes numbers above 2^31.
 */
export class PairTable {
  /** Left, right and value of each slot; left is -1 in a free one. */
  readonly #slots: Int32Array;
  readonly #mask: number;

  /** @param capacity the maximum number of pairs */
  constructor(capacity: number) {
    let size = 16;
    while (size < 1.5 * capacity) size *= 2;
    this.#slots = new Int32Array(4 * size).fill(-1);
    this.#mask = size - 1;
  }

  set(left: number, right: number, value: number): void {
    const at = this.#find(left, right);
    this.#slots[at] = left;
    this.#slots[at + 1] = right;
    this.#slots[at + 2] = value;
  }

  /** The value of a pair; -1 if there is none. */
  get(left: number, right: number): number {
    return this.#slots[this.#find(left, right) + 2]!;
  }

  /** The slot of a pair, or the free slot for it. */
  #find(left: number, right: number): number {
    const slots = this.#slots;
    const mask = this.#mask;
    let hash = Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca6b);
    hash ^= hash >>> 15;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const at = 4 * slot;
      const found = slots[at]!;
      if (found === -1 || (found === left && slots[at + 1] === right)) return at;
    }
  }
}
