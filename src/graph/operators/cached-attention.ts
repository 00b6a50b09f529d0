import { addDims, type Dim, sameShape } from '../dims.ts';
import { apply, type Operator, shapeError, type Tensor, type TensorType } from '../tensor.ts';
import { sizeOfShape } from '../values.ts';
import { type AttentionAttributes, attention, MASKED } from './attention.ts';
import { rotary } from './rotary.ts';
import { concat, reshape, split, transpose } from './shape.ts';

export interface CachedAttentionAttributes extends AttentionAttributes {
  readonly heads: number;
  readonly kvHeads: number;
  /** A query sees the last `window` keys, itself included; null sees all before it. */
  readonly window: number | null;
  /** Whether queries, keys and values come as one tensor `[batch, time, (heads + 2 kv) · d]`. */
  readonly packed?: boolean;
  /** Whether queries and keys are turned here, by their places in the cache, with two further inputs. */
  readonly rotates?: boolean;
}

/** Head sizes for which the engine has attention over a cache as one kernel. */
export function hasFusedAttention(headDim: number): boolean {
  return headDim % 8 === 0;
}

/** Head sizes for which that kernel also turns queries and keys. */
export function hasFusedRotation(headDim: number): boolean {
  return headDim % 16 === 0;
}

/** The inputs by their meaning: queries, keys and values are `[qkv]` where they are packed. */
function cachedInputs<T>(inputs: readonly T[], { packed }: CachedAttentionAttributes) {
  const count = packed ? 1 : 3;
  const [pastK, pastV, pastLength, total, lastKey, cos, sin] = inputs.slice(count) as [T, T, T, T, T, T?, T?];
  return { qkv: inputs.slice(0, count), pastK, pastV, pastLength, total, lastKey, cos, sin };
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
  fits: (inputs, attributes, dialect) =>
    dialect !== 'webgpu' && hasFusedAttention(cachedInputs(inputs, attributes).pastK.shape[3] as number),
  infer(inputs, attributes) {
    const { heads, kvHeads, packed, rotates } = attributes;
    const { qkv, pastK, pastV, pastLength, total, lastKey, cos, sin } = cachedInputs(inputs, attributes);
    const headDim = pastK?.shape[3];
    const widths = packed ? [heads + 2 * kvHeads] : [heads, kvHeads, kvHeads];
    const fits =
      pastV &&
      pastK?.shape.length === 4 &&
      typeof headDim === 'number' &&
      heads % kvHeads === 0 &&
      qkv.every((x, i) => x.shape.length === 3 && x.shape[2] === widths[i]! * headDim) &&
      sameShape(pastK.shape, pastV.shape) &&
      pastLength?.dtype === 'int32' &&
      total?.dtype === 'int32' &&
      lastKey?.dtype === 'int32' &&
      (!rotates || [cos, sin].every((table) => table?.shape.length === 2 && table.shape[1] === headDim / 2));
    if (!fits) {
      throw shapeError(
        'cachedAttention',
        inputs,
        'needs q [batch, time, heads · d], k and v [batch, time, kv · d] or all in one, caches [batch, kv, capacity, d], int32 lengths [batch], [] and [batch], and tables [positions, d / 2] where it rotates',
      );
    }
    const [batch, time] = qkv[0]!.shape;
    return [{ dtype: 'float32', shape: [batch!, time!, heads * headDim] }, pastK, pastV];
  },
  expand(inputs, attributes) {
    const { heads, kvHeads, scale, softcap: cap, window, packed } = attributes;
    const { qkv, pastK, pastV, pastLength, total, cos, sin } = cachedInputs(inputs, attributes);
    const [, time] = qkv[0]!.shape as [Dim, Dim, Dim];
    const headDim = pastK.shape[3] as number;
    const sizes = [heads, kvHeads, kvHeads].map((count) => count * headDim);
    let [q, k, v] = (packed ? split(qkv[0]!, 2, sizes) : qkv) as [Tensor, Tensor, Tensor];
    if (cos && sin) {
      const turned = (x: Tensor, count: number) =>
        rotary(x, rowsFrom(cos, pastLength, x), rowsFrom(sin, pastLength, x), count);
      [q, k] = [turned(q, heads), turned(k, kvHeads)];
    }
    const group = heads / kvHeads;
    const rowsOf = (x: Tensor) => transpose(reshape(x, [1, time, kvHeads, headDim]), [0, 2, 1, 3]);
    // [1, time, kv, group, d] → [1, kv, time, group, d]: rows of one query's group stand together.
    const queries = transpose(reshape(q, [time, kvHeads, group, headDim]), [1, 0, 2, 3]);
    const stacked = reshape(queries, [1, kvHeads, mulGroup(time, group), headDim]);
    const keys = concat([pastK, rowsOf(k)], 2);
    const values = concat([pastV, rowsOf(v)], 2);
    const mask = causalMask(pastLength, total, pastK, { time, group, window });
    const out = attention(stacked, keys, values, mask, { scale, softcap: cap });
    const back = transpose(reshape(out, [kvHeads, time, group, headDim]), [1, 0, 2, 3]);
    const write = (past: Tensor, x: Tensor) => writeRows(past, rowsOf(x), pastLength);
    return [reshape(back, [1, time, heads * headDim]), write(pastK, k), write(pastV, v)];
  },
  lower(e, inputs, { attributes }) {
    const { heads, kvHeads, scale, softcap: cap, window, packed, rotates } = attributes;
    const { qkv, pastK, pastV, total, lastKey, cos, sin } = cachedInputs(inputs, attributes);
    return e.node(
      'GroupQueryAttention',
      [...qkv, ...(packed ? ['', ''] : []), pastK, pastV, lastKey, total, ...(rotates ? [cos!, sin!] : [])],
      {
        num_heads: heads,
        kv_num_heads: kvHeads,
        scale: { float: scale },
        softcap: { float: cap ?? 0 },
        local_window_size: window === null ? -1 : window,
        do_rotary: rotates ? 1 : 0,
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
    ...[0, 5].flatMap((past) => [
      cachedExample(4, 2, null, null, past, 16, { rotates: true }),
      cachedExample(4, 2, null, 2, past, 16, { rotates: true, packed: true }),
      cachedExample(3, 1, null, null, past, 16, { packed: true }),
    ]),
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

/** Rows of a table from a place on, as many as tokens: table `[n, d]`, start int32 `[1]`, x `[1, time, …]` → `[time, d]`. */
export const rowsFromOp: Operator<NoAttributes> = {
  name: 'rowsFrom',
  infer(inputs) {
    const [table, start, x] = inputs;
    if (table?.shape.length !== 2 || start?.dtype !== 'int32' || x?.shape.length !== 3) {
      throw shapeError(
        'rowsFrom',
        inputs,
        'needs a table [n, d], an int32 start [1] and tokens [1, time, width]',
      );
    }
    return [{ dtype: 'float32', shape: [x.shape[1]!, table.shape[1]!] }];
  },
  evaluate([table, start, x]) {
    const shape = [x!.shape[1]!, table!.shape[1]!] as const;
    const from = start!.data[0]! * shape[1];
    return [{ shape, data: table!.data.slice(from, from + shape[0] * shape[1]) }];
  },
  stopsGradient: true,
  lower(e, [table, start, x]) {
    const from = e.node('Cast', [start!], { to: 7 })[0]!;
    const end = e.node('Add', [from, e.node('Shape', [x!], { start: 1, end: 2 })[0]!])[0]!;
    return e.node('Slice', [table!, from, end, e.constant('int64', [1], [0])]);
  },
  examples: [
    {
      inputs: [floats(6, 4), { dtype: 'int32', shape: [1] }, floats(1, 3, 2)],
      attributes: {},
      values: { 1: [2] },
    },
  ],
};

function rowsFrom(table: Tensor, start: Tensor, x: Tensor): Tensor {
  return apply(rowsFromOp, [table, start, x], {})[0]!;
}

function mulGroup(time: Dim, group: number): Dim {
  let rows: Dim = 0;
  for (let i = 0; i < group; i++) rows = addDims(rows, time);
  return rows;
}

function cachedExample(
  heads: number,
  kvHeads: number,
  window: number | null,
  softcap: number | null,
  past: number,
  headDim = 8,
  forms: { readonly packed?: boolean; readonly rotates?: boolean } = {},
) {
  const int = { dtype: 'int32', shape: [1] } as const;
  const { packed, rotates } = forms;
  const widths = packed ? [heads + 2 * kvHeads] : [heads, kvHeads, kvHeads];
  const rows = widths.map((count) => floats(1, 3, count * headDim));
  // Just enough room, so that every row of the caches afterwards is defined.
  const cache = floats(1, kvHeads, past + 3, headDim);
  const tables = rotates ? [floats(past + 3, headDim / 2), floats(past + 3, headDim / 2)] : [];
  const at = rows.length + 2;
  return {
    inputs: [...rows, cache, cache, int, { dtype: 'int32', shape: [] } as const, int, ...tables],
    attributes: { heads, kvHeads, window, softcap, scale: 0.4, ...forms },
    values: { [at]: [past], [at + 1]: [past + 3], [at + 2]: [past + 2] },
  };
}

/**
 * q `[1, time, heads · d]` and new keys and values `[1, time, kv · d]` (already rotated, unless `tables` are given: cos and
 * sin of all positions, `[positions, d / 2]`, where the place in the cache is the position), caches
 * `[1, kv, capacity, d]` of which `pastLength` (int32 `[1]`) rows are real, `total` (int32 `[]`) the largest
 * pastLength + time, `lastKey` (int32 `[1]`) = pastLength + time − 1 →
 * `[1, time, heads · d]` and the caches with the new rows. A batch's sizes are in the place of 1.
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
  attributes: Omit<CachedAttentionAttributes, 'packed' | 'rotates'>,
  tables?: { readonly cos: Tensor; readonly sin: Tensor } | undefined,
): readonly [Tensor, Tensor, Tensor] {
  const inputs = [
    q,
    k,
    v,
    pastK,
    pastV,
    pastLength,
    total,
    lastKey,
    ...(tables ? [tables.cos, tables.sin] : []),
  ];
  const outputs = apply(cachedAttentionOp, inputs, { ...attributes, rotates: tables !== undefined });
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

function floats(...shape: number[]): TensorType {
  return { dtype: 'float32', shape };
}
