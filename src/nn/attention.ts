import { type Dim, mulDims, symbol } from '../graph/dims.ts';
import { placeRows, seenKeys } from '../graph/lowerings/written-rows.ts';
import {
  add,
  attention,
  broadcastTo,
  cachedAttention,
  concat,
  constant,
  gatherRows,
  hasFusedRotation,
  input,
  MASKED,
  matmul,
  mul,
  reshape,
  rotary,
  scalar,
  slice,
  softcap,
  softmax,
  split,
  sub,
  transpose,
} from '../graph/operators/index.ts';
import type { Tensor } from '../graph/tensor.ts';
import type { AttentionPart } from './parts.ts';
import type { RotaryEmbedding } from './positions.ts';
import type { Taps } from './taps.ts';

export type AttentionSettings = Omit<AttentionPart, 'part' | 'bias' | 'outputBias' | 'headNorm' | 'rotary'>;

/**
 * The sequence around a layer: the position of each row, and which keys a query may see. A model is written once
 * against this interface, and runs over whole sequences (training, scoring) or over new tokens and a cache
 * (generation).
 */
export interface SequenceContext {
  /** int32: the absolute position of each row of activations. */
  readonly positionIds: Tensor;
  /** Token ids as rows of activations: `[tokens]`, or `[1, tokens]` with a cache. */
  readonly ids: Tensor;
  /** Attention of one layer; called once per layer, in order. q `[rows…, heads · d]`, k and v `[rows…, kv · d]`. */
  attend(q: Tensor, k: Tensor, v: Tensor, settings: AttentionSettings, rope: RotaryEmbedding | null): Tensor;
  /** Captures or replaces values inside the model. */
  readonly taps?: Taps;
}

/** For rows that hold several texts. Inputs of the graph, both `[batch · time]`. */
export interface Packing {
  /** int32: the position of each token in its own text. */
  readonly positions: Tensor;
  /** float32: the index of its text within the row. A token attends only to its own text. */
  readonly segments: Tensor;
}

/** Whole sequences of one length, without a cache. Activations are `[batch · time, width]`. */
export class FullSequence implements SequenceContext {
  readonly positionIds: Tensor;
  readonly #masks = new Map<string, Tensor>();
  readonly #tables = new Map<RotaryEmbedding, { cos: Tensor; sin: Tensor }>();
  #layers = 0;

  readonly #queryBlock: number;
  readonly #packing: Packing | undefined;

