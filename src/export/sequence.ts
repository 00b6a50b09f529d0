import { addDims, mulDims, symbol } from '../graph/dims.ts';
import {
  add,
  concat,
  input,
  matmul,
  mul,
  paddedMask,
  reshape,
  rotaryAngles,
  scalar,
  slice,
  softcap,
  softmax,
  sub,
  transpose,
} from '../graph/operators/index.ts';
import type { Tensor } from '../graph/tensor.ts';
import type { AttentionSettings, SequenceContext } from '../nn/attention.ts';
import type { RotaryEmbedding } from '../nn/positions.ts';

/** Sizes known only when an exported model runs, with the names in Hugging Face's own exports. */
const BATCH = symbol('batch_size');
const TIME = symbol('sequence_length');
const PAST = symbol('past_sequence_length');

/**
 * New tokens of several padded sequences after those in plain caches, for exported models: everything that our own
 * decoder prepares on the host (angles, masks, the cache's bookkeeping) is computed in the graph. Activations are
 * `[batch, time, width]`. Inputs and outputs have the names and layouts of Hugging Face's exports:
 *
 * - `input_ids` and `position_ids` int64 `[batch, time]`, `attention_mask` int64 `[batch, past + time]`;
 * - `past_key_values.N.key` and `.value` float32 `[batch, kv, past, head_dim]`, and `present.N.…` with the new rows
 *   appended.
 *
 * Local layers' caches also keep every key, and their masks exclude distant ones, so that the caller need not know
 * about windows.
 */
export class ExportSequence implements SequenceContext {
  readonly ids = input('input_ids', 'int64', [BATCH, TIME]);
  readonly positionIds = input('position_ids', 'int64', [BATCH, TIME]);
  /** `present.N.key` and `present.N.value` of the layers so far. */
  readonly present = new Map<string, Tensor>();
  readonly #kept: Tensor;
  readonly #masks = new Map<string, Tensor>();
  readonly #angles = new Map<RotaryEmbedding, { cos: Tensor; sin: Tensor }>();
  #layers = 0;

  readonly #cached: boolean;

  /** @param cached whether there are caches; without them, sequences are whole and only logits are returned. */
  constructor(cached: boolean) {
    this.#cached = cached;
    this.#kept = input('attention_mask', 'int64', [BATCH, cached ? addDims(PAST, TIME) : TIME]);
  }

  attend(q: Tensor, k: Tensor, v: Tensor, settings: AttentionSettings, rope: RotaryEmbedding | null): Tensor {
    const { heads, kvHeads, headDim, scale, softcap: cap, window } = settings;
    const group = heads / kvHeads;
    // [batch, time, n · d] → [batch, n, time, d], rotated by the positions' angles
    const rows = (x: Tensor, count: number, turned: boolean) => {
      const split = reshape(x, [BATCH, TIME, count, headDim]);
      return transpose(rope && turned ? this.#rotate(split, rope) : split, [0, 2, 1, 3]);
    };
    // A group's queries are stacked, since they share keys: [batch, kv, group · time, d].
    const queries = reshape(rows(q, heads, true), [BATCH, kvHeads, mulDims(group, TIME), headDim]);
    const keys = this.#extend('key', rows(k, kvHeads, true), kvHeads, headDim);
    const values = this.#extend('value', rows(v, kvHeads, false), kvHeads, headDim);
    this.#layers++;
    let scores = matmul(queries, keys, { transB: true, alpha: scale });
    if (cap !== null) scores = softcap(scores, cap);
    const probabilities = softmax(add(scores, this.#mask(window, group)));
    const out = reshape(matmul(probabilities, values), [BATCH, heads, TIME, headDim]);
    return reshape(transpose(out, [0, 2, 1, 3]), [BATCH, TIME, heads * headDim]);
  }

  /** The cache with the new rows appended; returned as `present`. */
  #extend(kind: 'key' | 'value', rows: Tensor, kvHeads: number, headDim: number): Tensor {
    if (!this.#cached) return rows;
    const past = input(`past_key_values.${this.#layers}.${kind}`, 'float32', [BATCH, kvHeads, PAST, headDim]);
    const all = concat([past, rows], 2);
    this.present.set(`present.${this.#layers}.${kind}`, all);
    return all;
  }

  /** Pairs are halves of a head, as in Hugging Face: x `[batch, time, n, d]` → the same shape. */
  #rotate(x: Tensor, rope: RotaryEmbedding): Tensor {
    const { cos, sin } = this.#anglesOf(rope);
    const half = rope.headDim / 2;
    const [first, second] = [slice(x, 3, 0, half), slice(x, 3, half, 2 * half)];
    return concat([sub(mul(first, cos), mul(second, sin)), add(mul(second, cos), mul(first, sin))], 3);
  }

  /** cos and sin `[batch, time, 1, d / 2]`: the same for every head. */
  #anglesOf(rope: RotaryEmbedding) {
    let angles = this.#angles.get(rope);
    if (!angles) {
      const { cos, sin } = rotaryAngles(this.positionIds, rope.inverseFrequencies);
      const shape = [BATCH, TIME, 1, rope.headDim / 2];
      const scaled = (x: Tensor) => (rope.magnitude === 1 ? x : mul(x, scalar(Math.fround(rope.magnitude))));
      angles = { cos: reshape(scaled(cos), shape), sin: reshape(scaled(sin), shape) };
      this.#angles.set(rope, angles);
    }
    return angles;
  }

  #mask(window: number | null, group: number): Tensor {
    const kind = `${window},${group}`;
    let mask = this.#masks.get(kind);
    if (!mask) {
      mask = paddedMask(this.ids, this.#kept, { window, group });
      this.#masks.set(kind, mask);
    }
    return mask;
  }
}
