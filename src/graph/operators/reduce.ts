import { type Dim, sameShape, staticShape } from '../dims.ts';
import { apply, type Operator, shapeError, type Tensor } from '../tensor.ts';
import { broadcastPosition, forEachIndex, sizeOfShape, stridesOf, type Values } from '../values.ts';
import { div, exp, mul, scalar, sub } from './elementwise.ts';
import { broadcastTo, reshape } from './shape.ts';

interface ReduceAttributes {
  /** Axes that become 1, counted from 0. The rank stays. */
  readonly axes: readonly number[];
}

function reduced(shape: readonly Dim[], axes: readonly number[]): Dim[] {
  return shape.map((dim, axis) => (axes.includes(axis) ? 1 : dim));
}

function fold(
  x: Values,
  axes: readonly number[],
  start: number,
  f: (a: number, b: number) => number,
): Values {
  const shape = reduced(x.shape, axes) as number[];
  const data = new Float64Array(sizeOfShape(shape)).fill(start);
  const strides = stridesOf(shape);
  forEachIndex(x.shape, (index, flat) => {
    const at = broadcastPosition(index, shape, strides);
    data[at] = f(data[at]!, x.data[flat]!);
  });
  return { shape, data };
}

function reduceOperator(
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
      // The engine's sum over the first axis of a matrix is several times slower than a product with ones.
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
      { inputs: [{ dtype: 'float32', shape: [3, 5] }], attributes: { axes: [0] } },
      { inputs: [{ dtype: 'float32', shape: [3, 5] }], attributes: { axes: [1] } },
      { inputs: [{ dtype: 'float32', shape: [2, 3, 4] }], attributes: { axes: [0, 2] } },
    ],
  };
}

export const reduceSumOp = reduceOperator(
  'reduceSum',
  'ReduceSum',
  (x, axes) => fold(x, axes, 0, (a, b) => a + b),
  ({ inputs, gradients }) => [broadcastTo(gradients[0]!, inputs[0]!.shape)],
);

function countOf(x: { shape: readonly Dim[] }, axes: readonly number[]): number {
  return sizeOfShape(
    staticShape(
      axes.map((axis) => x.shape[axis]!),
      'reduceMean',
    ),
  );
}

export const reduceMeanOp = reduceOperator(
  'reduceMean',
  'ReduceMean',
  (x, axes) => {
    const sum = fold(x, axes, 0, (a, b) => a + b);
    const count = countOf(x, axes);
    return { shape: sum.shape, data: sum.data.map((value) => value / count) };
  },
  ({ inputs, gradients, attributes }) => {
    const share = mul(gradients[0]!, scalar(1 / countOf(inputs[0]!, attributes.axes)));
    return [broadcastTo(share, inputs[0]!.shape)];
  },
);

/** The largest value. Composites use it where a constant shift cancels; it has no derivative of its own. */
export const reduceMaxOp = reduceOperator(
  'reduceMax',
  'ReduceMax',
  (x, axes) => fold(x, axes, Number.NEGATIVE_INFINITY, Math.max),
  undefined,
);

/** Sum over `axes`, which become 1. */
export const reduceSum = (x: Tensor, axes: readonly number[]): Tensor =>
  apply(reduceSumOp, [x], { axes })[0]!;
/** Mean over `axes` (of known size), which become 1. */
export const reduceMean = (x: Tensor, axes: readonly number[]): Tensor =>
  apply(reduceMeanOp, [x], { axes })[0]!;
/** Maximum over `axes`, which become 1. It has no derivative. */
export const reduceMax = (x: Tensor, axes: readonly number[]): Tensor =>
  apply(reduceMaxOp, [x], { axes })[0]!;

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

/** Softmax over the last axis: exp(x − max) / Σ exp(x − max). */
export const softmaxOp: Operator<Record<never, never>> = {
  name: 'softmax',
  infer(inputs) {
    if (inputs[0]?.dtype !== 'float32' || inputs[0].shape.length < 1) {
      throw shapeError('softmax', inputs, 'needs a float tensor with at least one axis');
    }
    return [inputs[0]];
  },
  expand([x]) {
    const axes = [x!.rank - 1];
    const e = exp(sub(x!, reduceMax(x!, axes)));
    return [div(e, reduceSum(e, axes))];
  },
  differentiate({ outputs, gradients }) {
    const y = outputs[0]!;
    const weighted = mul(gradients[0]!, y);
    return [sub(weighted, mul(y, reduceSum(weighted, [y.rank - 1])))];
  },
  lower: (e, inputs) => e.node('Softmax', inputs, { axis: -1 }),
  examples: [
    { inputs: [{ dtype: 'float32', shape: [3, 5] }], attributes: {} },
    { inputs: [{ dtype: 'float32', shape: [2, 2, 3, 4] }], attributes: {}, range: [-30, 30] },
  ],
};

/** Softmax over the last axis. */
export const softmax = (x: Tensor): Tensor => apply(softmaxOp, [x], {})[0]!;
