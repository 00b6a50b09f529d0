import { type Dim, sameDim, sameShape, sizeOf } from '../dims.ts';
import {
  apply,
  floats,
  type None,
  type Operator,
  shapeError,
  type Tensor,
  type TensorType,
} from '../tensor.ts';
import { broadcastTo, reshape } from './broadcast.ts';
import { concatenated } from './shape.ts';
import { scalar } from './sources.ts';

function isIndex(x: TensorType | undefined): boolean {
  return x?.dtype === 'int64' || x?.dtype === 'int32';
}

/** Rows of a table by index: an embedding. */
export const gatherRowsOp: Operator<None> = {
  name: 'gatherRows',
  infer(inputs) {
    const [table, ids] = inputs;
    const isFloat = table?.dtype === 'float32' || table?.dtype === 'float16';
    if (!isFloat || table.shape.length !== 2 || !isIndex(ids)) {
      throw shapeError('gatherRows', inputs, 'needs a float matrix and integer row indices');
    }
    return [{ dtype: table.dtype, shape: [...ids!.shape, table.shape[1]!] }];
  },
  evaluate([table, ids]) {
    const width = table!.shape[1]!;
    const data = new Float64Array(ids!.data.length * width);
    ids!.data.forEach((id, row) => {
      data.set(table!.data.subarray(id * width, (id + 1) * width), row * width);
    });
    return [{ shape: [...ids!.shape, width], data }];
  },
  differentiate({ inputs, gradients }) {
    const [table, ids] = inputs as [Tensor, Tensor];
    const count = sizeOf(ids.shape);
    const rows = reshape(gradients[0]!, [count, table.shape[1]!]);
    return [scatterRows(reshape(ids, [count]), rows, table.shape[0]!), undefined];
  },
  lower: (e, inputs) => e.node('Gather', inputs, { axis: 0 }),
  cheap: true,
  examples: [
    {
      inputs: [floats(5, 3), { dtype: 'int64', shape: [7] }],
      attributes: {},
      below: 5,
    },
  ],
};

/** table `[count, width]`, ids `[…]` → `[…, width]`. */
export function gatherRows(table: Tensor, ids: Tensor): Tensor {
  return apply(gatherRowsOp, [table, ids], {})[0]!;
}

/** The same rows of every matrix in a batch: the tokens whose logits are wanted. */
export const takeRowsOp: Operator<None> = {
  name: 'takeRows',
  infer(inputs) {
    const [x, ids] = inputs;
    if (x?.dtype !== 'float32' || x.shape.length !== 3 || !isIndex(ids) || ids!.shape.length !== 1) {
      throw shapeError(
        'takeRows',
        inputs,
        'needs floats [batch, rows, width] and integer row indices [count]',
      );
    }
    return [{ dtype: 'float32', shape: [x.shape[0]!, ids!.shape[0]!, x.shape[2]!] }];
  },
  evaluate([x, ids]) {
    const [batch, rows, width] = x!.shape as [number, number, number];
    const count = ids!.data.length;
    const data = new Float64Array(batch * count * width);
    for (let b = 0; b < batch; b++) {
      ids!.data.forEach((id, i) => {
        const from = (b * rows + id) * width;
        data.set(x!.data.subarray(from, from + width), (b * count + i) * width);
      });
    }
    return [{ shape: [batch, count, width], data }];
  },
  lower: (e, inputs) => e.node('Gather', inputs, { axis: 1 }),
  examples: [
    {
      inputs: [floats(2, 5, 3), { dtype: 'int32', shape: [2] }],
      attributes: {},
      below: 5,
    },
  ],
};

/** x `[batch, rows, width]`, ids `[count]` → `[batch, count, width]`. */
export function takeRows(x: Tensor, ids: Tensor): Tensor {
  return apply(takeRowsOp, [x, ids], {})[0]!;
}

export interface ScatterAttributes {
  readonly rows: Dim;
}

/** The most elements of the matrix by which {@link scatterRowsOp} adds up rows. */
const SAME_ROWS = 2 ** 24;

/**
 * The transpose of {@link gatherRowsOp}: row i of the input is added into row ids[i] of the result. The engine's
 * ScatterND has a data race when an id repeats. So every row is first replaced by the sum of all rows with its id, a product
 * with the matrix of equal ids; all writes to a row of the result then write the same numbers, in whatever order they happen.
 * On the CPU the runtime avoids that product: it adds the rows on the host, in order, after the run, where this occurs at a
 * graph's outputs, alone or added to something.
 */
