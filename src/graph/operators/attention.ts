import { addDims, type Dim, sameDim, sameShape } from '../dims.ts';
import { apply, type Operator, shapeError, type Tensor, type TensorType } from '../tensor.ts';
import { sizeOfShape } from '../values.ts';
import { add, mul, scalar, sub } from './elementwise.ts';
import { matmul } from './matmul.ts';
import { softcap } from './norms.ts';
import { reduceSum, softmax } from './reduce.ts';
import { concat, reshape, transpose } from './shape.ts';

export interface AttentionAttributes {
  /** Scores are multiplied by this: head_dim ** -0.5, or query_pre_attn_scalar ** -0.5 in Gemma 2. */
  readonly scale: number;
  /** Scores are bent into (−softcap, softcap) before the mask; null for none. */
  readonly softcap: number | null;
}

/** Added to the score of a key that a query may not see: far below any real score, and finite in float32. */
export const MASKED = -1e30;

/**
 * Softmax attention over heads: out = softmax(mask + cap(scale · q kᵀ)) v. Queries of one group of heads that share
 * keys are stacked along the rows, so grouped keys and values are never repeated. The outputs probs and scores
 * (capped, before the mask; only with a cap) serve the derivative. Vaswani et al. 2017, arXiv:1706.03762; grouped
 * queries: Ainslie et al. 2023, arXiv:2305.13245.
 */
export const attentionOp: Operator<AttentionAttributes> = {
  name: 'attention',
  primaryOutputs: 1,
  infer(inputs, { softcap }) {
    const [q, k, v, mask] = inputs;
    const fits =
      q?.shape.length === 4 &&
      k?.shape.length === 4 &&
      v?.shape.length === 4 &&
      sameShape(k.shape.slice(0, 3), v.shape.slice(0, 3)) &&
      sameShape(q.shape.slice(0, 2), k.shape.slice(0, 2)) &&
      sameDim(q.shape[3]!, k.shape[3]!) &&
      fitsMask(mask, q, k);
    if (!fits) {
      throw shapeError(
        'attention',
        inputs,
        'needs q [batch, kv, rows, d], k and v [batch, kv, keys, d], mask [rows, keys] or [batch, 1, rows, keys]',
      );
    }
    const scores = { dtype: 'float32', shape: [...q.shape.slice(0, 3), k.shape[2]!] } as const;
    const out: TensorType = { dtype: 'float32', shape: [...q.shape.slice(0, 3), v.shape[3]!] };
    return softcap === null ? [out, scores] : [out, scores, scores];
  },
  expand([q, k, v, mask], { scale, softcap: cap }) {
    const scores = matmul(q!, k!, { transB: true, alpha: scale });
    const capped = cap === null ? scores : softcap(scores, cap);
    const probs = softmax(add(capped, mask!));
    const out = matmul(probs, v!);
    return cap === null ? [out, probs] : [out, probs, capped];
  },
  // With P the probabilities: dS = P (dP − Σ dP P), and Σ_keys dP P = Σ_d dO O, which is far shorter.
  differentiate({ inputs, outputs, gradients, attributes: { scale, softcap: cap } }) {
    const [q, k, v] = inputs as [Tensor, Tensor, Tensor];
    const [out, probs, capped] = outputs as [Tensor, Tensor, Tensor | undefined];
    const dOut = gradients[0]!;
    const dProbs = matmul(dOut, v, { transB: true });
    const dot = reduceSum(mul(dOut, out), [3]);
    let dScores = mul(probs, sub(dProbs, dot));
    if (capped && cap !== null) {
      const t = mul(capped, scalar(1 / cap));
      dScores = mul(dScores, sub(scalar(1), mul(t, t)));
    }
    return [
      matmul(dScores, k, { alpha: scale }),
      matmul(dScores, q, { transA: true, alpha: scale }),
      matmul(probs, dOut, { transA: true }),
      undefined,
    ];
  },
  examples: [null, 1.5].flatMap((softcap) =>
    [floats(6, 3), floats(2, 1, 6, 3)].map((mask) => ({
      inputs: [floats(2, 2, 6, 4), floats(2, 2, 3, 4), floats(2, 2, 3, 4), mask],
      attributes: { scale: 0.5, softcap },
    })),
  ),
};

function fitsMask(mask: TensorType | undefined, q: TensorType, k: TensorType): boolean {
  if (!mask) return false;
  const [rows, keys] = mask.shape.slice(-2);
  const perSequence = mask.shape.length === 4 && sameDim(mask.shape[0]!, q.shape[0]!) && mask.shape[1] === 1;
  return (
    (mask.shape.length === 2 || perSequence) && sameDim(rows!, q.shape[2]!) && sameDim(keys!, k.shape[2]!)
  );
}

