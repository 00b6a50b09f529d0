import { broadcastShapes } from '../dims.ts';
import { apply, floats, isNodeOf, type None, type Operator, shapeError, type Tensor } from '../tensor.ts';
import { mapValues, zipValues } from '../values.ts';
import { sumTo } from './broadcast.ts';
import { scalar, scalarValue } from './sources.ts';

/** A function of each element, with its derivative written in terms of the input `x` and the output `y`. */
function unary(
  name: string,
  value: (x: number) => number,
  derivative: (x: Tensor, y: Tensor, dy: Tensor) => Tensor,
  lower: Operator<None>['lower'] & {},
  range: readonly [number, number] = [-2, 2],
): Operator<None> {
  return {
    name,
    infer(inputs) {
      const [x] = inputs;
      if (inputs.length !== 1 || x?.dtype !== 'float32')
        throw shapeError(name, inputs, 'needs one float tensor');
      return [x];
    },
    evaluate: ([x]) => [mapValues(x!, value)],
    differentiate: ({ inputs, outputs, gradients }) => [derivative(inputs[0]!, outputs[0]!, gradients[0]!)],
    lower,
    examples: [{ inputs: [floats(3, 5)], attributes: {}, range }],
  };
}

export const negOp: Operator<None> = {
  ...unary(
    'neg',
    (x) => -x,
    (_x, _y, dy) => neg(dy),
    (e, inputs) => e.node('Neg', inputs),
  ),
  cheap: true,
  identity: ([x]) => (isNodeOf(x!.node, negOp) ? x!.node.inputs[0] : undefined),
};
export const expOp = unary(
  'exp',
  Math.exp,
  (_x, y, dy) => mul(dy, y),
  (e, inputs) => e.node('Exp', inputs),
);
export const logOp = unary(
  'log',
  Math.log,
  (x, _y, dy) => div(dy, x),
  (e, inputs) => e.node('Log', inputs),
  [0.2, 3],
);
export const tanhOp: Operator<None> = {
  ...unary(
    'tanh',
    Math.tanh,
    (_x, y, dy) => sub(dy, mul(mul(dy, y), y)),
    (e, inputs) => e.node('Tanh', inputs),
  ),
  cheap: true,
};
export const sigmoidOp: Operator<None> = {
  ...unary(
    'sigmoid',
    (x) => 1 / (1 + Math.exp(-x)),
    (_x, y, dy) => mul(dy, sub(y, mul(y, y))),
    (e, inputs) => e.node('Sigmoid', inputs),
  ),
  cheap: true,
};
export const sqrtOp = unary(
  'sqrt',
  Math.sqrt,
  (_x, y, dy) => div(mul(dy, scalar(0.5)), y),
  (e, inputs) => e.node('Sqrt', inputs),
  [0.2, 3],
);
export const reciprocalOp = unary(
  'reciprocal',
  (x) => 1 / x,
  (_x, y, dy) => neg(mul(mul(dy, y), y)),
  (e, inputs) => e.node('Reciprocal', inputs),
  [0.4, 3],
);

export const neg = (x: Tensor): Tensor => apply(negOp, [x], {})[0]!;
export const exp = (x: Tensor): Tensor => apply(expOp, [x], {})[0]!;
/** Natural logarithm. */
export const log = (x: Tensor): Tensor => apply(logOp, [x], {})[0]!;
export const tanh = (x: Tensor): Tensor => apply(tanhOp, [x], {})[0]!;
export const sigmoid = (x: Tensor): Tensor => apply(sigmoidOp, [x], {})[0]!;
export const sqrt = (x: Tensor): Tensor => apply(sqrtOp, [x], {})[0]!;
export const reciprocal = (x: Tensor): Tensor => apply(reciprocalOp, [x], {})[0]!;

/** A function of two tensors, broadcast as in NumPy. */
function broadcasting(
  name: string,
  onnx: string,
  value: (a: number, b: number) => number,
  range: readonly [number, number] = [-2, 2],
): Operator<None> {
  return {
    name,
    infer(inputs) {
      const [a, b] = inputs;
      if (!a || !b || a.dtype !== b.dtype) throw shapeError(name, inputs, 'needs two tensors of one dtype');
      const shape = broadcastShapes(a.shape, b.shape);
      if (!shape) throw shapeError(name, inputs, 'the shapes cannot be broadcast together');
      return [{ dtype: a.dtype, shape }];
    },
    evaluate([a, b]) {
      const shape = broadcastShapes(a!.shape, b!.shape) as number[];
      return [zipValues(shape, [a!, b!], value)];
    },
    lower: (e, inputs) => e.node(onnx, inputs),
    cheap: true,
    examples: [
      { inputs: [floats(2, 3, 4), floats(2, 3, 4)], attributes: {}, range },
      { inputs: [floats(2, 3, 4), floats(4)], attributes: {}, range },
      { inputs: [floats(3, 1), floats(2, 1, 5)], attributes: {}, range },
    ],
  };
}

