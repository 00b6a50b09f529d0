/** A pair of adjacent symbols and where it occurs. */
export interface Pair {
  readonly left: number;
  readonly right: number;
  /** Its current count, weighted by the frequency of words. */
  count: number;
  /** Indices of words that contain, or once contained, the pair; may repeat. */
  readonly words: number[];
}

interface Entry {
  /** The count when it was pushed; the entry is stale if the pair's count differs. */
  readonly count: number;
  readonly pair: Pair;
}

/** Higher counts first, then the smaller left id, then the smaller right id: the order is total. */
function precedes(a: Entry, b: Entry): boolean {
  if (a.count !== b.count) return a.count > b.count;
  return a.pair.left !== b.pair.left ? a.pair.left < b.pair.left : a.pair.right < b.pair.right;
}

/**
 * A binary heap of pairs by count. Counts only fall between pushes of a pair, so an entry's count is an upper
 * bound: popping corrects it lazily instead of searching the heap at each change.
 */
export class PairHeap {
  readonly #entries: Entry[] = [];

  push(pair: Pair): void {
    const entries = this.#entries;
    const entry = { count: pair.count, pair };
    let index = entries.length;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!precedes(entry, entries[parent]!)) break;
      entries[index] = entries[parent]!;
      index = parent;
    }
    entries[index] = entry;
  }

  /** Removes and returns the most frequent pair, or undefined when no pair is left. */
  pop(): Pair | undefined {
    for (;;) {
      const top = this.#removeTop();
      if (top === undefined) return undefined;
      if (top.count === top.pair.count) return top.pair;
      // A pair that rose since has a newer entry; one that fell is pushed back with its current count.
      if (top.pair.count > 0 && top.pair.count < top.count) this.push(top.pair);
    }
  }

  #removeTop(): Entry | undefined {
    const entries = this.#entries;
    const top = entries[0];
    const last = entries.pop();
    if (top === undefined || last === undefined || entries.length === 0) return top;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= entries.length) break;
      if (child + 1 < entries.length && precedes(entries[child + 1]!, entries[child]!)) child++;
      if (!precedes(entries[child]!, last)) break;
      entries[index] = entries[child]!;
      index = child;
    }
    entries[index] = last;
    return top;
  }
}
