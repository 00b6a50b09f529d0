import type { LayerCache } from '../nn/attention.ts';
import type { HostTensor } from '../runtime/executable.ts';

/** Rows that a cache starts with; it doubles when they are full. */
const FIRST_CAPACITY = 128;

/**
 * Rows that a rolling cache keeps behind its window, so that the last tokens can be taken back: as many as are guessed
 * ahead of a check at one time.
 */
export const ROLLBACK = 64;

/**
 * Keys or values of one layer, of one sequence or of several: `[sequences · kv, capacity, d]`. The rows of all
 * sequences have one capacity, and each sequence fills its own from the front.
 */
export class LayerRows {
  private data: Float32Array<ArrayBuffer>;
  private capacity = 0;
  /** Whether rows before the first in memory have been forgotten. */
  private forgot = false;
  /** One past the newest row, of each sequence. */
  private readonly ends: number[];

  /** @param sequences with more than one, nothing is forgotten: their windows begin at different rows. */
  constructor(
    private readonly layer: LayerCache,
    private readonly sequences = 1,
  ) {
    this.ends = new Array<number>(sequences).fill(0);
    this.data = new Float32Array(0);
  }

  get bytes(): number {
    return this.data.byteLength;
  }

  /** Rows that a next token sees, of one sequence. */
  length(sequence = 0): number {
    return this.ends[sequence]! - this.start(sequence);
  }

  /** Makes room for `time` more rows of one sequence, or of each. */
  reserve(time: number): void {
    const end = Math.max(...this.ends);
    if (end + time <= this.capacity) return;
    if (!this.rolls) {
      this.grow(end, end + time, Number.POSITIVE_INFINITY);
      return;
    }
    // A rolling cache has as much room again as it keeps, so that rows move to the front only once in a while.
    const most = this.behind + ROLLBACK;
    const kept = Math.min(end, most);
    if (kept < end && kept + Math.max(time, kept >> 1) <= this.capacity) this.moveToFront(end - kept, kept);
    else this.grow(kept, kept + time, 2 * most + time);
  }

  /** The rows as the engine reads them, from the first that a next token sees; `[sequences, kv, capacity, d]`. */
  view(): HostTensor {
    const { kvHeads, headDim } = this.layer;
    const size = this.sequences * kvHeads * this.capacity * headDim;
    const from = this.start(0) * headDim;
    const shape = [this.sequences, kvHeads, this.capacity, headDim];
    return { data: this.data.subarray(from, from + size), shape };
  }

  /** The rows of one sequence of several, as if it were alone. */
  sequenceView(sequence: number): HostTensor {
    const { kvHeads, headDim } = this.layer;
    const size = kvHeads * this.capacity * headDim;
    const data = this.data.subarray(sequence * size, (sequence + 1) * size);
    return { data, shape: [1, kvHeads, this.capacity, headDim] };
  }

  /** Counts rows that the engine has written behind the newest. */
  advance(time: number, sequence = 0): void {
    this.ends[sequence]! += time;
  }

  /** Adds rows `[time, kv · d]`, for which there is room. */
  append(rows: Float32Array, time: number): void {
    const { kvHeads, headDim } = this.layer;
    const width = kvHeads * headDim;
    const end = this.ends[0]!;
    for (let row = 0; row < time; row++) {
      for (let head = 0; head < kvHeads; head++) {
        const source = row * width + head * headDim;
        this.data.set(rows.subarray(source, source + headDim), (head * this.capacity + end + row) * headDim);
      }
    }
    this.advance(time);
  }

  /** Whether the newest `count` rows can be forgotten such that all that the next token sees is still there. */
  canForget(count: number, sequence = 0): boolean {
    const end = this.ends[sequence]! - count;
    return end >= (this.forgot ? this.behind : 0);
  }

  forget(count: number, sequence = 0): void {
    this.ends[sequence]! -= count;
  }

  /** A copy; what is added to one does not show in the other. */
  clone(): LayerRows {
    const copy = new LayerRows(this.layer, this.sequences);
    copy.data = this.data.slice();
    copy.capacity = this.capacity;
    copy.forgot = this.forgot;
    copy.ends.splice(0, copy.ends.length, ...this.ends);
    return copy;
  }

  private get rolls(): boolean {
    return this.layer.window !== null && this.sequences === 1;
  }

  /** Rows that a query of a rolling cache can see behind it. */
  private get behind(): number {
    return this.rolls ? this.layer.window! - 1 : Number.POSITIVE_INFINITY;
  }

  private start(sequence: number): number {
    return this.rolls ? Math.max(0, this.ends[sequence]! - this.behind) : 0;
  }

  /** More room: keeps the newest `kept` rows. */
  private grow(kept: number, needed: number, limit: number): void {
    const { kvHeads, headDim } = this.layer;
    let capacity = Math.max(FIRST_CAPACITY, this.capacity);
    while (capacity < needed) capacity *= 2;
    capacity = Math.min(capacity, limit);
    const heads = this.sequences * kvHeads;
    // A view that begins at row `start` reaches past the last head by as many rows.
    const slack = this.rolls ? capacity : 0;
    const data = new Float32Array((heads * capacity + slack) * headDim);
    const first = Math.max(...this.ends) - kept;
    for (let head = 0; head < heads; head++) {
      const from = (head * this.capacity + first) * headDim;
      data.set(this.data.subarray(from, from + kept * headDim), head * capacity * headDim);
    }
    this.data = data;
    this.capacity = capacity;
    this.drop(first);
  }

  private moveToFront(first: number, count: number): void {
    const { kvHeads, headDim } = this.layer;
    for (let head = 0; head < kvHeads; head++) {
      const base = head * this.capacity;
      this.data.copyWithin(base * headDim, (base + first) * headDim, (base + first + count) * headDim);
    }
    this.drop(first);
  }

  private drop(rows: number): void {
    if (rows === 0) return;
    for (let i = 0; i < this.ends.length; i++) this.ends[i]! -= rows;
    this.forgot = true;
  }
}