  /**
   * @param ids int32 `[batch · time]`: the sequences, concatenated.
   * @param queryBlock approximate number of queries per block; the result does not depend on it.
   * @param packing undefined if each sequence is one text.
   * @param taps if attention is captured, a layer's queries form a single block.
   */
  constructor(
    readonly ids: Tensor,
    readonly batch: number,
    readonly time: number,
    queryBlock: number = QUERY_BLOCK,
    packing?: Packing,
    readonly taps?: Taps,
  ) {
    this.#queryBlock = queryBlock;
    this.#packing = packing;
    this.positionIds = packing?.positions ?? constant(this.#positions(), [batch * time], 'int32');
  }

  attend(q: Tensor, k: Tensor, v: Tensor, settings: AttentionSettings, rope: RotaryEmbedding | null): Tensor {
    const { batch, time } = this;
    const { heads, kvHeads, headDim, scale, softcap, window } = settings;
    const group = heads / kvHeads;
    if (rope) {
      const { cos, sin } = this.#table(rope);
      q = rotary(q, cos, sin, heads);
      k = rotary(k, cos, sin, kvHeads);
    }
    // [batch · time, kv · group · d] → [batch, kv, group, time, d]: a group's queries share keys.
    const queries = transpose(reshape(q, [batch, time, kvHeads, group, headDim]), [0, 2, 3, 1, 4]);
    const rows = (x: Tensor) => transpose(reshape(x, [batch, time, kvHeads, headDim]), [0, 2, 1, 3]);
    const keys = rows(k);
    const values = rows(v);
    // Queries are split into blocks, each against the keys up to its own end: half of a long sequence's scores are
    // never computed.
    const layer = this.#layers++;
    const sizes = blockSizes(time, this.taps ? time : this.#queryBlock);
    let end = 0;
    const outputs = split(queries, 3, sizes).map((block, i) => {
      const size = sizes[i]!;
      const start = end;
      end += size;
      const first = window === null ? 0 : Math.max(0, start - window + 1);
      // The group's rows are stacked into one matrix: [batch, kv, group · size, d].
      const stacked = reshape(block, [batch, kvHeads, group * size, headDim]);
      const mask = this.#mask(group, window, start, end, first);
      const seen = [slice(keys, 2, first, end), slice(values, 2, first, end)] as const;
      const out = this.taps
        ? this.#tapped(layer, [stacked, ...seen], mask, settings)
        : attention(stacked, ...seen, mask, { scale, softcap });
      return reshape(out, [batch, kvHeads, group, size, headDim]);
    });
    const back = transpose(concat(outputs, 3), [0, 3, 1, 2, 4]);
    return reshape(back, [batch * time, heads * headDim]);
  }

  /** Attention of all queries of a layer, step by step if one of the steps is captured. */
  #tapped(
    layer: number,
    inputs: readonly [queries: Tensor, keys: Tensor, values: Tensor],
    mask: Tensor,
    { heads, kvHeads, headDim, scale, softcap: cap }: AttentionSettings,
  ): Tensor {
    const { batch, time, taps } = this;
    // A group's queries are stacked: the same numbers, head by head.
    const at = (name: string, value: Tensor, count: number, columns: number) => {
      const path = `layers.${layer}.attention.${name}`;
      if (!taps!.wants(path)) return value;
      return reshape(taps!.tap(path, reshape(value, [batch, count, time, columns])), value.shape);
    };
    const queries = at('queries', inputs[0], heads, headDim);
    const keys = at('keys', inputs[1], kvHeads, headDim);
    const values = at('values', inputs[2], kvHeads, headDim);
    const steps = ['scores', 'capped_scores', 'probabilities'];
    if (!steps.some((step) => taps!.wants(`layers.${layer}.attention.${step}`))) {
      return attention(queries, keys, values, mask, { scale, softcap: cap });
    }
    const scores = at('scores', matmul(queries, keys, { transB: true, alpha: scale }), heads, time);
    const capped = at('capped_scores', cap === null ? scores : softcap(scores, cap), heads, time);
    const probabilities = at('probabilities', softmax(add(capped, mask)), heads, time);
    return matmul(probabilities, values);
  }

  #positions(): Int32Array {
    return Int32Array.from({ length: this.batch * this.time }, (_, row) => row % this.time);
  }

  #table(rope: RotaryEmbedding) {
    let table = this.#tables.get(rope);
    if (!table) {
      const { batch, time } = this;
      const packing = this.#packing;
      const count = packing ? time : batch * time;
      const { cos, sin } = rope.table(
        packing ? Int32Array.from({ length: time }, (_, i) => i) : this.#positions(),
      );
      const shape = [count, rope.headDim / 2];
      const rows = (data: Float32Array) =>
        packing ? gatherRows(constant(data, shape), packing.positions) : constant(data, shape);
      table = { cos: rows(cos), sin: rows(sin) };
      this.#tables.set(rope, table);
    }
    return table;
  }

  /**
   * `[group · (end − start), end − first]`: 0 where key k ≤ q and k > q − window, a large negative number elsewhere;
   * packed, per sequence and also masked between texts.
   */
  #mask(group: number, window: number | null, start: number, end: number, first: number): Tensor {
    const size = end - start;
    const keys = end - first;
    const key = [group, window, start, end].join();
    let mask = this.#masks.get(key);
    if (!mask) {
      const data = new Float32Array(group * size * keys);
      for (let row = 0; row < group * size; row++) {
        const query = start + (row % size);
        for (let column = 0; column < keys; column++) {
          const k = first + column;
          if (k > query || (window !== null && k <= query - window)) data[row * keys + column] = MASKED;
        }
      }
      mask = constant(data, [group * size, keys]);
      if (this.#packing) mask = add(mask, this.#betweenTexts(this.#packing, group, start, end, first));
      this.#masks.set(key, mask);
    }
    return mask;
  }

  /** `[batch, 1, group · (end − start), end − first]`: 0 within a text, a large negative number between two. */
  #betweenTexts({ segments }: Packing, group: number, start: number, end: number, first: number): Tensor {
    const { batch, time } = this;
    const rows = reshape(segments, [batch, time]);
    const queries = reshape(slice(rows, 1, start, end), [batch, 1, end - start, 1]);
    const keys = reshape(slice(rows, 1, first, end), [batch, 1, 1, end - first]);
    const apart = sub(queries, keys);
    const mask = mul(mul(apart, apart), scalar(MASKED));
    const stacked = broadcastTo(mask, [batch, group, end - start, end - first]);
    return reshape(stacked, [batch, 1, group * (end - start), end - first]);
  }
}

