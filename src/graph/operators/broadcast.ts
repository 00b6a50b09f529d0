import { broadcastShapes, type Dim, type Shape, sameDim, sameShape, shapeText, sizeOf } from '../dims.ts';
import { apply, floats, isNodeOf, type Operator, shapeError, type Tensor } from '../tensor.ts';
import { broadcastPosition, forEachIndex, stridesOf, type Values } from '../values.ts';

/** Reshaping, broadcasting and summing are each other's derivatives, so they are in one file. */

export interface ShapeAttributes {
  readonly shape: Shape;
}

/** ONNX's shape argument: at most one size may be symbolic, or a copy of the input's size at the same axis. */
function shapeArgument(from: Shape, to: Shape): number[] {
  const sizes = to.map((dim, axis) => {
    if (typeof dim === 'number') return dim;
    return from[axis] !== undefined && sameDim(from[axis]!, dim) ? 0 : -1;
  });
  if (sizes.filter((size) => size === -1).length > 1) {
    throw shapeError(
      'reshape',
      [{ dtype: 'float32', shape: from }],
      `more than one unknown size in ${shapeText(to)}`,
    );
  }
  return sizes;
}

export const reshapeOp: Operator<ShapeAttributes> = {
  name: 'reshape',
  infer(inputs, { shape }) {
    const [x] = inputs;
    if (!x || !sameDim(sizeOf(x.shape), sizeOf(shape))) {
      throw shapeError('reshape', inputs, `cannot hold the same elements as ${shapeText(shape)}`);
    }
    return [{ dtype: x.dtype, shape }];
  },
  evaluate: ([x], { shape }) => [{ shape: shape as number[], data: x!.data }],
  differentiate: ({ inputs, gradients }) => [reshape(gradients[0]!, inputs[0]!.shape)],
  lower(e, [x], { attributes, inputs }) {
    const sizes = shapeArgument(inputs[0]!.shape, attributes.shape);
    return e.node('Reshape', [x!, e.constant('int64', [sizes.length], sizes)]);
  },
  cheap: true,
  identity([x], { shape }) {
    const source = isNodeOf(x!.node, reshapeOp) ? x!.node.inputs[0]! : undefined;
    return source && sameShape(source.shape, shape) ? source : undefined;
  },
  examples: [{ inputs: [floats(2, 6)], attributes: { shape: [3, 2, 2] } }],
};

/** The same elements in row-major order under another shape. */
export function reshape(x: Tensor, shape: Shape): Tensor {
  return sameShape(x.shape, shape) ? x : apply(reshapeOp, [x], { shape })[0]!;
}

export const broadcastToOp: Operator<ShapeAttributes> = {
  name: 'broadcastTo',
  infer(inputs, { shape }) {
    const [x] = inputs;
    const target = x && broadcastShapes(x.shape, shape);
    if (!target || !sameShape(target, shape)) {
      throw shapeError('broadcastTo', inputs, `cannot be broadcast to ${shapeText(shape)}`);
    }
    return [{ dtype: x.dtype, shape }];
  },
  evaluate([x], { shape }) {
    const to = shape as number[];
    const data = new Float64Array(sizeOf(to));
    const strides = stridesOf(x!.shape);
    forEachIndex(to, (index, flat) => {
      data[flat] = x!.data[broadcastPosition(index, x!.shape, strides)]!;
    });
    return [{ shape: to, data }];
  },
  differentiate: ({ inputs, gradients }) => [sumTo(gradients[0]!, inputs[0]!.shape)],
  lower(e, [x], { attributes, inputs }) {
    const { shape } = attributes;
    const from = inputs[0]!.shape;
    // Expand treats 1 as "unchanged", so only sizes that grow must be numbers.
    const sizes = shape.map((dim, axis) => {
      const own = from[axis - (shape.length - from.length)];
      if (own !== undefined && sameDim(own, dim)) return 1;
      if (typeof dim === 'number') return dim;
      throw shapeError('broadcastTo', [inputs[0]!], `cannot grow to the unknown size ${dim}`);
    });
    return e.node('Expand', [x!, e.constant('int64', [sizes.length], sizes)]);
  },
  cheap: true,
  examples: [
    { inputs: [floats(3, 1)], attributes: { shape: [2, 3, 4] } },
    { inputs: [floats()], attributes: { shape: [3] } },
  ],
};

