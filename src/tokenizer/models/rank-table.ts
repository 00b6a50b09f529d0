/** Bits of a slot for a rank; the others hold part of its pair's hash. */
const RANK_BITS = 25;
const RANKS = (1 << RANK_BITS) - 1;

/**
 * The ranks of pairs of tokens: a hash table with open addressing whose slots are single numbers, so that the table
 * of half a million merges fits in a processor's cache. Part of the hash in a slot tells most other pairs apart
 * without a look at the pairs themselves.
 */
export class RankTable {
  readonly #pairs: Int32Array;
  /** One more than a rank, below part of the hash; 0 in a free slot. */
  readonly slots: Int32Array;
  readonly #mask: number;

  /**
   * @param pairs the left and right ids of each rank; if a pair is listed twice, the later rank counts, as in Rust
   * @param slots those of an earlier table of the same pairs
   */
  constructor(pairs: Int32Array, slots?: Int32Array) {
    this.#pairs = pairs;
    const count = pairs.length >> 1;
    this.slots = slots ?? new Int32Array(rankSlots(count));
    this.#mask = this.slots.length - 1;
    if (slots) return;
    for (let rank = 0; rank < count; rank++) {
      const hash = hashOf(pairs[2 * rank]!, pairs[2 * rank + 1]!);
      this.slots[this.#find(hash, pairs[2 * rank]!, pairs[2 * rank + 1]!)] = (hash & ~RANKS) | (rank + 1);
    }
  }

  /** The rank of a pair; -1 if it has none. */
  get(left: number, right: number): number {
    return (this.slots[this.#find(hashOf(left, right), left, right)]! & RANKS) - 1;
  }

  /** The slot of a pair, or the free slot for it. */
  #find(hash: number, left: number, right: number): number {
    const slots = this.slots;
    const pairs = this.#pairs;
    const mask = this.#mask;
    for (let at = hash & mask; ; at = (at + 1) & mask) {
      const slot = slots[at]!;
      if (slot === 0) return at;
      if (((slot ^ hash) & ~RANKS) !== 0) continue;
      const rank = (slot & RANKS) - 1;
      if (pairs[2 * rank] === left && pairs[2 * rank + 1] === right) return at;
    }
  }
}

/** The number of slots for so many ranks: a power of two. */
export function rankSlots(ranks: number): number {
  let size = 16;
  while (size < 1.8 * ranks) size *= 2;
  return size;
}

function hashOf(left: number, right: number): number {
  let hash = Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca6b);
  hash ^= hash >>> 15;
  hash = Math.imul(hash, 0x2c1b3c6d);
  return hash ^ (hash >>> 13);
}
