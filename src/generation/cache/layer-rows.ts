import type { LayerCache } from '../../nn/attention.ts';
import type { HostTensor } from '../../runtime/executable.ts';

/** Initial capacity in rows; it doubles when full. */
const FIRST_CAPACITY = 128;

/**
 * Rows that a rolling cache keeps before its window, so that it can be rewound: as many as are speculated before one
 * check.
 */
const ROLLBACK = 64;

/**
 * Keys or values of one layer, for one or several sequences: `[sequences, kv, capacity, d]`. All sequences share one
 * capacity, and each fills its own rows from the front. Layers with a window roll: a sequence that runs out of room
 * moves the rows it needs to the front.
 */
export class LayerRows {
  #data = new Float32Array(0);
  #capacity = 0;
  /** One past the newest row, per sequence. */
  readonly #ends: number[];
  /** Whether rows before the first one in memory have been dropped, per sequence. */
  readonly #forgot: boolean[];

  readonly #layer: LayerCache;
  readonly #sequences: number | undefined;

  /** @param sequences the capacity; undefined for a single sequence. */
  constructor(layer: LayerCache, sequences?: number) {
    this.#layer = layer;
    this.#sequences = sequences;
    this.#ends = new Array<number>(sequences ?? 1).fill(0);
    this.#forgot = new Array<boolean>(sequences ?? 1).fill(false);
  }

  get bytes(): number {
    return this.#data.byteLength;
  }

  /** The rows of one sequence in {@link view}, before the next token. */
  length(sequence = 0): number {
    return this.#ends[sequence]! - this.#start(sequence);
  }

  /** Makes room for `time` more rows in each of the first `count` sequences. */
  reserve(time: number, count = this.#ends.length): void {
    const full: number[] = [];
    for (let i = 0; i < count; i++) if (this.#ends[i]! + time > this.#capacity) full.push(i);
    if (full.length === 0) return;
    if (this.#layer.window === null) {
      this.#grow(Math.max(...full.map((i) => this.#ends[i]!)) + time);
      return;
    }
    // A rolling cache has as much spare room as it keeps, so that rows are moved only occasionally.
    const most = this.#behind + ROLLBACK;
    for (const i of full) {
      const kept = Math.min(this.#ends[i]!, most);
      this.#keepNewest(i, kept);
      this.#grow(kept + Math.max(time, kept >> 1), 2 * most + time);
    }
  }

  /**
   * The rows of the first `count` sequences as the engine reads them, `[count, kv, capacity, d]`. For a single
   * sequence, from the first row that the next token sees; for several, from the first stored row: the attention
   * window excludes the others.
   */
  view(count = this.#ends.length): HostTensor {
    const { kvHeads, headDim } = this.#layer;
    const size = count * kvHeads * this.#capacity * headDim;
    const from = this.#start(0) * headDim;
    return { data: this.#data.subarray(from, from + size), shape: [count, kvHeads, this.#capacity, headDim] };
  }

  /** Counts rows that the engine wrote after the newest. */
  advance(time: number, sequence = 0): void {
    this.#ends[sequence]! += time;
  }

  /** Appends rows `[time, kv · d]`, for which there must be room. */
  append(rows: Float32Array, time: number): void {
    const { kvHeads, headDim } = this.#layer;
    const width = kvHeads * headDim;
    const end = this.#ends[0]!;
    for (let row = 0; row < time; row++) {
      for (let head = 0; head < kvHeads; head++) {
        const source = row * width + head * headDim;
        this.#data.set(
          rows.subarray(source, source + headDim),
          (head * this.#capacity + end + row) * headDim,
        );
      }
    }
    this.advance(time);
  }

  /** Whether the newest `count` rows can be dropped while everything that the next token sees remains. */
  canForget(count: number): boolean {
    const end = this.#ends[0]! - count;
    return end >= (this.#forgot[0] ? this.#behind : 0);
  }

  /** Forgets the last tokens: as many as `canForget` allows. */
  forget(count: number): void {
    this.#ends[0]! -= count;
  }

  /**
   * Makes a sequence a copy of one in `other` (or in this object), which must be of the same layer. The copies are
   * independent.
   *
   * @param without the number of newest rows to leave out; {@link canForget} says whether that is possible.
   */
  copyFrom(other: LayerRows, { to = 0, from = 0, without = 0 } = {}): void {
    const { kvHeads, headDim } = this.#layer;
    const end = other.#ends[from]! - without;
    // A rolling cache need not copy more than it would keep.
    const count = Math.min(end, this.#behind + ROLLBACK);
    this.#ends[to] = 0;
    this.#grow(count);
    for (let head = 0; head < kvHeads; head++) {
      const source = ((from * kvHeads + head) * other.#capacity + end - count) * headDim;
      const target = (to * kvHeads + head) * this.#capacity * headDim;
      this.#data.set(other.#data.subarray(source, source + count * headDim), target);
    }
    this.#ends[to] = count;
    this.#forgot[to] = other.#forgot[from]! || count < end;
  }

  /** Rows before a query that a rolling cache must keep. */
  get #behind(): number {
    return this.#layer.window === null ? Number.POSITIVE_INFINITY : this.#layer.window - 1;
  }

  /** The first row of a view. */
  #start(sequence: number): number {
    return this.#sequences === undefined ? Math.max(0, this.#ends[sequence]! - this.#behind) : 0;
  }

  /** Grows the memory of all sequences. */
  #grow(needed: number, limit = Number.POSITIVE_INFINITY): void {
    if (needed <= this.#capacity) return;
    const { kvHeads, headDim } = this.#layer;
    let capacity = Math.max(FIRST_CAPACITY, this.#capacity);
    while (capacity < needed) capacity *= 2;
    capacity = Math.max(Math.min(capacity, limit), this.#capacity);
    // A view that begins at row `start` extends past the last head by as many rows.
    const slack = this.#layer.window !== null && this.#sequences === undefined ? capacity : 0;
    const data = new Float32Array((this.#ends.length * kvHeads * capacity + slack) * headDim);
    for (let i = 0; i < this.#ends.length; i++) {
      for (let head = i * kvHeads; head < (i + 1) * kvHeads; head++) {
        const from = head * this.#capacity * headDim;
        data.set(this.#data.subarray(from, from + this.#ends[i]! * headDim), head * capacity * headDim);
      }
    }
    this.#data = data;
    this.#capacity = capacity;
  }

  /** Moves the newest `count` rows of a sequence to the front. */
  #keepNewest(sequence: number, count: number): void {
    const { kvHeads, headDim } = this.#layer;
    const first = this.#ends[sequence]! - count;
    if (first === 0) return;
    for (let head = sequence * kvHeads; head < (sequence + 1) * kvHeads; head++) {
      const base = head * this.#capacity;
      this.#data.copyWithin(base * headDim, (base + first) * headDim, (base + first + count) * headDim);
    }
    this.#ends[sequence] = count;
    this.#forgot[sequence] = true;
  }
}