/**
 * q `[batch, kv, group · time, d]`, k and v `[batch, kv, keys, d]`, mask `[group · time, keys]` or, of each sequence,
 * `[batch, 1, group · time, keys]` (added to the scores; no gradient) → `[batch, kv, group · time, d]`.
 */
export function attention(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  mask: Tensor,
  attributes: AttentionAttributes,
): Tensor {
  return apply(attentionOp, [q, k, v, mask], attributes)[0]!;
}

export interface CachedAttentionAttributes extends AttentionAttributes {
  readonly heads: number;
  readonly kvHeads: number;
  /** A query sees the last `window` keys, itself included; null sees all before it. */
  readonly window: number | null;
}

/** Head sizes for which the engine has attention over a cache as one kernel. */
export function hasFusedAttention(headDim: number): boolean {
  return headDim % 8 === 0;
}

/**
 * Attention of new tokens over a cache and themselves, as grouped queries. The cache is a buffer with room for more
 * keys than it holds: the first `pastLength` rows are real and in the order of their positions, the rest is ignored.
 *
 * The second and third output are the caches with the new rows after the real ones (what lies behind them is
 * undefined). Where the engine may write them over the caches they come from, nothing is copied; they then need room.
 * Sequences of a batch may have different lengths; the expansion knows a batch of one only.
 */
export const cachedAttentionOp: Operator<CachedAttentionAttributes> = {
  name: 'cachedAttention',
  engineOnly: true,
  // GroupQueryAttention refuses other head sizes. Its WebGPU kernels ignore the cap, and gave other numbers for 32 or
  // more new tokens.
  fits: (inputs, _, dialect) => dialect !== 'webgpu' && hasFusedAttention(inputs[3]!.shape[3] as number),
  infer(inputs, { heads, kvHeads }) {
    const [q, k, v, pastK, pastV, pastLength, total, lastKey] = inputs;
    const headDim = pastK?.shape[3];
    const fits =
      q?.shape.length === 3 &&
      k?.shape.length === 3 &&
      v &&
      pastV &&
      pastK?.shape.length === 4 &&
      typeof headDim === 'number' &&
      heads % kvHeads === 0 &&
      q.shape[2] === heads * headDim &&
      k.shape[2] === kvHeads * headDim &&
      sameShape(k.shape, v.shape) &&
      sameShape(pastK.shape, pastV.shape) &&
      pastLength?.dtype === 'int32' &&
      total?.dtype === 'int32' &&
      lastKey?.dtype === 'int32';
    if (!fits) {
      throw shapeError(
        'cachedAttention',
        inputs,
        'needs q [batch, time, heads · d], k and v [batch, time, kv · d], caches [batch, kv, capacity, d], int32 lengths [batch], [] and [batch]',
      );
    }
    return [q, pastK, pastV];
  },
  expand([q, k, v, pastK, pastV, pastLength, total], { heads, kvHeads, scale, softcap: cap, window }) {
    const [, time] = q!.shape as [Dim, Dim, Dim];
    const headDim = pastK!.shape[3] as number;
    const group = heads / kvHeads;
    const rowsOf = (x: Tensor) => transpose(reshape(x, [1, time, kvHeads, headDim]), [0, 2, 1, 3]);
    // [1, time, kv, group, d] → [1, kv, time, group, d]: rows of one query's group stand together.
    const queries = transpose(reshape(q!, [time, kvHeads, group, headDim]), [1, 0, 2, 3]);
    const stacked = reshape(queries, [1, kvHeads, mulGroup(time, group), headDim]);
    const keys = concat([pastK!, rowsOf(k!)], 2);
    const values = concat([pastV!, rowsOf(v!)], 2);
    const mask = causalMask(pastLength!, total!, pastK!, { time, group, window });
    const out = attention(stacked, keys, values, mask, { scale, softcap: cap });
    const back = transpose(reshape(out, [kvHeads, time, group, headDim]), [1, 0, 2, 3]);
    const write = (past: Tensor, x: Tensor) => writeRows(past, rowsOf(x), pastLength!);
    return [reshape(back, [1, time, heads * headDim]), write(pastK!, k!), write(pastV!, v!)];
  },
  lower(e, [q, k, v, pastK, pastV, , total, lastKey], { attributes }) {
    const { heads, kvHeads, scale, softcap: cap, window } = attributes;
    return e.node(
      'GroupQueryAttention',
      [q!, k!, v!, pastK!, pastV!, lastKey!, total!],
      {
        num_heads: heads,
        kv_num_heads: kvHeads,
        scale: { float: scale },
        softcap: { float: cap ?? 0 },
        local_window_size: window === null ? -1 : window,
      },
      { domain: 'com.microsoft', outputs: 3 },
    );
  },
  examples: [
    cachedExample(4, 2, null, null, 0),
    cachedExample(4, 2, null, null, 5),
    cachedExample(4, 1, 3, null, 6),
    cachedExample(2, 2, 2, 1.5, 1),
    cachedExample(4, 2, 3, 1.5, 4, 12),
    cachedExample(4, 2, 5, 2, 6),
  ],
};

