import type { TokenTable } from '../tables/token-table.ts';
import { CONTROL } from './token-types.ts';

/**
 * The merges of `mergesFromScores` as the left and right ids of each rank, without a text being made.
 *
 * @param vocabulary tokens with their positions as ids
 */
export function pairsFromScores(
  vocabulary: TokenTable,
  types: ArrayLike<number>,
  scores: ArrayLike<number>,
): Int32Array {
  const order = byScore(vocabulary.size, types, scores);
  const pairs = new Pairs(2 * vocabulary.size);
  for (let from = 0, to: number; from < order.length; from = to) {
    const score = scores[order[from]!]!;
    for (to = from + 1; to < order.length && scores[order[to]!] === score; ) to++;
    if (to === from + 1) {
      const start = pairs.count;
      // Longer left parts come first.
      vocabulary.eachCut(order[from]!, (left, right) => pairs.push(left, right));
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
  for (const { left, right } of cuts) pairs.push(left, right);
}

/** A growing list of pairs. */
class Pairs {
  #ids: Int32Array;
  count = 0;

  constructor(capacity: number) {
    this.#ids = new Int32Array(2 * capacity + 64);
  }

  push(left: number, right: number): void {
    const at = 2 * this.count++;
    if (at === this.#ids.length) {
      const larger = new Int32Array(2 * at);
      larger.set(this.#ids);
      this.#ids = larger;
    }
    this.#ids[at] = left;
    this.#ids[at + 1] = right;
  }

  /** Reverses the pairs from `start` on. */
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

  all(): Int32Array {
    return this.#ids.slice(0, 2 * this.count);
  }
}
