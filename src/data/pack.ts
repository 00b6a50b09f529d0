/**
 * Decides which examples share a row, by best-fit decreasing (Johnson, Demers, Ullman, Garey and Graham 1974, within
 * 11/9 of the fewest rows): the longest first, each into the fullest row with room. The number of rows depends only
 * on the lengths, so it is the same in every epoch.
 *
 * @param order indices of the examples; among examples of equal length, earlier ones are placed first.
 * @param slots how many positions of a row an example takes, at least 1 and at most `capacity`.
 * @param capacity positions in a row.
 * @returns for each row the indices of its examples, in the order in which they were placed.
 */
export function packRows(
  order: Int32Array,
  slots: (example: number) => number,
  capacity: number,
): number[][] {
  const rows: number[][] = [];
  const open = new OpenRows(capacity);
  for (const example of byDecreasingSlots(order, slots, capacity)) {
    const needed = slots(example);
    const left = open.smallestFrom(needed);
    let row: number;
    if (left < 0) {
      row = rows.push([]) - 1;
      open.add(row, capacity - needed);
    } else {
      row = open.take(left);
      open.add(row, left - needed);
    }
    rows[row]!.push(example);
  }
  return rows;
}

/** A stable counting sort, the longest first. */
function byDecreasingSlots(
  order: Int32Array,
  slots: (example: number) => number,
  capacity: number,
): Int32Array {
  // First count the examples with k slots, then compute where each count begins in the result.
  const starts = new Int32Array(capacity + 1);
  for (const example of order) starts[slots(example)]!++;
  let at = 0;
  for (let k = capacity; k >= 0; k--) {
    const count = starts[k]!;
    starts[k] = at;
    at += count;
  }
  const sorted = new Int32Array(order.length);
  for (const example of order) sorted[starts[slots(example)]!++] = example;
  return sorted;
}

/** Rows by remaining positions, found by searching a bit set. */
class OpenRows {
  readonly #rows: number[][];
  /** Bit k: there is a row with k positions left. */
  readonly #bits: Uint32Array;

  constructor(capacity: number) {
    this.#rows = Array.from({ length: capacity + 1 }, () => []);
    this.#bits = new Uint32Array((capacity >> 5) + 1);
  }

  add(row: number, left: number): void {
    if (left === 0) return;
    this.#rows[left]!.push(row);
    this.#bits[left >> 5]! |= 1 << (left & 31);
  }

  take(left: number): number {
    const rows = this.#rows[left]!;
    const row = rows.pop()!;
    if (rows.length === 0) this.#bits[left >> 5]! &= ~(1 << (left & 31));
    return row;
  }

  /** The smallest number of remaining positions that is at least `needed`; −1 if no row has that many. */
  smallestFrom(needed: number): number {
    let word = needed >> 5;
    let bits = (this.#bits[word] ?? 0) & (0xffffffff << (needed & 31));
    while (bits === 0) {
      if (++word >= this.#bits.length) return -1;
      bits = this.#bits[word]!;
    }
    return (word << 5) + 31 - Math.clz32(bits & -bits);
  }
}
