import type { HostTensor } from '../../runtime/executable.ts';
import { LayerRows } from './layer-rows.ts';

/** Rows in the memory of the process. */
export class HostRows extends LayerRows {
  #data = new Float32Array(0);

  get bytes(): number {
    return this.#data.byteLength;
  }

  override length(sequence = 0): number {
    return this.ends[sequence]! - this.#start(sequence);
  }

  /** For a single sequence, from the first row that the next token sees; for several, from the first stored row. */
  view(count = this.ends.length): HostTensor {
    const { kvHeads, headDim } = this.layer;
    const size = count * kvHeads * this.capacity * headDim;
    const from = this.#start(0) * headDim;
    return { data: this.#data.subarray(from, from + size), shape: [count, kvHeads, this.capacity, headDim] };
  }

  append(rows: Float32Array, time: number): void {
    const { kvHeads, headDim } = this.layer;
    const width = kvHeads * headDim;
    const end = this.ends[0]!;
    for (let row = 0; row < time; row++) {
      for (let head = 0; head < kvHeads; head++) {
        const source = row * width + head * headDim;
        this.#data.set(rows.subarray(source, source + headDim), (head * this.capacity + end + row) * headDim);
      }
    }
    this.advance(time);
  }

  protected free(): void {}

  /** Sequences that do not run keep their room. */
  protected resize(capacity: number): void {
    if (capacity <= this.capacity) return;
    const { kvHeads, headDim, window } = this.layer;
    // A view that begins at row `start` extends past the last head by as many rows.
    const slack = window !== null && this.sequences === undefined ? capacity : 0;
    const data = new Float32Array((this.ends.length * kvHeads * capacity + slack) * headDim);
    for (let i = 0; i < this.ends.length; i++) {
      for (let head = i * kvHeads; head < (i + 1) * kvHeads; head++) {
        const from = head * this.capacity * headDim;
        data.set(this.#data.subarray(from, from + this.ends[i]! * headDim), head * capacity * headDim);
      }
    }
    this.#data = data;
    this.capacity = capacity;
  }

  protected moveToFront(sequence: number, count: number): void {
    const { kvHeads, headDim } = this.layer;
    const first = this.ends[sequence]! - count;
    for (let head = sequence * kvHeads; head < (sequence + 1) * kvHeads; head++) {
      const base = head * this.capacity;
      this.#data.copyWithin(base * headDim, (base + first) * headDim, (base + first + count) * headDim);
    }
  }

  protected copyRows(other: this, from: number, end: number, count: number, to: number): void {
    const { kvHeads, headDim } = this.layer;
    for (let head = 0; head < kvHeads; head++) {
      const source = ((from * kvHeads + head) * other.capacity + end - count) * headDim;
      const target = (to * kvHeads + head) * this.capacity * headDim;
      this.#data.set(other.#data.subarray(source, source + count * headDim), target);
    }
  }

  /** The first row of a view. */
  #start(sequence: number): number {
    return this.sequences === undefined ? Math.max(0, this.ends[sequence]! - this.behind) : 0;
  }
}