/** `x` repeated along axes of size 1 (and new leading ones) up to `shape`. */
export function broadcastTo(x: Tensor, shape: Shape): Tensor {
  return sameShape(x.shape, shape) ? x : apply(broadcastToOp, [x], { shape })[0]!;
}

export interface ReduceAttributes {
  /** Axes that are reduced to 1, counted from 0. The rank stays. */
  readonly axes: readonly number[];
}

function reduced(shape: readonly Dim[], axes: readonly number[]): Dim[] {
  return shape.map((dim, axis) => (axes.includes(axis) ? 1 : dim));
}

/** Folds a function over `axes`, which are reduced to 1. */
export function fold(
  x: Values,
  axes: readonly number[],
  start: number,
  f: (a: number, b: number) => number,
): Values {
  const shape = reduced(x.shape, axes) as number[];
  const data = new Float64Array(sizeOf(shape)).fill(start);
  const strides = stridesOf(shape);
  forEachIndex(x.shape, (index, flat) => {
    const at = broadcastPosition(index, shape, strides);
    data[at] = f(data[at]!, x.data[flat]!);
  });
  return { shape, data };
}

/** An operator that folds `axes` to 1. */
export function reduceOperator(
  name: string,
  onnx: string,
  value: (x: Values, axes: readonly number[]) => Values,
  differentiate: Operator<ReduceAttributes>['differentiate'],
): Operator<ReduceAttributes> {
  return {
    name,
    infer(inputs, { axes }) {
      const [x] = inputs;
      if (x?.dtype !== 'float32' || axes.some((axis) => axis < 0 || axis >= x.shape.length)) {
        throw shapeError(name, inputs, `cannot reduce axes ${axes.join(', ')}`);
      }
      return [{ dtype: 'float32', shape: reduced(x.shape, axes) }];
    },
    evaluate: ([x], { axes }) => [value(x!, axes)],
    ...(differentiate && { differentiate }),
    lower(e, [x], { attributes, inputs }) {
      const { axes } = attributes;
      const shape = inputs[0]!.shape;
      const rows = shape[0];
      // The engine sums over the first axis of a matrix several times more slowly than it multiplies by ones.
      if (
        onnx === 'ReduceSum' &&
        shape.length === 2 &&
        axes.length === 1 &&
        axes[0] === 0 &&
        typeof rows === 'number'
      ) {
        return e.node('MatMul', [e.constant('float32', [1, rows], new Float32Array(rows).fill(1)), x!]);
      }
      return e.node(onnx, [x!, e.constant('int64', [axes.length], axes)], { keepdims: 1 });
    },
    examples: [
      { inputs: [floats(3, 5)], attributes: { axes: [0] } },
      { inputs: [floats(3, 5)], attributes: { axes: [1] } },
      { inputs: [floats(2, 3, 4)], attributes: { axes: [0, 2] } },
    ],
  };
}

export const reduceSumOp = reduceOperator(
  'reduceSum',
  'ReduceSum',
  (x, axes) => fold(x, axes, 0, (a, b) => a + b),
  ({ inputs, gradients }) => [broadcastTo(gradients[0]!, inputs[0]!.shape)],
);

/** Sum over `axes`, which are reduced to 1. */
export const reduceSum = (x: Tensor, axes: readonly number[]): Tensor =>
  apply(reduceSumOp, [x], { axes })[0]!;
/** The transpose of broadcasting: sums `x` down to `shape`. */
export function sumTo(x: Tensor, shape: readonly Dim[]): Tensor {
  if (sameShape(x.shape, shape)) return x;
  const extra = x.rank - shape.length;
  const axes = x.shape.flatMap((dim, axis) =>
    axis < extra || (shape[axis - extra] === 1 && dim !== 1) ? [axis] : [],
  );
  const summed = axes.length === 0 ? x : reduceSum(x, axes);
  return sameShape(summed.shape, shape) ? summed : reshape(summed, shape);
}
