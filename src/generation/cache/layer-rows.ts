import type { LayerCache } from '../../nn/attention.ts';
import type { HostTensor } from '../../runtime/executable.ts';

/** Rows that a cache starts with; it doubles when they are full. */
const FIRST_CAPACITY = 128;

/**
 * Rows that a rolling cache keeps behind its window, so that the last tokens can be taken back: as many as are guessed
 * ahead of a check at one time.
 */
const ROLLBACK = 64;

/**
 * Keys or values of one layer, of one sequence or of several: `[sequences, kv, capacity, d]`. The rows of all sequences
 * have one capacity, and each sequence fills its own from the front. Layers with a window roll: a sequence whose room is
 * full moves the rows that it needs to its front.
 */
export class LayerRows {
  #data = new Float32Array(0);
  #capacity = 0;
  /** One past the newest row, of each sequence. */
  readonly #ends: number[];
  /** Whether a sequence's rows before the first in memory have been forgotten. */
  readonly #forgot: boolean[];

  readonly #layer: LayerCache;
  readonly #sequences: number | undefined;

  /** @param sequences how many there is room for; undefined for one that is alone. */
  constructor(layer: LayerCache, sequences?: number) {
    this.#layer = layer;
    this.#sequences = sequences;
    this.#ends = new Array<number>(sequences ?? 1).fill(0);
    this.#forgot = new Array<boolean>(sequences ?? 1).fill(false);
  }

  get bytes(): number {
    return this.#data.byteLength;
  }

  /** Rows before a next token in {@link view}, of one sequence. */
  length(sequence = 0): number {
    return this.#ends[sequence]! - this.#start(sequence);
  }

  /** Makes room for `time` more rows of each of the first `count` sequences. */
  reserve(time: number, count = this.#ends.length): void {
    const full: number[] = [];
    for (let i = 0; i < count; i++) if (this.#ends[i]! + time > this.#capacity) full.push(i);
    if (full.length === 0) return;
    if (this.#layer.window === null) {
      this.#grow(Math.max(...full.map((i) => this.#ends[i]!)) + time);
      return;
    }
    // A rolling cache has as much room again as it keeps, so that rows move to the front only once in a while.
    const most = this.#behind + ROLLBACK;
    for (const i of full) {
      const kept = Math.min(this.#ends[i]!, most);
      this.#keepNewest(i, kept);
      this.#grow(kept + Math.max(time, kept >> 1), 2 * most + time);
    }
  }

  /**
   * The rows of the first `count` sequences as the engine reads them, `[count, kv, capacity, d]`. Alone, from the first
   * that a next token sees; of several, from the first that there is: the attention's window leaves out the others.
   */
  view(count = this.#ends.length): HostTensor {
    const { kvHeads, headDim } = this.#layer;
    const size = count * kvHeads * this.#capacity * headDim;
    const from = this.#start(0) * headDim;
    return { data: this.#data.subarray(from, from + size), shape: [count, kvHeads, this.#capacity, headDim] };
  }

  /** Counts rows that the engine has written behind the newest. */
  advance(time: number, sequence = 0): void {
    this.#ends[sequence]! += time;
  }

  /** Adds rows `[time, kv · d]`, for which there is room. */
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

  /** Whether the newest `count` rows can be forgotten such that all that the next token sees is still there. */
  canForget(count: number): boolean {
    const end = this.#ends[0]! - count;
    return end >= (this.#forgot[0] ? this.#behind : 0);
  }

  /** Forgets the last tokens: as many as `canForget` allows. */
  forget(count: number): void {
    this.#ends[0]! -= count;
  }

  /**
   * A sequence becomes a copy of one of others (or of these), which must be of the same layer; what is added to one does
   * not show in the other.
   *
   * @param without as many of the newest rows are left out; {@link canForget} says whether they can be.
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

  /** Rows that a query of a rolling cache can see behind it. */
  get #behind(): number {
    return this.#layer.window === null ? Number.POSITIVE_INFINITY : this.#layer.window - 1;
  }

  /** The first row of a view. */
  #start(sequence: number): number {
    return this.#sequences === undefined ? Math.max(0, this.#ends[sequence]! - this.#behind) : 0;
  }

  /** More room for all. */
  #grow(needed: number, limit = Number.POSITIVE_INFINITY): void {
    if (needed <= this.#capacity) return;
    const { kvHeads, headDim } = this.#layer;
    let capacity = Math.max(FIRST_CAPACITY, this.#capacity);
    while (capacity < needed) capacity *= 2;
    capacity = Math.max(Math.min(capacity, limit), this.#capacity);
    // A view that begins at row `start` reaches past the last head by as many rows.
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

  /** Moves the newest `count` rows of a sequence to its front. */
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
