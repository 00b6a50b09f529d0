/**
 * Which examples share a row: best fit in decreasing order (Johnson, Demers, Ullman, Garey and Graham 1974, within
 * 11/9 of the fewest rows): the longest first, each into the fullest row that still has room. How many rows there are
 * depends on the lengths alone, whatever the order of equal ones, so every epoch has as many.
 *
 * @param order numbers of the examples; among examples of equal length, earlier ones are placed first.
 * @param slots how many places of a row an example takes, at least 1 and at most `capacity`.
 * @param capacity places in a row.
 * @returns for each row the numbers of its examples, in the order in which they were placed.
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
  // First how many have k slots, then where those begin in the result.
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

/** Rows by the places that they have left, found by a search over a set of bits. */
class OpenRows {
  readonly #rows: number[][];
  /** Bit k: there is a row with k places left. */
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

  /** The smallest number of places of at least `needed` that some row has left; −1 where none has. */
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
