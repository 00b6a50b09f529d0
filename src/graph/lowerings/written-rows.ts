import { mulDims, sizeOf } from '../dims.ts';
import { MASKED } from '../operators/attention.ts';
import { apply, floats, type Lowering, type None, shapeError, type Tensor } from '../tensor.ts';

/**
 * Caches with rows written at given places: cache `[batch, kv, capacity, d]`, rows `[batch, kv, time, d]`, int64 places
 * `[batch, kv, time, 3]` of (sequence, head, row), all different. Where the engine may write over the cache, nothing is
 * copied.
 */
export const placeRowsOp: Lowering<None> = {
  name: 'placeRows',
  infer(inputs) {
    const [cache, rows, places] = inputs;
    if (cache?.shape.length !== 4 || rows?.shape.length !== 4 || places?.dtype !== 'int64') {
      throw shapeError(
        'placeRows',
        inputs,
        'needs a cache [batch, kv, capacity, d], rows [batch, kv, time, d] and int64 places [batch, kv, time, 3]',
      );
    }
    return [cache];
  },
  evaluate([cache, rows, places]) {
    const [, heads, capacity, width] = cache!.shape as [number, number, number, number];
    const data = cache!.data.slice();
    for (let i = 0; i < places!.data.length / 3; i++) {
      const [sequence, head, row] = places!.data.subarray(3 * i, 3 * i + 3) as unknown as [
        number,
        number,
        number,
      ];
      data.set(
        rows!.data.subarray(i * width, (i + 1) * width),
        ((sequence * heads + head) * capacity + row) * width,
      );
    }
    return [{ shape: cache!.shape, data }];
  },
  lower: (e, [cache, rows, places]) => e.node('ScatterND', [cache!, places!, rows!]),
  examples: [
    {
      inputs: [floats(2, 2, 5, 4), floats(2, 2, 2, 4), { dtype: 'int64', shape: [2, 2, 2, 3] }],
      attributes: {},
      values: { 2: [0, 0, 3, 0, 0, 4, 0, 1, 3, 0, 1, 4, 1, 0, 1, 1, 0, 2, 1, 1, 1, 1, 1, 2] },
    },
  ],
};

/** See {@link placeRowsOp}. */
export function placeRows(cache: Tensor, rows: Tensor, places: Tensor): Tensor {
  return apply(placeRowsOp, [cache, rows, places], {})[0]!;
}

interface SeenKeysAttributes {
  /** The number of mask rows for each query. */
  readonly group: number;
  readonly window: number | null;
}

/**
 * 0 where a query sees a row of the cache, {@link MASKED} elsewhere: int32 queries `[batch, time]`, the rows that hold
 * their own keys; int32 keys `[capacity]`, the numbers of all rows → `[batch, 1, time · group, capacity]`.
 */
export const seenKeysOp: Lowering<SeenKeysAttributes> = {
  name: 'seenKeys',
  infer(inputs, { group }) {
    const [queries, keys] = inputs;
    if (queries?.dtype !== 'int32' || queries.shape.length !== 2 || keys?.dtype !== 'int32') {
      throw shapeError('seenKeys', inputs, 'needs int32 queries [batch, time] and int32 keys [capacity]');
    }
    const [batch, time] = queries.shape;
    return [{ dtype: 'float32', shape: [batch!, 1, mulDims(group, time!), keys.shape[0]!] }];
  },
  evaluate([queries, keys], { group, window }) {
    const [batch, time] = queries!.shape as [number, number];
    const capacity = keys!.shape[0]!;
    const shape = [batch, 1, time * group, capacity];
    const data = new Float64Array(sizeOf(shape));
    data.forEach((_, i) => {
      const query = queries!.data[Math.floor(i / capacity / group)]!;
      const key = keys!.data[i % capacity]!;
      const seen = key <= query && (window === null || key > query - window);
      data[i] = seen ? 0 : MASKED;
    });
    return [{ shape, data }];
  },
  lower(e, [queries, keys], { attributes: { group, window } }) {
    const one = (type: string, inputs: string[]) => e.node(type, inputs)[0]!;
    const sizes = (...values: number[]) => e.constant('int64', [values.length], values);
    const each = one('Expand', [one('Reshape', [queries!, sizes(0, 0, 1)]), sizes(1, 1, group)]);
    const query = one('Reshape', [each, sizes(0, 1, -1, 1)]);
    let seen = one('LessOrEqual', [keys!, query]);
    if (window !== null) {
      const before = one('Sub', [query, e.constant('int32', [], [window])]);
      seen = one('And', [seen, one('Greater', [keys!, before])]);
    }
    return e.node('Where', [seen, e.constant('float32', [], [0]), e.constant('float32', [], [MASKED])]);
  },
  examples: [seenExample(1, null), seenExample(2, null), seenExample(2, 3)],
};

function seenExample(group: number, window: number | null) {
  const queries = { dtype: 'int32', shape: [2, 3] } as const;
  return {
    inputs: [queries, { dtype: 'int32', shape: [6] } as const],
    attributes: { group, window },
    values: { 0: [1, 2, 3, 3, 4, 5], 1: [0, 1, 2, 3, 4, 5] },
  };
}

/** See {@link seenKeysOp}. */
export function seenKeys(queries: Tensor, keys: Tensor, attributes: SeenKeysAttributes): Tensor {
  return apply(seenKeysOp, [queries, keys], attributes)[0]!;
}