export const scatterRowsOp: Operator<ScatterAttributes> = {
  name: 'scatterRows',
  infer(inputs, { rows }) {
    const [ids, values] = inputs;
    if (
      !isIndex(ids) ||
      values?.dtype !== 'float32' ||
      values.shape.length !== 2 ||
      ids!.shape.length !== 1
    ) {
      throw shapeError(
        'scatterRows',
        inputs,
        'needs integer row indices [count] and float rows [count, width]',
      );
    }
    if (!sameDim(ids!.shape[0]!, values.shape[0]!))
      throw shapeError('scatterRows', inputs, 'the counts differ');
    return [{ dtype: 'float32', shape: [rows, values.shape[1]!] }];
  },
  evaluate([ids, values], { rows }) {
    const width = values!.shape[1]!;
    const data = new Float64Array((rows as number) * width);
    ids!.data.forEach((id, row) => {
      for (let i = 0; i < width; i++) data[id * width + i]! += values!.data[row * width + i]!;
    });
    return [{ shape: [rows as number, width], data }];
  },
  differentiate: ({ inputs, gradients }) => [undefined, gatherRows(gradients[0]!, inputs[0]!)],
  lower(e, [ids, values], { inputs, attributes: { rows } }) {
    const [count, width] = inputs[1]!.shape as [number, number];
    const sizes = (...all: number[]) => e.constant('int64', [all.length], all);
    const [column] = e.node('Reshape', [ids!, sizes(count, 1)]);
    const [row] = e.node('Reshape', [ids!, sizes(1, count)]);
    const chunk = Math.max(1, Math.floor(SAME_ROWS / count));
    const sums: string[] = [];
    for (let start = 0; start < count; start += chunk) {
      const end = Math.min(count, start + chunk);
      const part = Int32Array.from({ length: end - start }, (_, i) => start + i);
      // The WebGPU kernel of Slice takes no integers.
      const some =
        chunk < count
          ? e.node('Gather', [column!, e.constant('int32', [part.length], part)], { axis: 0 })
          : [column!];
      const same = e.node('Cast', e.node('Equal', [some[0]!, row!]), { to: 1 });
      sums.push(e.node('MatMul', [same[0]!, values!])[0]!);
    }
    const sum = sums.length > 1 ? concatenated(e, sums, 0)[0]! : sums[0]!;
    const [zeros] = e.node('Expand', [e.constant('float32', [1, 1], [0]), sizes(rows as number, width)]);
    const [places] = e.node('Expand', [column!, sizes(count, width)]);
    return e.node('ScatterElements', [zeros!, places!, sum], { axis: 0 });
  },
  examples: [
    {
      inputs: [{ dtype: 'int64', shape: [7] }, floats(7, 3)],
      attributes: { rows: 5 },
      below: 5,
    },
  ],
};

export function scatterRows(ids: Tensor, values: Tensor, rows: Dim): Tensor {
  return apply(scatterRowsOp, [ids, values], { rows })[0]!;
}

export interface RowRange {
  /** The first row of a table that a part of it has, and the number of its rows. */
  readonly start: number;
  readonly rows: number;
}

/**
 * Where ids of rows are in a part of a table. The second output is 1 for ids that the part has, and 0 for the others, whose
 * place is 0.
 */
export const placesInOp: Operator<RowRange> = {
  name: 'placesIn',
  stopsGradient: true,
  infer(inputs) {
    const [ids] = inputs;
    if (!isIndex(ids)) throw shapeError('placesIn', inputs, 'needs integer row indices');
    return [ids!, { dtype: 'float32', shape: ids!.shape }];
  },
  evaluate([ids], { start, rows }) {
    const hits = Float64Array.from(ids!.data, (id) => (id >= start && id < start + rows ? 1 : 0));
    const places = Float64Array.from(ids!.data, (id, i) => hits[i]! * (id - start));
    return [places, hits].map((data) => ({ shape: ids!.shape, data }));
  },
  lower(e, [ids], { inputs, attributes: { start, rows } }) {
    const { dtype } = inputs[0]!;
    const from = e.constant(dtype, [], [start]);
    const cast = (name: string, to: number) => e.node('Cast', [name], { to })[0]!;
    const reached = cast(e.node('GreaterOrEqual', [ids!, from])[0]!, 1);
    const below = cast(e.node('Less', [ids!, e.constant(dtype, [], [start + rows])])[0]!, 1);
    const [hits] = e.node('Mul', [reached, below]);
    const [offset] = e.node('Sub', [ids!, from]);
    return [e.node('Mul', [offset!, cast(hits!, dtype === 'int64' ? 7 : 6)])[0]!, hits!];
  },
  examples: [
    { inputs: [{ dtype: 'int32', shape: [9] }], attributes: { start: 2, rows: 3 }, below: 7 },
    { inputs: [{ dtype: 'int32', shape: [3, 3] }], attributes: { start: 0, rows: 4 }, below: 7 },
  ],
};

