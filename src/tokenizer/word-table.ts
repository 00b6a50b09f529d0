import { type Pair, PairHeap } from './pair-heap.ts';

/** A pair's key is one number; ids stay below 2^24. */
const KEY = 2 ** 24;

/** The distinct words of a text as lists of ids, with up-to-date counts of every adjacent pair. */
export class WordTable {
  /** The pairs that may be merged, by count. */
  readonly heap = new PairHeap();
  readonly #words: number[][] = [];
  readonly #counts: number[] = [];
  readonly #pairs = new Map<number, Pair>();
  readonly #joins: (left: number, right: number) => boolean;

  /**
   * @param words each word once, as its ids, with its count
   * @param joins whether a pair may ever be merged; default every pair
   */
  constructor(
    words: Iterable<readonly [symbols: number[], count: number]>,
    joins: (left: number, right: number) => boolean = () => true,
  ) {
    this.#joins = joins;
    for (const [symbols, count] of words) {
      const index = this.#words.push(symbols) - 1;
      this.#counts.push(count);
      for (let i = 1; i < symbols.length; i++) this.#add(symbols[i - 1]!, symbols[i]!, count, index);
    }
    for (const pair of this.#pairs.values()) this.heap.push(pair);
  }

  /** The pair of two ids; undefined if they were never adjacent. */
  pair(left: number, right: number): Pair | undefined {
    return this.#pairs.get(left * KEY + right);
  }

  /** Replaces the pair by `id` in every word, from left to right, and puts the pairs that rose in the heap. */
  merge(pair: Pair, id: number): void {
    const risen = new Set<Pair>();
    this.#pairs.delete(pair.left * KEY + pair.right);
    pair.count = 0;
    for (const index of new Set(pair.words)) this.#mergeInWord(pair, id, index, risen);
    this.#pushRisen(risen);
  }

  /**
   * Replaces one id with another, which may merge with its neighbors. @param words indices of the words that contain
   * it
   */
  rename(from: number, to: number, words: Iterable<number>): void {
    const risen = new Set<Pair>();
    for (const index of words) {
      const symbols = this.#words[index]!;
      const changed = symbols.map((symbol) => symbol === from);
      changed.forEach((is, i) => {
        if (is) symbols[i] = to;
      });
      for (let i = 1; i < symbols.length; i++) {
        if (!changed[i - 1] && !changed[i]) continue;
        const pair = this.#add(symbols[i - 1]!, symbols[i]!, this.#counts[index]!, index);
        if (pair) risen.add(pair);
      }
    }
    this.#pushRisen(risen);
  }

  /** Makes a whole word one id. */
  collapse(index: number, id: number): void {
    const symbols = this.#words[index]!;
    for (let i = 1; i < symbols.length; i++) this.#remove(symbols[i - 1]!, symbols[i]!, this.#counts[index]!);
    symbols.splice(0, symbols.length, id);
  }

  #pushRisen(risen: ReadonlySet<Pair>): void {
    for (const pair of risen) if (pair.count > 0) this.heap.push(pair);
  }

  #mergeInWord({ left, right }: Pair, id: number, index: number, risen: Set<Pair>): void {
    const symbols = this.#words[index]!;
    const count = this.#counts[index]!;
    let length = 0; // Length of the part already rewritten in place.
    for (let i = 0; i < symbols.length; i++) {
      const symbol = symbols[i]!;
      if (symbol !== left || symbols[i + 1] !== right) {
        symbols[length++] = symbol;
        continue;
      }
      if (length > 0) {
        const before = symbols[length - 1]!;
        this.#remove(before, left, count);
        const made = this.#add(before, id, count, index);
        if (made) risen.add(made);
      }
      const after = symbols[i + 2];
      if (after !== undefined) {
        this.#remove(right, after, count);
        const made = this.#add(id, after, count, index);
        if (made) risen.add(made);
      }
      symbols[length++] = id;
      i++;
    }
    symbols.length = length;
  }

  #add(left: number, right: number, count: number, index: number): Pair | undefined {
    if (!this.#joins(left, right)) return undefined;
    const key = left * KEY + right;
    let pair = this.#pairs.get(key);
    if (pair === undefined) {
      pair = { left, right, count: 0, words: [] };
      this.#pairs.set(key, pair);
    }
    pair.count += count;
    pair.words.push(index);
    return pair;
  }

  /** The merged pair itself is already gone from the table; its overlapping copies (`aaa`) need no count. */
  #remove(left: number, right: number, count: number): void {
    const pair = this.#pairs.get(left * KEY + right);
    if (pair) pair.count -= count;
  }
}
