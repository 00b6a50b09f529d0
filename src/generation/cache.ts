import { RopewalkError } from '../errors.ts';
import type { LayerCache } from '../nn/attention.ts';
import { cacheKind } from '../nn/attention.ts';
import type { HostTensor } from '../runtime/executable.ts';

/** Rows that a global cache starts with; it doubles when they are full. */
const FIRST_CAPACITY = 128;

/** Keys or values of one layer: `[kv, capacity, d]`, of which `length` rows from `start` on are real. */
class LayerRows {
  private data: Float32Array;
  capacity: number;
  start = 0;
  length = 0;

  constructor(private readonly layer: LayerCache) {
    // A rolling cache has as much room again, so that its rows are moved to the front only once in a while.
    this.capacity = layer.window === null ? FIRST_CAPACITY : Math.max(1, 2 * (layer.window - 1));
    this.data = this.allocate(this.capacity);
  }

  get bytes(): number {
    return this.data.byteLength;
  }

  /** The rows as the engine reads them: a view that begins at the first real row. */
  view(): HostTensor {
    const { kvHeads, headDim } = this.layer;
    const size = kvHeads * this.capacity * headDim;
    const from = this.start * headDim;
    return { data: this.data.subarray(from, from + size), shape: [1, kvHeads, this.capacity, headDim] };
  }

  /** Adds rows `[time, kv · d]`. A rolling cache forgets what no later query can see. */
  append(rows: Float32Array, time: number): void {
    const { window } = this.layer;
    if (window === null) {
      if (this.length + time > this.capacity) this.grow(this.length + time);
      this.write(rows, 0, time, this.length);
      this.length += time;
      return;
    }
    const keep = window - 1;
    if (time >= keep) {
      this.start = 0;
      this.length = keep;
      this.write(rows, time - keep, time, 0);
      return;
    }
    const survivors = Math.min(this.length, keep - time);
    const first = this.start + this.length - survivors;
    if (first + survivors + time > this.capacity) {
      this.moveToFront(first, survivors);
      this.start = 0;
    } else {
      this.start = first;
    }
    this.length = survivors + time;
    this.write(rows, 0, time, this.start + survivors);
  }

  /** Forgets all but the first `length` rows; a rolling cache cannot, once it has forgotten others. */
  truncate(length: number): void {
    this.length = length;
  }

  private allocate(capacity: number): Float32Array {
    const { kvHeads, headDim, window } = this.layer;
    // A view that begins at row `start` reaches past the last head by as many rows.
    const slack = window === null ? 0 : capacity;
    return new Float32Array((kvHeads * capacity + slack) * headDim);
  }

  private grow(needed: number): void {
    const { kvHeads, headDim } = this.layer;
    let capacity = this.capacity;
    while (capacity < needed) capacity *= 2;
    const data = this.allocate(capacity);
    for (let head = 0; head < kvHeads; head++) {
      const from = head * this.capacity * headDim;
      data.set(this.data.subarray(from, from + this.length * headDim), head * capacity * headDim);
    }
    this.data = data;
    this.capacity = capacity;
  }

  private moveToFront(first: number, count: number): void {
    const { kvHeads, headDim } = this.layer;
    for (let head = 0; head < kvHeads; head++) {
      const base = head * this.capacity;
      this.data.copyWithin(base * headDim, (base + first) * headDim, (base + first + count) * headDim);
    }
  }

  private write(rows: Float32Array, from: number, to: number, at: number): void {
    const { kvHeads, headDim } = this.layer;
    const width = kvHeads * headDim;
    for (let row = from; row < to; row++) {
      for (let head = 0; head < kvHeads; head++) {
        const source = row * width + head * headDim;
        const target = (head * this.capacity + at + row - from) * headDim;
        this.data.set(rows.subarray(source, source + headDim), target);
      }
    }
  }
}

/**
 * What a model remembers of one sequence: all keys and values in global layers, the last window − 1 in local ones.
 */
export class KeyValueCache {
  private readonly rows: readonly { key: LayerRows; value: LayerRows }[];
  private tokens = 0;

  constructor(private readonly layers: readonly LayerCache[]) {
    this.rows = layers.map((layer) => ({ key: new LayerRows(layer), value: new LayerRows(layer) }));
  }

  /** Tokens seen so far: the position of the next one. */
  get position(): number {
    return this.tokens;
  }

  /** Memory held, in bytes. */
  get bytes(): number {
    return this.rows.reduce((sum, { key, value }) => sum + key.bytes + value.bytes, 0);
  }

  /** Bytes of the keys and values that are real, without the room for more. */
  get heldBytes(): number {
    const rowBytes = ({ kvHeads, headDim }: LayerCache) => 4 * kvHeads * headDim;
    return this.rows.reduce(
      (sum, { key, value }, i) => sum + rowBytes(this.layers[i]!) * (key.length + value.length),
      0,
    );
  }

  /** Graph inputs by name, for a run of `time` new tokens. */
  feeds(time: number): Record<string, HostTensor> {
    const feeds: Record<string, HostTensor> = {};
    this.rows.forEach(({ key, value }, i) => {
      feeds[`cache.${i}.key`] = key.view();
      feeds[`cache.${i}.value`] = value.view();
      const kind = cacheKind(this.layers[i]!.window);
      feeds[`past_length.${kind}`] ??= { data: Int32Array.of(key.length), shape: [1] };
      feeds[`total_length.${kind}`] ??= { data: Int32Array.of(key.length + time), shape: [] };
    });
    return feeds;
  }

  /** Adds what a run returned: `[2 · layers, time, kv · d]`. */
  append(newRows: Float32Array, time: number): void {
    let at = 0;
    this.rows.forEach(({ key, value }, i) => {
      const { kvHeads, headDim } = this.layers[i]!;
      const size = time * kvHeads * headDim;
      key.append(newRows.subarray(at, at + size), time);
      value.append(newRows.subarray(at + size, at + 2 * size), time);
      at += 2 * size;
    });
    this.tokens += time;
  }

  /** Forgets every token from `position` on. Only for models without sliding windows, or back to the start. */
  truncate(position: number): void {
    if (position > this.tokens) {
      throw new RopewalkError(`the cache holds ${this.tokens} tokens and cannot be cut at ${position}.`);
    }
    const rolled = this.layers.some(({ window }) => window !== null && this.tokens > window - 1);
    if (rolled && position > 0) {
      throw new RopewalkError(
        'a rolling cache has forgotten the older keys and cannot go back; start it again.',
      );
    }
    for (const { key, value } of this.rows) {
      key.truncate(position);
      value.truncate(position);
      if (position === 0) {
        key.start = 0;
        value.start = 0;
      }
    }
    this.tokens = position;
  }
}