/** Queries per block: short enough to skip much, long enough for full speed. */
const QUERY_BLOCK = 128;

function blockSizes(time: number, block: number): number[] {
  const count = Math.max(1, Math.round(time / block));
  const size = Math.ceil(time / count);
  return Array.from({ length: count }, (_, i) => Math.min(size, time - i * size)).filter(
    (length) => length > 0,
  );
}

/** What a layer keeps for later tokens. */
export interface LayerCache {
  readonly kvHeads: number;
  readonly headDim: number;
  /** A rolling cache keeps the last window − 1 keys; null keeps all. */
  readonly window: number | null;
}

export interface CachedSequenceOptions {
  /** Whether the caches grow in place. */
  readonly inPlace: boolean;
  /** Whether a layer uses the engine's kernel of cached attention, if it has one; by default each does. */
  readonly fused?: (settings: AttentionSettings) => boolean;
}

/** The rows of caches that new tokens are written to, where the engine's kernel does not write them itself. */
export interface WrittenRows {
  /** See {@link cacheKind}. */
  readonly kind: string;
  /** The first such layer. */
  readonly layer: number;
  readonly kvHeads: number;
}

/**
 * New tokens after those in the caches. Activations are `[batch, time, width]`. The host feeds caches as buffers with
 * spare room. An engine that can write outputs over inputs appends the new rows itself; other engines return only the
 * new rows, since returning a cache would copy all of it for every token, and support one sequence.
 */
export class CachedSequence implements SequenceContext {
  readonly batch: Dim;
  readonly time = symbol('time');
  readonly ids: Tensor;
  readonly positionIds: Tensor;
  readonly layers: LayerCache[] = [];
  /** RoPE tables whose angles the host feeds for the new tokens, as `rope.0.cos` and so on. */
  readonly ropes: RotaryEmbedding[] = [];
  /** RoPE tables whose angles it feeds for all positions up to the last, as `rope_table.0.cos` and so on. */
  readonly tableRopes: RotaryEmbedding[] = [];
  readonly #tables: { cos: Tensor; sin: Tensor }[] = [];
  readonly #wholeTables: { cos: Tensor; sin: Tensor }[] = [];
  readonly #lengths = new Map<
    string,
    { past: Tensor; total: Tensor; last: Tensor; capacity: ReturnType<typeof symbol> }
  >();
  readonly #rows: Tensor[] = [];
  readonly #caches: Tensor[] = [];

  readonly inPlace: boolean;
  /** The inputs `query_rows`, `key_rows` and `places` of the graph, by kind. */
  readonly written: WrittenRows[] = [];
  readonly #fused: (settings: AttentionSettings) => boolean;
  readonly #masks = new Map<string, Tensor>();

  constructor({ inPlace, fused = () => true }: CachedSequenceOptions) {
    this.inPlace = inPlace;
    this.#fused = fused;
    this.batch = inPlace ? symbol('batch') : 1;
    this.ids = input('input_ids', 'int32', [this.batch, this.time]);
    this.positionIds = input('position_ids', 'int32', [this.batch, this.time]);
  }

  attend(q: Tensor, k: Tensor, v: Tensor, settings: AttentionSettings, rope: RotaryEmbedding | null): Tensor {
    const { heads, kvHeads, headDim, scale, softcap, window } = settings;
    // If no cache rolls, a token's place in the cache is its position, and the attention operator rotates by itself.
    const fused = this.#fused(settings);
    const turns = fused && this.inPlace && window === null && hasFusedRotation(headDim);
    const whole = rope && turns ? this.#wholeTable(rope) : undefined;
    if (rope && !whole) {
      const { cos, sin } = this.#table(rope);
      q = rotary(q, cos, sin, heads);
      k = rotary(k, cos, sin, kvHeads);
    }
    const layer = this.layers.length;
    this.layers.push({ kvHeads, headDim, window });
    this.#rows.push(k, v);
    const { past, total, last, capacity } = this.#length(window);
    const writes = this.inPlace && !fused;
    const cacheShape = [this.batch, kvHeads, capacity, headDim];
    const pastK = input(`cache.${layer}.key`, 'float32', cacheShape);
    const pastV = input(`cache.${layer}.value`, 'float32', cacheShape);
    if (writes) return this.#attendWritten(q, [k, v], [pastK, pastV], layer, settings);
    const attributes = { heads, kvHeads, scale, softcap, window, unfused: !fused };
    const [out, newK, newV] = cachedAttention(q, k, v, pastK, pastV, past, total, last, attributes, whole);
    this.#caches.push(newK, newV);
    return out;
  }

