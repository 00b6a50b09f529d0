import { type Dim, mulDims, sameShape } from '../dims.ts';
import { causalMask, rowsFrom, writeRows } from '../lowerings/cache-rows.ts';
import { apply, type Dialect, floats, type Operator, shapeError, type Tensor } from '../tensor.ts';
import { type AttentionAttributes, attention } from './attention.ts';
import { reshape } from './broadcast.ts';
import { rotary } from './rotary.ts';
import { split, transpose } from './shape.ts';

export interface CachedAttentionAttributes extends AttentionAttributes {
  readonly heads: number;
  readonly kvHeads: number;
  /** A query sees the last `window` keys, including its own; null means all previous keys. */
  readonly window: number | null;
  /** Whether queries, keys and values come as one tensor `[batch, time, (heads + 2 kv) · d]`. */
  readonly packed?: boolean;
  /** Set if the expansion is used even where the engine has a kernel. */
  readonly unfused?: boolean;
  /** Whether queries and keys are rotated here, by their places in the cache, with two further inputs. */
  readonly rotates?: boolean;
}

/** Whether the engine has cached attention as one kernel. */
export function hasFusedAttention(
  { headDim, softcap }: { readonly headDim: number; readonly softcap: number | null },
  dialect: Dialect,
): boolean {
  // GroupQueryAttention refuses other head sizes, its WebGPU kernels ignore the cap, and provider libraries leave it to
  // the CPU: OpenVINO always, CUDA in float32.
  return headDim % 8 === 0 && dialect !== 'library' && (dialect !== 'webgpu' || softcap === null);
}

/** Head sizes for which that kernel also rotates queries and keys. */
export function hasFusedRotation(headDim: number): boolean {
  return headDim % 16 === 0;
}

/** The inputs by role: queries, keys and values are `[qkv]` if packed. */
function cachedInputs<T>(inputs: readonly T[], { packed }: CachedAttentionAttributes) {
  const count = packed ? 1 : 3;
  const [pastK, pastV, pastLength, total, lastKey, cos, sin] = inputs.slice(count) as [T, T, T, T, T, T?, T?];
  return { qkv: inputs.slice(0, count), pastK, pastV, pastLength, total, lastKey, cos, sin };
}

/**
 * Grouped-query attention of new tokens over a cache and themselves. The cache is a buffer with spare room: the first
 * `pastLength` rows are valid and in the order of their positions, the rest is ignored.
 *
 * The second and third outputs are the caches with the new rows appended (the rest is undefined). If the engine may
 * write them over the input caches, nothing is copied, and the caches need room. Sequences of a batch may have
 * different lengths; the expansion supports only a batch of one.
 */
export const cachedAttentionOp: Operator<CachedAttentionAttributes> = {
  name: 'cachedAttention',
  engineOnly: true,
  fits: (inputs, attributes, dialect) =>
    !attributes.unfused &&
    hasFusedAttention(
      { headDim: cachedInputs(inputs, attributes).pastK.shape[3] as number, softcap: attributes.softcap },
      dialect,
    ),
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
        'needs q [batch, time, heads · d], k and v [batch, time, kv · d] or all in one, caches [batch, kv, capacity, d], int32 lengths [batch], [] and [batch], and tables [positions, d / 2] if it rotates',
      );
    }
    const [batch, time] = qkv[0]!.shape;
    return [{ dtype: 'float32', shape: [batch!, time!, heads * headDim] }, pastK, pastV];
  },
  expand(inputs, attributes) {
    const { heads, kvHeads, scale, softcap: cap, window, packed } = attributes;
    const { qkv, pastK, pastV, pastLength, cos, sin } = cachedInputs(inputs, attributes);
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
    // [1, time, kv, group, d] → [1, kv, time, group, d]: the rows of one query's group are adjacent.
    const queries = transpose(reshape(q, [time, kvHeads, group, headDim]), [1, 0, 2, 3]);
    const stacked = reshape(queries, [1, kvHeads, mulDims(group, time), headDim]);
    const keys = writeRows(pastK, rowsOf(k), pastLength);
    const values = writeRows(pastV, rowsOf(v), pastLength);
    const mask = causalMask(pastLength, q, pastK, { group, window });
    const out = attention(stacked, keys, values, mask, { scale, softcap: cap });
    const back = transpose(reshape(out, [kvHeads, time, group, headDim]), [1, 0, 2, 3]);
    return [reshape(back, [1, time, heads * headDim]), keys, values];
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
  // Just enough room, so that afterwards every row of the caches is defined.
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
 * q `[1, time, heads · d]` and new keys and values `[1, time, kv · d]` (already rotated, unless `tables` are given:
 * cos and sin of all positions, `[positions, d / 2]`, if the place in the cache is the position), caches `[1, kv,
 * capacity, d]` of which `pastLength` (int32 `[1]`) rows are valid, `total` (int32 `[]`) the largest pastLength +
 * time, `lastKey` (int32 `[1]`) = pastLength + time − 1 → `[1, time, heads · d]` and the caches with the new rows.
 * For a batch, its size replaces the 1.
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
