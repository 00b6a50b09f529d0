import { mulDims, sizeOf } from '../dims.ts';
import { MASKED } from '../operators/attention.ts';
import { apply, floats, type Lowering, type None, shapeError, type Tensor } from '../tensor.ts';

/**
 * A cache with new rows appended: cache `[1, kv, capacity, d]`, rows `[1, kv, time, d]`, length int32 `[1]` → `[1,
 * kv, capacity, d]`. It must have room for them.
 */
export const writeRowsOp: Lowering<None> = {
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

/** See {@link writeRowsOp}. */
export function writeRows(cache: Tensor, rows: Tensor, length: Tensor): Tensor {
  return apply(writeRowsOp, [cache, rows, length], {})[0]!;
}

/**
 * As many rows of a table as there are tokens, from `start` on: table `[n, d]`, start int32 `[1]`, x `[1, time, …]` →
 * `[time, d]`.
 */
export const rowsFromOp: Lowering<None> = {
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

/** See {@link rowsFromOp}. */
export function rowsFrom(table: Tensor, start: Tensor, x: Tensor): Tensor {
  return apply(rowsFromOp, [table, start, x], {})[0]!;
}

interface CausalMaskAttributes {
  /** The number of mask rows for each query. */
  readonly group: number;
  readonly window: number | null;
}

/**
 * 0 where a new query sees a row of the cache, {@link MASKED} elsewhere. The cache already has the rows of the new
 * tokens, after `past` others: past int32 `[1]`, tokens `[1, time, …]`, cache `[1, kv, capacity, d]` → `[time · group,
 * capacity]`.
 */
export const causalMaskOp: Lowering<CausalMaskAttributes> = {
  name: 'causalMask',
  infer(inputs, { group }) {
    const [past, tokens, cache] = inputs;
    if (past?.dtype !== 'int32' || tokens?.shape.length !== 3 || cache?.shape.length !== 4) {
      throw shapeError(
        'causalMask',
        inputs,
        'needs an int32 length [1], tokens [1, time, width] and a cache [1, kv, capacity, d]',
      );
    }
    return [{ dtype: 'float32', shape: [mulDims(group, tokens.shape[1]!), cache.shape[2]!] }];
  },
  evaluate([past, tokens, cache], { group, window }) {
    const time = tokens!.shape[1]!;
    const capacity = cache!.shape[2]!;
    const shape = [time * group, capacity];
    const data = new Float64Array(sizeOf(shape));
    for (let row = 0; row < time * group; row++) {
      const query = past!.data[0]! + Math.floor(row / group);
      for (let key = 0; key < capacity; key++) {
        const seen = key <= query && (window === null || key > query - window);
        data[row * capacity + key] = seen ? 0 : MASKED;
      }
    }
    return [{ shape, data }];
  },
  lower(e, [past, tokens, cache], { attributes: { group, window } }) {
    const one = (type: string, inputs: string[], attributes = {}) => e.node(type, inputs, attributes)[0]!;
    const int = (value: number) => e.constant('int32', [], [value]);
    const sizes = (...values: number[]) => e.constant('int64', [values.length], values);
    const count = (x: string, axis: number) => {
      const size = one('Cast', [one('Shape', [x], { start: axis, end: axis + 1 })], { to: 6 });
      return one('Range', [int(0), one('Reshape', [size, e.constant('int64', [0], [])]), int(1)]);
    };
    // Positions of the queries, each repeated for its group: [time · group, 1].
    const positions = one('Add', [count(tokens!, 1), past!]);
    const column = one('Reshape', [positions, sizes(-1, 1, 1)]);
    const query = one('Reshape', [one('Expand', [column, sizes(1, group, 1)]), sizes(-1, 1)]);
    const key = count(cache!, 2);
    let seen = one('LessOrEqual', [key, query]);
    if (window !== null) seen = one('And', [seen, one('Greater', [key, one('Sub', [query, int(window)])])]);
    return e.node('Where', [seen, e.constant('float32', [], [0]), e.constant('float32', [], [MASKED])]);
  },
  examples: [maskExample(1, null, 0), maskExample(2, null, 3), maskExample(2, 3, 2)],
};

function maskExample(group: number, window: number | null, past: number) {
  return {
    inputs: [{ dtype: 'int32', shape: [1] } as const, floats(1, 3, 2), floats(1, 2, 6, 4)],
    attributes: { group, window },
    values: { 0: [past] },
  };
}

/** See {@link causalMaskOp}. */
export function causalMask(
  past: Tensor,
  tokens: Tensor,
  cache: Tensor,
  attributes: CausalMaskAttributes,
): Tensor {
  return apply(causalMaskOp, [past, tokens, cache], attributes)[0]!;
}
