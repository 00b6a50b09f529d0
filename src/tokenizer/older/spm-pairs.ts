import type { TokenTable } from '../tables/token-table.ts';
import { CONTROL } from './token-types.ts';

/** Merges as ids. */
export interface ScoredPairs {
  /** The left and right token ids of each rank. */
  readonly pairs: Int32Array;
  /** The token that each rank forms. */
  readonly merged: Int32Array;
}

/**
 * Merges for a SentencePiece-style vocabulary, which has only scores: every way to form a token from two others is a
 * merge, the token with the highest score first, as in Hugging Face's conversion. Ties go to the longer left part,
 * then to the longer right part.
 *
 * @param vocabulary tokens with their positions as ids
 */
export function pairsFromScores(
  vocabulary: TokenTable,
  types: ArrayLike<number>,
  scores: ArrayLike<number>,
): ScoredPairs {
  const order = byScore(vocabulary.size, types, scores);
  const pairs = new Pairs(2 * vocabulary.size);
  for (let from = 0, to: number; from < order.length; from = to) {
    const score = scores[order[from]!]!;
    for (to = from + 1; to < order.length && scores[order[to]!] === score; ) to++;
    if (to === from + 1) {
      const start = pairs.count;
      // Longer left parts come first.
      const id = order[from]!;
      vocabulary.eachCut(id, (left, right) => pairs.push(left, right, id));
      pairs.reverse(start);
    } else sameScore(vocabulary, order.subarray(from, to), pairs);
  }
  return pairs.all();
}

/** The ids of tokens that merges may form, those with the highest score first. */
function byScore(count: number, types: ArrayLike<number>, scores: ArrayLike<number>): Uint32Array {
  const ids = new Uint32Array(count);
  let kept = 0;
  let sorted = true;
  for (let id = 0; id < count; id++) {
    if (types[id] === CONTROL) continue;
    if (kept > 0 && !(scores[id]! <= scores[ids[kept - 1]!]!)) sorted = false;
    ids[kept++] = id;
  }
  const order = ids.subarray(0, kept);
  return sorted ? order : order.sort((a, b) => scores[b]! - scores[a]! || a - b);
}

/** Pairs of tokens that have the same score: the longer left part first, then the longer right part, then by ids. */
function sameScore(vocabulary: TokenTable, ids: Uint32Array, pairs: Pairs): void {
  const cuts: { left: number; right: number; id: number }[] = [];
  for (const id of ids) vocabulary.eachCut(id, (left, right) => cuts.push({ left, right, id }));
  const length = (id: number) => vocabulary.characters(id);
  cuts.sort(
    (a, b) =>
      length(b.left) - length(a.left) ||
      length(b.right) - length(a.right) ||
      a.id - b.id ||
      a.left - b.left ||
      a.right - b.right,
  );
  for (const { left, right, id } of cuts) pairs.push(left, right, id);
}

/** A growing list of pairs. */
class Pairs {
  #ids: Int32Array;
  #merged: Int32Array;
  count = 0;

  constructor(capacity: number) {
    this.#ids = new Int32Array(2 * capacity + 64);
    this.#merged = new Int32Array(capacity + 32);
  }

  push(left: number, right: number, merged: number): void {
    const at = this.count++;
    if (at === this.#merged.length) {
      this.#ids = doubled(this.#ids);
      this.#merged = doubled(this.#merged);
    }
    this.#ids[2 * at] = left;
    this.#ids[2 * at + 1] = right;
    this.#merged[at] = merged;
  }

  /** Reverses the pairs from `start` on, which form the same token. */
  reverse(start: number): void {
    const ids = this.#ids;
    for (let a = 2 * start, b = 2 * this.count - 2; a < b; a += 2, b -= 2) {
      const [left, right] = [ids[a]!, ids[a + 1]!];
      ids[a] = ids[b]!;
      ids[a + 1] = ids[b + 1]!;
      ids[b] = left;
      ids[b + 1] = right;
    }
  }

  all(): ScoredPairs {
    return { pairs: this.#ids.slice(0, 2 * this.count), merged: this.#merged.slice(0, this.count) };
  }
}

function doubled(array: Int32Array): Int32Array {
  const larger = new Int32Array(2 * array.length);
  larger.set(array);
  return larger;
}