type NoAttributes = Record<never, never>;

/**
 * A cache with new rows after its real ones: cache `[1, kv, capacity, d]`, rows `[1, kv, time, d]`, length int32 `[1]`
 * → `[1, kv, capacity, d]`. There must be room.
 */
export const writeRowsOp: Operator<NoAttributes> = {
  name: 'writeRows',
  infer(inputs) {
    const [cache, rows, length] = inputs;
    if (cache?.shape.length !== 4 || rows?.shape.length !== 4 || length?.dtype !== 'int32') {
      throw shapeError(
        'writeRows',
        inputs,
        'needs a cache [1, kv, capacity, d], rows [1, kv, time, d] and an int32 length [1]',
      );
    }
    return [cache];
  },
  evaluate([cache, rows, length]) {
    const [, heads, capacity, width] = cache!.shape as [number, number, number, number];
    const time = rows!.shape[2]!;
    const data = cache!.data.slice();
    for (let head = 0; head < heads; head++) {
      const from = head * time * width;
      data.set(rows!.data.subarray(from, from + time * width), (head * capacity + length!.data[0]!) * width);
    }
    return [{ shape: cache!.shape, data }];
  },
  stopsGradient: true,
  lower(e, [cache, rows, length]) {
    const axis = e.constant('int64', [1], [2]);
    const int64 = (x: string) => e.node('Cast', [x], { to: 7 })[0]!;
    const start = int64(length!);
    const end = e.node('Add', [start, e.node('Shape', [rows!], { start: 2, end: 3 })[0]!])[0]!;
    const zero = e.constant('int64', [1], [0]);
    const all = e.constant('int64', [1], [2 ** 31 - 1]);
    const before = e.node('Slice', [cache!, zero, start, axis])[0]!;
    const after = e.node('Slice', [cache!, end, all, axis])[0]!;
    return e.node('Concat', [before, rows!, after], { axis: 2 });
  },
  examples: [0, 2, 3].map((past) => ({
    inputs: [floats(1, 2, 6, 4), floats(1, 2, 3, 4), { dtype: 'int32', shape: [1] } as const],
    attributes: {},
    values: { 2: [past] },
  })),
};

function writeRows(cache: Tensor, rows: Tensor, length: Tensor): Tensor {
  return apply(writeRowsOp, [cache, rows, length], {})[0]!;
}

function mulGroup(time: Dim, group: number): Dim {
  let rows: Dim = 0;
  for (let i = 0; i < group; i++) rows = addDims(rows, time);
  return rows;
}

function floats(...shape: number[]): TensorType {
  return { dtype: 'float32', shape };
}

function cachedExample(
  heads: number,
  kvHeads: number,
  window: number | null,
  softcap: number | null,
  past: number,
  headDim = 8,
) {
  const int = { dtype: 'int32', shape: [1] } as const;
  const q = floats(1, 3, heads * headDim);
  const rows = floats(1, 3, kvHeads * headDim);
  // Just enough room, so that every row of the caches afterwards is defined.
  const cache = floats(1, kvHeads, past + 3, headDim);
  return {
    inputs: [q, rows, rows, cache, cache, int, { dtype: 'int32', shape: [] } as const, int],
    attributes: { heads, kvHeads, window, softcap, scale: 0.4 },
    values: { 5: [past], 6: [past + 3], 7: [past + 2] },
  };
}

/**
 * q `[1, time, heads · d]` and new keys and values `[1, time, kv · d]` (already rotated), caches
 * `[1, kv, capacity, d]` of which `pastLength` (int32 `[1]`) rows are real, `total` (int32 `[]`) the largest
 * pastLength + time, `lastKey` (int32 `[1]`) = pastLength + time − 1 → `[1, time, heads · d]` and the caches with the new rows. A batch's sizes are in the place of 1.
 */
