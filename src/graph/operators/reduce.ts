import { type Shape, sizeOf, staticShape } from '../dims.ts';
import { apply, floats, type None, type Operator, shapeError, type Tensor } from '../tensor.ts';
import { mapValues } from '../values.ts';
import { broadcastTo, fold, reduceOperator, reduceSum, reduceSumOp } from './broadcast.ts';
import { div, exp, mul, sub } from './elementwise.ts';
import { scalar } from './sources.ts';

function countOf({ shape }: { readonly shape: Shape }, axes: readonly number[]): number {
  const folded = axes.map((axis) => shape[axis]!);
  return sizeOf(staticShape(folded, 'reduceMean'));
}

export const reduceMeanOp = reduceOperator(
  'reduceMean',
  'ReduceMean',
  (x, axes) => {
    const [sum] = reduceSumOp.evaluate!([x], { axes });
    const count = countOf(x, axes);
    return mapValues(sum!, (value) => value / count);
  },
  ({ inputs, gradients, attributes }) => {
    const share = mul(gradients[0]!, scalar(1 / countOf(inputs[0]!, attributes.axes)));
    return [broadcastTo(share, inputs[0]!.shape)];
  },
);

/** Σ x². */
export const reduceSumSquareOp = reduceOperator(
  'reduceSumSquare',
  'ReduceSumSquare',
  (x, axes) => fold(x, axes, 0, (sum, value) => sum + value * value),
  ({ inputs, gradients }) => {
    const [x] = inputs;
    return [mul(mul(x!, scalar(2)), broadcastTo(gradients[0]!, x!.shape))];
  },
);

/** The maximum. Composites use it where a constant shift cancels; it has no derivative. */
export const reduceMaxOp = reduceOperator(
  'reduceMax',
  'ReduceMax',
  (x, axes) => fold(x, axes, Number.NEGATIVE_INFINITY, Math.max),
  undefined,
);

/** Mean over `axes` (of known size), which are reduced to 1. */
export const reduceMean = (x: Tensor, axes: readonly number[]): Tensor =>
  apply(reduceMeanOp, [x], { axes })[0]!;
/** Sum of squares over `axes`, which are reduced to 1. */
export const reduceSumSquare = (x: Tensor, axes: readonly number[]): Tensor =>
  apply(reduceSumSquareOp, [x], { axes })[0]!;
/** Maximum over `axes`, which are reduced to 1. It has no derivative. */
export const reduceMax = (x: Tensor, axes: readonly number[]): Tensor =>
  apply(reduceMaxOp, [x], { axes })[0]!;

/** Softmax over the last axis: exp(x − max) / Σ exp(x − max). */
export const softmaxOp: Operator<None> = {
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
    { inputs: [floats(3, 5)], attributes: {} },
    { inputs: [floats(2, 2, 3, 4)], attributes: {}, range: [-30, 30] },
  ],
};

/** Softmax over the last axis. */
export const softmax = (x: Tensor): Tensor => apply(softmaxOp, [x], {})[0]!;
