import { addDims, type Dim, sameDim, sizeOf } from '../dims.ts';
import { apply, type Emitter, floats, isNodeOf, type Operator, shapeError, type Tensor } from '../tensor.ts';
import { forEachIndex, stridesOf } from '../values.ts';
import { broadcastTo } from './broadcast.ts';
import { scalar } from './sources.ts';

/** Joins values along an axis, a few at a time where a kernel cannot bind them all. */
export function concatenated(e: Emitter, values: readonly string[], axis: number): string[] {
  let parts = [...values];
  while (e.dialect === 'webgpu' && parts.length >= BOUND_BUFFERS) {
    const groups = Array.from({ length: Math.ceil(parts.length / (BOUND_BUFFERS - 1)) }, (_, i) =>
      parts.slice(i * (BOUND_BUFFERS - 1), (i + 1) * (BOUND_BUFFERS - 1)),
    );
    parts = groups.map((group) => (group.length === 1 ? group[0]! : e.node('Concat', group, { axis })[0]!));
  }
  return e.node('Concat', parts, { axis });
}

/** The buffers that a WebGPU kernel can bind on every device (`maxStorageBuffersPerShaderStage`). */
const BOUND_BUFFERS = 8;

export interface TransposeAttributes {
  readonly permutation: readonly number[];
}

export const transposeOp: Operator<TransposeAttributes> = {
  name: 'transpose',
  infer(inputs, { permutation }) {
    const [x] = inputs;
    const sorted = [...permutation].sort((a, b) => a - b);
    if (!x || sorted.length !== x.shape.length || sorted.some((axis, i) => axis !== i)) {
      throw shapeError('transpose', inputs, `[${permutation}] is not a permutation of its axes`);
    }
    return [{ dtype: x.dtype, shape: permutation.map((axis) => x.shape[axis]!) }];
  },
  evaluate([x], { permutation }) {
    const strides = stridesOf(x!.shape);
    const shape = permutation.map((axis) => x!.shape[axis]!);
    const data = new Float64Array(x!.data.length);
    forEachIndex(shape, (index, flat) => {
      let at = 0;
      for (let i = 0; i < index.length; i++) at += index[i]! * strides[permutation[i]!]!;
      data[flat] = x!.data[at]!;
    });
    return [{ shape, data }];
  },
  differentiate({ gradients, attributes: { permutation } }) {
    return [
      transpose(
        gradients[0]!,
        permutation.map((_, axis) => permutation.indexOf(axis)),
      ),
    ];
  },
  lower: (e, inputs, { attributes }) => e.node('Transpose', inputs, { perm: attributes.permutation }),
  cheap: true,
  identity([x], { permutation }) {
    const { node } = x!;
    const undone =
      isNodeOf(node, transposeOp) && permutation.every((axis, i) => node.attributes.permutation[axis] === i);
    return undone ? node.inputs[0] : undefined;
  },
  examples: [
    { inputs: [floats(2, 3)], attributes: { permutation: [1, 0] } },
    { inputs: [floats(2, 3, 4, 5)], attributes: { permutation: [0, 2, 3, 1] } },
  ],
};

/** Permutes axes: axis i of the result is axis `permutation[i]` of `x`. */
export function transpose(x: Tensor, permutation: readonly number[]): Tensor {
  return permutation.every((axis, i) => axis === i) ? x : apply(transposeOp, [x], { permutation })[0]!;
}

export interface ConcatAttributes {
  readonly axis: number;
}

export const concatOp: Operator<ConcatAttributes> = {
  name: 'concat',
  infer(inputs, { axis }) {
    const [first] = inputs;
    const fits = inputs.every(
      (x) =>
        x.dtype === first?.dtype &&
        x.shape.length === first.shape.length &&
        x.shape.every((dim, i) => i === axis || sameDim(dim, first.shape[i]!)),
    );
    if (!first || !fits || axis >= first.shape.length) {
      throw shapeError('concat', inputs, `the shapes must agree except along axis ${axis}`);
    }
    const size = inputs.reduce<Dim>((sum, x) => addDims(sum, x.shape[axis]!), 0);
    return [{ dtype: first.dtype, shape: first.shape.map((dim, i) => (i === axis ? size : dim)) }];
  },
  evaluate(inputs, { axis }) {
    const shape = [...inputs[0]!.shape];
    shape[axis] = inputs.reduce((sum, x) => sum + x.shape[axis]!, 0);
    const data = new Float64Array(sizeOf(shape));
    const strides = stridesOf(shape);
    let start = 0;
    for (const x of inputs) {
      forEachIndex(x.shape, (index, flat) => {
        let at = start * strides[axis]!;
        for (let i = 0; i < index.length; i++) at += index[i]! * strides[i]!;
        data[at] = x.data[flat]!;
      });
      start += x.shape[axis]!;
    }
    return [{ shape, data }];
  },
  differentiate({ inputs, gradients, attributes: { axis } }) {
    let start: Dim = 0;
    return inputs.map((x) => {
      const begin = start;
      start = addDims(start, x.shape[axis]!);
      if (typeof begin !== 'number' || typeof start !== 'number') {
        throw shapeError('concat', inputs, 'has no derivative while the sizes along its axis are unknown');
      }
      return slice(gradients[0]!, axis, begin, start);
    });
  },
  lower: (e, inputs, { attributes: { axis } }) => concatenated(e, inputs, axis),
  cheap: true,
  examples: [
    { inputs: [floats(2, 3), floats(2, 2)], attributes: { axis: 1 } },
    { inputs: [floats(1, 3), floats(2, 3)], attributes: { axis: 0 } },
    // More than a WebGPU kernel can take.
    { inputs: Array.from({ length: 9 }, (_, i) => floats(2, 1 + (i % 2))), attributes: { axis: 1 } },
  ],
};