export function cachedAttention(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  pastK: Tensor,
  pastV: Tensor,
  pastLength: Tensor,
  total: Tensor,
  lastKey: Tensor,
  attributes: CachedAttentionAttributes,
): readonly [Tensor, Tensor, Tensor] {
  const inputs = [q, k, v, pastK, pastV, pastLength, total, lastKey];
  const outputs = apply(cachedAttentionOp, inputs, attributes);
  return outputs as unknown as readonly [Tensor, Tensor, Tensor];
}

interface CausalMaskAttributes {
  readonly time: Dim;
  /** Rows of the mask for each query. */
  readonly group: number;
  readonly window: number | null;
}

/**
 * 0 where a new query sees a key, {@link MASKED} elsewhere, over a part-filled cache and the new keys:
 * `[time · group, capacity + time]`.
 */
export const causalMaskOp: Operator<CausalMaskAttributes> = {
  name: 'causalMask',
  infer(inputs, { time, group }) {
    const cache = inputs[2];
    if (inputs[0]?.dtype !== 'int32' || inputs[1]?.dtype !== 'int32' || cache?.shape.length !== 4) {
      throw shapeError(
        'causalMask',
        inputs,
        'needs int32 lengths [1] and [], and a cache [1, kv, capacity, d]',
      );
    }
    return [{ dtype: 'float32', shape: [mulGroup(time, group), addDims(cache.shape[2]!, time)] }];
  },
  evaluate([pastLength, , cache], { time, group, window }) {
    const t = time as number;
    const capacity = cache!.shape[2]!;
    const past = pastLength!.data[0]!;
    const shape = [t * group, capacity + t];
    const data = new Float64Array(sizeOfShape(shape));
    for (let row = 0; row < t * group; row++) {
      const query = past + Math.floor(row / group);
      for (let column = 0; column < capacity + t; column++) {
        const key = column < capacity ? column : past + column - capacity;
        const real = column >= capacity || column < past;
        const seen = real && key <= query && (window === null || key > query - window);
        data[row * (capacity + t) + column] = seen ? 0 : MASKED;
      }
    }
    return [{ shape, data }];
  },
  stopsGradient: true,
  lower(e, [past, total, cache], { attributes: { group, window } }) {
    const one = (type: string, inputs: string[], attributes = {}) => e.node(type, inputs, attributes)[0]!;
    const int = (value: number) => e.constant('int32', [], [value]);
    const sizes = (...values: number[]) => e.constant('int64', [values.length], values);
    const pastScalar = one('Reshape', [past!, e.constant('int64', [0], [])]);
    const capacity = one('Reshape', [
      one('Cast', [one('Shape', [cache!], { start: 2, end: 3 })], { to: 6 }),
      e.constant('int64', [0], []),
    ]);
    const time = one('Sub', [total!, pastScalar]);
    // Positions of the queries, each repeated for its group: [time · group, 1].
    const positions = one('Add', [one('Range', [int(0), time, int(1)]), pastScalar]);
    const column = one('Reshape', [positions, sizes(-1, 1, 1)]);
    const query = one('Reshape', [one('Expand', [column, sizes(1, group, 1)]), sizes(-1, 1)]);
    const slots = one('Range', [int(0), one('Add', [capacity, time]), int(1)]);
    const isNew = one('GreaterOrEqual', [slots, capacity]);
    const shifted = one('Add', [slots, one('Sub', [pastScalar, capacity])]);
    const key = one('Where', [isNew, shifted, slots]);
    const real = one('Or', [isNew, one('Less', [slots, pastScalar])]);
    let seen = one('And', [real, one('LessOrEqual', [key, query])]);
    if (window !== null) seen = one('And', [seen, one('Greater', [key, one('Sub', [query, int(window)])])]);
    return e.node('Where', [seen, e.constant('float32', [], [0]), e.constant('float32', [], [MASKED])]);
  },
  examples: [maskExample(1, null, 0), maskExample(2, null, 4), maskExample(2, 3, 6)],
};

function maskExample(group: number, window: number | null, past: number) {
  const length = { dtype: 'int32', shape: [1] } as const;
  return {
    inputs: [length, { dtype: 'int32', shape: [] } as const, floats(1, 2, 6, 4)],
    attributes: { time: 3, group, window },
    values: { 0: [past], 1: [past + 3] },
  };
}

function causalMask(past: Tensor, total: Tensor, cache: Tensor, attributes: CausalMaskAttributes): Tensor {
  return apply(causalMaskOp, [past, total, cache], attributes)[0]!;
}