/**
 * A differentiable function of two tensors.
 *
 * @param neutral the identity element on the right and, if stated, on the left.
 */
function binary(
  name: string,
  onnx: string,
  neutral: { readonly number: number; readonly left: boolean },
  value: (a: number, b: number) => number,
  derivative: (a: Tensor, b: Tensor, y: Tensor, dy: Tensor) => [() => Tensor, () => Tensor],
  range?: readonly [number, number],
): Operator<None> {
  return {
    ...broadcasting(name, onnx, value, range),
    differentiate({ inputs, outputs, gradients, wanted }) {
      const [a, b] = inputs as [Tensor, Tensor];
      const [da, db] = derivative(a, b, outputs[0]!, gradients[0]!);
      return [wanted[0] ? sumTo(da(), a.shape) : undefined, wanted[1] ? sumTo(db(), b.shape) : undefined];
    },
    identity([a, b]) {
      if (neutral.left && scalarValue(a!) === neutral.number) return b;
      return scalarValue(b!) === neutral.number ? a : undefined;
    },
  };
}

export const addOp = binary(
  'add',
  'Add',
  { number: 0, left: true },
  (a, b) => a + b,
  (_a, _b, _y, dy) => [() => dy, () => dy],
);
export const subOp = binary(
  'sub',
  'Sub',
  { number: 0, left: false },
  (a, b) => a - b,
  (_a, _b, _y, dy) => [() => dy, () => neg(dy)],
);
export const mulOp = binary(
  'mul',
  'Mul',
  { number: 1, left: true },
  (a, b) => a * b,
  (a, b, _y, dy) => [() => mul(dy, b), () => mul(dy, a)],
);
export const divOp = binary(
  'div',
  'Div',
  { number: 1, left: false },
  (a, b) => a / b,
  (_a, b, y, dy) => [() => div(dy, b), () => neg(div(mul(dy, y), b))],
  [0.4, 3],
);

/** The greater of two numbers; it has no derivative. */
export const maximumOp = broadcasting('maximum', 'Max', Math.max);

/** a + b, broadcast. */
export const add = (a: Tensor, b: Tensor): Tensor => apply(addOp, [a, b], {})[0]!;
/** a − b, broadcast. */
export const sub = (a: Tensor, b: Tensor): Tensor => apply(subOp, [a, b], {})[0]!;
/** a · b element by element, broadcast. */
export const mul = (a: Tensor, b: Tensor): Tensor => apply(mulOp, [a, b], {})[0]!;
/** a / b, broadcast. */
export const div = (a: Tensor, b: Tensor): Tensor => apply(divOp, [a, b], {})[0]!;

/** max(a, b) element by element, broadcast. It has no derivative. */
export const maximum = (a: Tensor, b: Tensor): Tensor => apply(maximumOp, [a, b], {})[0]!;

/**
 * A recomputation barrier: `x` unchanged, but only available once `after` is. Graphs that differ by a barrier are
 * never merged, so what depends on it is really recomputed, late, and its memory is free in between.
 */
export const barrierOp: Operator<None> = {
  name: 'barrier',
  infer: (inputs) => {
    const [x, , zero] = inputs;
    if (inputs.length !== 3 || !x || inputs.some(({ dtype }) => dtype !== 'float32') || zero?.shape.length) {
      throw shapeError('barrier', inputs, 'needs float tensors x and after, and a float scalar zero');
    }
    return [x];
  },
  evaluate: ([x]) => [x!],
  differentiate: ({ gradients }) => [gradients[0], undefined, undefined],
  unique: true,
  // x + zero · after[0]: the engine cannot know that the input `zero` is 0, so it neither folds nor merges it.
  lower(e, [x, after, zero]) {
    const flat = e.node('Reshape', [after!, e.constant('int64', [1], [-1])])[0]!;
    const first = e.node('Slice', [flat, e.constant('int64', [1], [0]), e.constant('int64', [1], [1])])[0]!;
    return e.node('Add', [x!, e.node('Mul', [first, zero!])[0]!]);
  },
  examples: [],
};

/** `x`, available no earlier than `after`; `zero` is a scalar input that is fed 0. See {@link barrierOp}. */
export function barrier(x: Tensor, after: Tensor, zero: Tensor): Tensor {
  return apply(barrierOp, [x, after, zero], {})[0]!;
}