/** Concatenates tensors along `axis`. */
export function concat(inputs: readonly Tensor[], axis: number): Tensor {
  return inputs.length === 1 ? inputs[0]! : apply(concatOp, inputs, { axis })[0]!;
}

export interface SliceAttributes {
  readonly axis: number;
  /** First index. */
  readonly start: number;
  /** End index, exclusive; null is the end. Negative numbers count from the end. */
  readonly end: number | null;
}

function sliceBounds(dim: Dim, start: number, end: number | null): Dim | undefined {
  if (typeof dim === 'number') {
    const from = start < 0 ? dim + start : start;
    const to = end === null ? dim : end < 0 ? dim + end : end;
    return from >= 0 && from <= to && to <= dim ? to - from : undefined;
  }
  if (end === null) return start < 0 ? -start : addDims(dim, -start);
  return start >= 0 === end >= 0 && end >= start ? end - start : undefined;
}

export const sliceOp: Operator<SliceAttributes> = {
  name: 'slice',
  infer(inputs, { axis, start, end }) {
    const [x] = inputs;
    const size = x && axis < x.shape.length ? sliceBounds(x.shape[axis]!, start, end) : undefined;
    if (!x || size === undefined)
      throw shapeError('slice', inputs, `has no range ${start}…${end} on axis ${axis}`);
    return [{ dtype: x.dtype, shape: x.shape.map((dim, i) => (i === axis ? size : dim)) }];
  },
  evaluate([x], { axis, start, end }) {
    const size = sliceBounds(x!.shape[axis]!, start, end) as number;
    const from = start < 0 ? x!.shape[axis]! + start : start;
    const shape = x!.shape.map((dim, i) => (i === axis ? size : dim));
    const strides = stridesOf(x!.shape);
    const data = new Float64Array(sizeOf(shape));
    forEachIndex(shape, (index, flat) => {
      let at = from * strides[axis]!;
      for (let i = 0; i < index.length; i++) at += index[i]! * strides[i]!;
      data[flat] = x!.data[at]!;
    });
    return [{ shape, data }];
  },
  differentiate({ inputs, gradients, attributes: { axis, start, end } }) {
    const dim = inputs[0]!.shape[axis]!;
    if (typeof dim !== 'number') throw shapeError('slice', inputs, 'has no derivative along an unknown size');
    const from = start < 0 ? dim + start : start;
    const to = end === null ? dim : end < 0 ? dim + end : end;
    return [pad(gradients[0]!, axis, from, dim - to)];
  },
  lower(e, [x], { attributes: { axis, start, end }, inputs, outputs }) {
    const one = (value: number) => e.constant('int64', [1], [value]);
    const [{ dtype, shape }] = inputs as readonly [Tensor];
    const [from, count] = [shape[axis], outputs[0]!.shape[axis]];
    // The WebGPU kernel of Slice takes floats alone; that of Gather takes integers too.
    if (
      e.dialect === 'webgpu' &&
      dtype === 'int32' &&
      typeof from === 'number' &&
      typeof count === 'number'
    ) {
      const first = start < 0 ? from + start : start;
      const indices = Array.from({ length: count }, (_, i) => first + i);
      return e.node('Gather', [x!, e.constant('int32', [count], indices)], { axis });
    }
    return e.node('Slice', [x!, one(start), one(end ?? Number.MAX_SAFE_INTEGER), one(axis)]);
  },
  cheap: true,
  examples: [
    { inputs: [floats(4, 5)], attributes: { axis: 1, start: 1, end: 4 } },
    { inputs: [floats(4, 5)], attributes: { axis: 0, start: -1, end: null } },
  ],
};