/** ids `[…]` → their places in the part, and 1 or 0, both `[…]`. */
export function placesIn(ids: Tensor, range: RowRange): readonly [Tensor, Tensor] {
  return apply(placesInOp, [ids], range) as readonly [Tensor, Tensor];
}

/** Some elements of each row: x[i, ids[i, j]]. */
export const takeAlongOp: Operator<None> = {
  name: 'takeAlong',
  infer(inputs) {
    const [x, ids] = inputs;
    if (x?.dtype !== 'float32' || x.shape.length !== 2 || !isIndex(ids) || !sameRows(x, ids!)) {
      throw shapeError('takeAlong', inputs, 'needs a float matrix [n, m] and integers [n, k]');
    }
    return [{ dtype: 'float32', shape: ids!.shape }];
  },
  evaluate([x, ids]) {
    const [m, k] = [x!.shape[1]!, ids!.shape[1]!];
    const data = Float64Array.from(ids!.data, (id, i) => x!.data[Math.floor(i / k) * m + id]!);
    return [{ shape: ids!.shape, data }];
  },
  differentiate({ inputs, gradients }) {
    const zeros = broadcastTo(scalar(0), inputs[0]!.shape);
    return [addAlong(zeros, inputs[1]!, gradients[0]!), undefined];
  },
  lower: (e, inputs) => e.node('GatherElements', inputs, { axis: 1 }),
  examples: [1, 2].map((k) => ({
    inputs: [floats(4, 3), { dtype: 'int64', shape: [4, k] }],
    attributes: {},
    below: 3,
  })),
};

function sameRows(x: TensorType, ids: TensorType): boolean {
  return ids.shape.length === 2 && sameDim(ids.shape[0]!, x.shape[0]!);
}

/** x `[n, m]`, ids `[n, k]` → x[i, ids[i, j]] as `[n, k]`. */
export function takeAlong(x: Tensor, ids: Tensor): Tensor {
  return apply(takeAlongOp, [x, ids], {})[0]!;
}

/** Adds values to some elements of each row. */
export const addAlongOp: Operator<None> = {
  name: 'addAlong',
  infer(inputs) {
    const [x, ids, values] = inputs;
    const fits =
      x?.shape.length === 2 &&
      isIndex(ids) &&
      sameRows(x, ids!) &&
      values &&
      sameShape(values.shape, ids!.shape);
    if (!x || !fits) throw shapeError('addAlong', inputs, 'needs [n, m], integers [n, k] and floats [n, k]');
    return [x];
  },
  evaluate([x, ids, values]) {
    const data = x!.data.slice();
    const [m, k] = [x!.shape[1]!, ids!.shape[1]!];
    ids!.data.forEach((id, i) => {
      data[Math.floor(i / k) * m + id]! += values!.data[i]!;
    });
    return [{ shape: x!.shape, data }];
  },
  differentiate: ({ inputs, gradients }) => [gradients[0], undefined, takeAlong(gradients[0]!, inputs[1]!)],
  // The engine's CPU kernel adds sequentially, so unlike ScatterND with repeated rows an id may repeat.
  lower: (e, inputs) => e.node('ScatterElements', inputs, { axis: 1, reduction: 'add' }),
  examples: [1, 4].map((k) => ({
    inputs: [floats(4, 3), { dtype: 'int64', shape: [4, k] }, floats(4, k)],
    attributes: {},
    below: 3,
  })),
};

/** x `[n, m]` with values[i, j] added at [i, ids[i, j]]; ids and values `[n, k]`. */
export function addAlong(x: Tensor, ids: Tensor, values: Tensor): Tensor {
  return apply(addAlongOp, [x, ids, values], {})[0]!;
}
