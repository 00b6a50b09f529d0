import type { TokenTable } from './token-table.ts';

/** A heap key holds the rank of a merge above 29 bits of a position, exactly, in a float64. */
export const MAX_MERGES = 1 << 24;

/** Collects the merges of a BPE model: their two tokens, and the token that they form. */
export class MergeList {
  readonly #vocabulary: TokenTable;
  #pairs: Int32Array;
  #merged: Int32Array;
  #count = 0;
  /** The token that the merge before formed; the next one often forms the same, or the next token. */
  #last = -1;
  #isWhole = true;

  /** @param capacity merges, if known; more may be added. */
  constructor(vocabulary: TokenTable, capacity = 2 ** 17) {
    this.#vocabulary = vocabulary;
    this.#pairs = new Int32Array(2 * capacity);
    this.#merged = new Int32Array(capacity);
  }

  get count(): number {
    return this.#count;
  }

  /**
   * Adds a merge of two tokens.
   *
   * @param bytes where their texts are: `[leftStart, leftEnd)` and `[rightStart, rightEnd)`. To find what they form
   *   there, where the file is read anyway, saves looking at places all over the vocabulary. Undefined if unknown.
   */
  add(
    left: number,
    right: number,
    bytes?: Uint8Array,
    leftStart = 0,
    leftEnd = 0,
    rightStart = 0,
    rightEnd = 0,
  ): void {
    const at = this.#count++;
    if (at === this.#merged.length) this.#grow();
    this.#pairs[2 * at] = left;
    this.#pairs[2 * at + 1] = right;
    const vocabulary = this.#vocabulary;
    const last = this.#last;
    let formed = -1;
    if (bytes) {
      if (vocabulary.isJoined(last, bytes, leftStart, leftEnd, rightStart, rightEnd)) formed = last;
      else if (vocabulary.isJoined(last + 1, bytes, leftStart, leftEnd, rightStart, rightEnd))
        formed = last + 1;
    }
    if (formed < 0) formed = vocabulary.join(left, right, last);
    if (formed < 0) this.#isWhole = false;
    this.#merged[at] = formed;
    this.#last = formed;
  }

  /** The left and right token ids of each merge. */
  get pairs(): Int32Array {
    return this.#pairs.slice(0, 2 * this.#count);
  }

  /** The token that each merge forms; undefined if the vocabulary lacks one. */
  get merged(): Int32Array | undefined {
    return this.#isWhole ? this.#merged.slice(0, this.#count) : undefined;
  }

  #grow(): void {
    const [pairs, merged] = [new Int32Array(4 * this.#count), new Int32Array(2 * this.#count)];
    pairs.set(this.#pairs);
    merged.set(this.#merged);
    this.#pairs = pairs;
    this.#merged = merged;
  }
}
