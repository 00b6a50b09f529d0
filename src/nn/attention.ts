import { symbol } from '../graph/dims.ts';
import {
  attention,
  cachedAttention,
  concat,
  constant,
  input,
  MASKED,
  reshape,
  rotary,
  transpose,
} from '../graph/operators/index.ts';
import type { Tensor } from '../graph/tensor.ts';
import type { AttentionPart } from './parts.ts';
import type { RotaryEmbedding } from './positions.ts';

export type AttentionSettings = Omit<AttentionPart, 'part' | 'bias'>;

/**
 * The sequence around a layer: which rows are which positions, and what a query may see. A model is written once
 * against this, and runs over whole sequences (training, scoring) or over new tokens and a cache (generation).
 */
export interface SequenceContext {
  /** int32: the absolute position of each row of activations. */
  readonly positionIds: Tensor;
  /** Token ids as rows of activations: `[tokens]`, or `[1, tokens]` with a cache. */
  readonly ids: Tensor;
  /** Attention of one layer; called once a layer, in order. q `[rows…, heads · d]`, k and v `[rows…, kv · d]`. */
  attend(q: Tensor, k: Tensor, v: Tensor, settings: AttentionSettings, rope: RotaryEmbedding | null): Tensor;
}

/** Whole sequences of one length, without a cache. Activations are `[batch · time, width]`. */
export class FullSequence implements SequenceContext {
  readonly positionIds: Tensor;
  private readonly masks = new Map<string, Tensor>();
  private readonly tables = new Map<RotaryEmbedding, { cos: Tensor; sin: Tensor }>();

  /** @param ids int32 `[batch · time]`: the sequences one after another. */
  constructor(
    readonly ids: Tensor,
    readonly batch: number,
    readonly time: number,
  ) {
    this.positionIds = constant(this.positions(), [batch * time], 'int32');
  }

  attend(q: Tensor, k: Tensor, v: Tensor, settings: AttentionSettings, rope: RotaryEmbedding | null): Tensor {
    const { batch, time } = this;
    const { heads, kvHeads, headDim, scale, softcap, window } = settings;
    const group = heads / kvHeads;
    if (rope) {
      const { cos, sin } = this.table(rope);
      q = rotary(q, cos, sin, heads);
      k = rotary(k, cos, sin, kvHeads);
    }
    // [batch · time, kv · group · d] → [batch, kv, group · time, d]: a group's queries share keys as rows of one matrix.
    const queries = transpose(reshape(q, [batch, time, kvHeads, group, headDim]), [0, 2, 3, 1, 4]);
    const stacked = reshape(queries, [batch, kvHeads, group * time, headDim]);
    const rows = (x: Tensor) => transpose(reshape(x, [batch, time, kvHeads, headDim]), [0, 2, 1, 3]);
    const out = attention(stacked, rows(k), rows(v), this.mask(group, window), { scale, softcap });
    const back = transpose(reshape(out, [batch, kvHeads, group, time, headDim]), [0, 3, 1, 2, 4]);
    return reshape(back, [batch * time, heads * headDim]);
  }

  private positions(): Int32Array {
    return Int32Array.from({ length: this.batch * this.time }, (_, row) => row % this.time);
  }

  private table(rope: RotaryEmbedding) {
    let table = this.tables.get(rope);
    if (!table) {
      const { cos, sin } = rope.table(this.positions());
      const shape = [this.batch * this.time, rope.headDim / 2];
      table = { cos: constant(cos, shape), sin: constant(sin, shape) };
      this.tables.set(rope, table);
    }
    return table;
  }

  /** `[group · time, time]`: 0 where key k ≤ q and k > q − window, far below zero elsewhere. */
  private mask(group: number, window: number | null): Tensor {
    const { time } = this;
    const reach = window === null || window >= time ? time : window;
    const key = `${group} ${reach}`;
    let mask = this.masks.get(key);
    if (!mask) {
      const data = new Float32Array(group * time * time);
      for (let row = 0; row < group * time; row++) {
        const query = row % time;
        for (let k = 0; k < time; k++) {
          if (k > query || k <= query - reach) data[row * time + k] = MASKED;
        }
      }
      mask = constant(data, [group * time, time]);
      this.masks.set(key, mask);
    }
    return mask;
  }
}

/** What a layer keeps for the tokens to come. */
export interface LayerCache {
  readonly kvHeads: number;
  readonly headDim: number;
  /** A rolling cache keeps the last window − 1 keys; null keeps all. */
  readonly window: number | null;
}

/**
 * New tokens after those in the caches, one sequence. Activations are `[1, time, width]`. The host feeds caches as
 * buffers with room, and gets back only the new rows: returning a cache would copy all of it for every token.
 */
export class CachedSequence implements SequenceContext {
  readonly time = symbol('time');
  readonly ids = input('input_ids', 'int32', [1, this.time]);
  readonly positionIds = input('position_ids', 'int32', [1, this.time]);
  readonly layers: LayerCache[] = [];
  readonly ropes: RotaryEmbedding[] = [];
  private readonly tables: { cos: Tensor; sin: Tensor }[] = [];
  private readonly lengths = new Map<
    string,
    { past: Tensor; total: Tensor; capacity: ReturnType<typeof symbol> }
  >();
  private readonly rows: Tensor[] = [];

  attend(q: Tensor, k: Tensor, v: Tensor, settings: AttentionSettings, rope: RotaryEmbedding | null): Tensor {
    const { heads, kvHeads, headDim, scale, softcap, window } = settings;
    if (rope) {
      const { cos, sin } = this.table(rope);
      q = rotary(q, cos, sin, heads);
      k = rotary(k, cos, sin, kvHeads);
    }
    const layer = this.layers.length;
    this.layers.push({ kvHeads, headDim, window });
    this.rows.push(k, v);
    const { past, total, capacity } = this.length(window);
    const cacheShape = [1, kvHeads, capacity, headDim];
    const pastK = input(`cache.${layer}.key`, 'float32', cacheShape);
    const pastV = input(`cache.${layer}.value`, 'float32', cacheShape);
    return cachedAttention(q, k, v, pastK, pastV, past, total, { heads, kvHeads, scale, softcap, window });
  }

  /** `[2 · layers, time, kv · d]`: each layer's new keys and new values, in turn. */
  newRows(): Tensor {
    return concat(this.rows, 0);
  }

  private length(window: number | null) {
    const kind = cacheKind(window);
    let length = this.lengths.get(kind);
    if (!length) {
      length = {
        past: input(`past_length.${kind}`, 'int32', [1]),
        total: input(`total_length.${kind}`, 'int32', []),
        capacity: symbol(`capacity.${kind}`),
      };
      this.lengths.set(kind, length);
    }
    return length;
  }

  private table(rope: RotaryEmbedding) {
    let index = this.ropes.indexOf(rope);
    if (index < 0) {
      index = this.ropes.push(rope) - 1;
      const shape = [this.time, rope.headDim / 2];
      const cos = input(`rope.${index}.cos`, 'float32', shape);
      this.tables.push({ cos, sin: input(`rope.${index}.sin`, 'float32', shape) });
    }
    return this.tables[index]!;
  }
}

/** Layers that keep the same number of keys share a length: all global ones, and local ones of one window. */
export function cacheKind(window: number | null): string {
  return window === null ? 'global' : `window${window}`;
}