  /** Writes the new rows into the caches, and attends over these. */
  #attendWritten(
    q: Tensor,
    added: readonly [k: Tensor, v: Tensor],
    past: readonly [k: Tensor, v: Tensor],
    layer: number,
    { heads, kvHeads, headDim, scale, softcap, window }: AttentionSettings,
  ): Tensor {
    const { batch, time } = this;
    const group = heads / kvHeads;
    const kind = cacheKind(window);
    if (!this.written.some((each) => each.kind === kind && each.kvHeads === kvHeads))
      this.written.push({ kind, layer, kvHeads });
    const places = input(`places.${kind}.${kvHeads}`, 'int64', [batch, kvHeads, time, 3]);
    const [keys, values] = added.map((x, i) => {
      const rows = transpose(reshape(x, [batch, time, kvHeads, headDim]), [0, 2, 1, 3]);
      return placeRows(past[i]!, rows, places);
    }) as [Tensor, Tensor];
    this.#caches.push(keys, values);
    let mask = this.#masks.get(`${kind}.${group}`);
    if (!mask) {
      const queryRows = input(`query_rows.${kind}`, 'int32', [batch, time]);
      const keyRows = input(`key_rows.${kind}`, 'int32', [keys.shape[2]!]);
      mask = seenKeys(queryRows, keyRows, { group, window });
      this.#masks.set(`${kind}.${group}`, mask);
    }
    // [batch, time, kv · group · d] → [batch, kv, time · group, d]: the rows of one query's group are adjacent.
    const queries = transpose(reshape(q, [batch, time, kvHeads, group, headDim]), [0, 2, 1, 3, 4]);
    const stacked = reshape(queries, [batch, kvHeads, mulDims(group, time), headDim]);
    const out = reshape(attention(stacked, keys, values, mask, { scale, softcap }), queries.shape);
    return reshape(transpose(out, [0, 2, 1, 3, 4]), [batch, time, heads * headDim]);
  }

  /** What a run returns besides its result: the caches under `new.` and their names, or the new rows of all. */
  outputs(): Map<string, Tensor> {
    if (!this.inPlace) return new Map([['new_rows', concat(this.#rows, 0)]]);
    return new Map(
      this.#caches.map((cache, i) => [`new.cache.${i >> 1}.${i % 2 === 0 ? 'key' : 'value'}`, cache]),
    );
  }

  #length(window: number | null) {
    const kind = cacheKind(window);
    let length = this.#lengths.get(kind);
    if (!length) {
      length = {
        past: input(`past_length.${kind}`, 'int32', [this.batch]),
        total: input(`total_length.${kind}`, 'int32', []),
        last: input(`last_key.${kind}`, 'int32', [this.batch]),
        capacity: symbol(`capacity.${kind}`),
      };
      this.#lengths.set(kind, length);
    }
    return length;
  }

  #table(rope: RotaryEmbedding) {
    let index = this.ropes.indexOf(rope);
    if (index < 0) {
      index = this.ropes.push(rope) - 1;
      const shape = [this.batch, this.time, rope.headDim / 2];
      const cos = input(`rope.${index}.cos`, 'float32', shape);
      this.#tables.push({ cos, sin: input(`rope.${index}.sin`, 'float32', shape) });
    }
    return this.#tables[index]!;
  }

  #wholeTable(rope: RotaryEmbedding) {
    let index = this.tableRopes.indexOf(rope);
    if (index < 0) {
      index = this.tableRopes.push(rope) - 1;
      const shape = [symbol('positions'), rope.headDim / 2];
      const cos = input(`rope_table.${index}.cos`, 'float32', shape);
      this.#wholeTables.push({ cos, sin: input(`rope_table.${index}.sin`, 'float32', shape) });
    }
    return this.#wholeTables[index]!;
  }
}

/** Layers that keep the same number of keys share a length: all global ones, and local ones with the same window. */
export function cacheKind(window: number | null): string {
  return window === null ? 'global' : `window${window}`;
}