/** The part of `x` from `start` up to `end` (null: to the end) along `axis`. */
export function slice(x: Tensor, axis: number, start: number, end: number | null): Tensor {
  if (start === 0 && (end === null || end === x.shape[axis])) return x;
  return apply(sliceOp, [x], { axis, start, end })[0]!;
}

export interface PadAttributes {
  readonly axis: number;
  readonly before: number;
  readonly after: number;
}

/** Zeros before and after along one axis: the derivative of a slice. */
export const padOp: Operator<PadAttributes> = {
  name: 'pad',
  infer(inputs, { axis, before, after }) {
    const [x] = inputs;
    if (x?.dtype !== 'float32' || axis >= x.shape.length || before < 0 || after < 0) {
      throw shapeError('pad', inputs, `cannot be padded by ${before} and ${after} on axis ${axis}`);
    }
    return [
      { dtype: 'float32', shape: x.shape.map((dim, i) => (i === axis ? addDims(dim, before + after) : dim)) },
    ];
  },
  evaluate([x], { axis, before, after }) {
    const shape = x!.shape.map((dim, i) => (i === axis ? dim + before + after : dim));
    const data = new Float64Array(sizeOf(shape));
    const strides = stridesOf(shape);
    forEachIndex(x!.shape, (index, flat) => {
      let at = before * strides[axis]!;
      for (let i = 0; i < index.length; i++) at += index[i]! * strides[i]!;
      data[at] = x!.data[flat]!;
    });
    return [{ shape, data }];
  },
  differentiate({ gradients, inputs, attributes: { axis, before } }) {
    const dim = inputs[0]!.shape[axis]!;
    if (typeof dim !== 'number') throw shapeError('pad', inputs, 'has no derivative along an unknown size');
    return [slice(gradients[0]!, axis, before, before + dim)];
  },
  lower(e, [x], { attributes: { axis, before, after } }) {
    const pads = e.constant('int64', [2], [before, after]);
    return e.node('Pad', [x!, pads, e.constant('float32', [], [0]), e.constant('int64', [1], [axis])]);
  },
  cheap: true,
  examples: [{ inputs: [floats(2, 3)], attributes: { axis: 1, before: 1, after: 2 } }],
};

export function pad(x: Tensor, axis: number, before: number, after: number): Tensor {
  return before === 0 && after === 0 ? x : apply(padOp, [x], { axis, before, after })[0]!;
}

export interface SplitAttributes {
  readonly axis: number;
  /** Sizes of the parts, which sum to the axis. */
  readonly sizes: readonly number[];
}

/** Splits along an axis: the inverse of {@link concatOp}, so its derivative is a concatenation. */
export const splitOp: Operator<SplitAttributes> = {
  name: 'split',
  infer(inputs, { axis, sizes }) {
    const [x] = inputs;
    const total = sizes.reduce((sum, size) => sum + size, 0);
    if (!x || x.shape[axis] !== total || sizes.some((size) => size < 1)) {
      throw shapeError('split', inputs, `cannot be cut into ${sizes.join(' + ')} along axis ${axis}`);
    }
    return sizes.map((size) => ({
      dtype: x.dtype,
      shape: x.shape.map((dim, i) => (i === axis ? size : dim)),
    }));
  },
  evaluate([x], { axis, sizes }) {
    let start = 0;
    return sizes.map((size) => {
      const part = sliceOp.evaluate!([x!], { axis, start, end: start + size })[0]!;
      start += size;
      return part;
    });
  },
  differentiate({ outputs, gradients, attributes: { axis } }) {
    const zeros = (part: Tensor) => broadcastTo(scalar(0), part.shape);
    return [
      concat(
        outputs.map((part, i) => gradients[i] ?? zeros(part)),
        axis,
      ),
    ];
  },
  lower(e, [x], { attributes: { axis, sizes } }) {
    if (e.dialect === 'webgpu' && sizes.length >= BOUND_BUFFERS) {
      let start = 0;
      return sizes.flatMap((size) => {
        const [from, to] = [start, start + size].map((at) => e.constant('int64', [1], [at]));
        start += size;
        return e.node('Slice', [x!, from!, to!, e.constant('int64', [1], [axis])]);
      });
    }
    return e.node(
      'Split',
      [x!, e.constant('int64', [sizes.length], sizes)],
      { axis },
      { outputs: sizes.length },
    );
  },
  cheap: true,
  examples: [
    { inputs: [floats(2, 6)], attributes: { axis: 1, sizes: [1, 3, 2] } },
    { inputs: [floats(2, 12)], attributes: { axis: 1, sizes: [1, 1, 2, 1, 1, 2, 1, 1, 2] } },
  ],
};

/** `x` split along `axis` into parts of these sizes. */
export function split(x: Tensor, axis: number, sizes: readonly number[]): readonly Tensor[] {
  return sizes.length === 1 ? [x] : apply(splitOp, [x], { axis, sizes });
}
