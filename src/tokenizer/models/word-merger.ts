import type { Merges } from './merges.ts';

/** Positions take the low bits of a heap key; no JavaScript string is longer. */
const POSITIONS = 2 ** 29;
const REMOVED = -1;

/**
 * Merges the symbols of a piece in the order of the Rust library: the lowest rank first, ties from the left. The
 * symbols are a linked list in arrays, the pending merges a binary heap of numbers, so n symbols take O(n log n).
 */
export class WordMerger {
  readonly #merges: Merges;
  #next = new Int32Array(0);
  #previous = new Int32Array(0);
  #heap = new Float64Array(0);
  #size = 0;

  constructor(merges: Merges) {
    this.#merges = merges;
  }

  /**
   * Merges `symbols[0 … count)` in place.
   *
   * @returns how many remain, at the beginning of `symbols`
   */
  merge(symbols: Int32Array, count: number): number {
    if (count < 2) return count;
    this.#reserve(count);
    const next = this.#next;
    const previous = this.#previous;
    const merges = this.#merges;
    this.#size = 0;
    for (let at = 0; at < count; at++) {
      previous[at] = at - 1;
      next[at] = at + 1 < count ? at + 1 : -1;
      if (at + 1 < count) this.#offer(merges.rank(symbols[at]!, symbols[at + 1]!), at);
    }
    if (this.#size === 0) return count;
    while (this.#size > 0) {
      const key = this.#pop();
      const rank = Math.floor(key / POSITIONS);
      const at = key - rank * POSITIONS;
      const right = next[at]!;
      if (symbols[at] === REMOVED || right < 0) continue;
      // A stale entry is skipped, unless it still merges into the same token.
      const now = merges.rank(symbols[at]!, symbols[right]!);
      const merged = merges.merged(rank);
      if (now < 0 || merges.merged(now) !== merged) continue;
      symbols[at] = merged;
      symbols[right] = REMOVED;
      const after = next[right]!;
      next[at] = after;
      const before = previous[at]!;
      if (before >= 0) this.#offer(merges.rank(symbols[before]!, merged), before);
      if (after >= 0) {
        previous[after] = at;
        this.#offer(merges.rank(merged, symbols[after]!), at);
      }
    }
    let kept = 0;
    for (let at = 0; at >= 0; at = next[at]!) symbols[kept++] = symbols[at]!;
    return kept;
  }

  #reserve(count: number): void {
    if (this.#next.length >= count) return;
    const size = Math.max(64, 2 * count);
    this.#next = new Int32Array(size);
    this.#previous = new Int32Array(size);
    // Every merge removes a symbol and adds at most two pairs.
    this.#heap = new Float64Array(3 * size);
  }

  #offer(rank: number, position: number): void {
    if (rank < 0) return;
    const heap = this.#heap;
    const key = rank * POSITIONS + position;
    let at = this.#size++;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (heap[parent]! <= key) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = key;
  }

  #pop(): number {
    const heap = this.#heap;
    const top = heap[0]!;
    const size = --this.#size;
    const last = heap[size]!;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= size) break;
      if (child + 1 < size && heap[child + 1]! < heap[child]!) child++;
      if (heap[child]! >= last) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
    return top;
  }
}
