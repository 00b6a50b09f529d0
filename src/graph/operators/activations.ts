import { apply, floats, type None, type Operator, shapeError, type Tensor } from '../tensor.ts';
import { mapValues } from '../values.ts';
import { add, mul, sigmoid, sub, tanh } from './elementwise.ts';
import { scalar } from './sources.ts';

const GELU_SCALE = Math.sqrt(2 / Math.PI);
const GELU_CUBIC = 0.044715;

function activation(
  name: string,
  value: (x: number) => number,
  expand: Operator<None>['expand'],
  derivative: (x: Tensor, y: Tensor, dy: Tensor) => Tensor,
  lower: Operator<None>['lower'] & {},
  engineOnly = false,
): Operator<None> {
  return {
    name,
    infer(inputs) {
      if (inputs.length !== 1 || inputs[0]!.dtype !== 'float32')
        throw shapeError(name, inputs, 'needs floats');
      return [inputs[0]!];
    },
    evaluate: ([x]) => [mapValues(x!, value)],
    ...(expand && { expand }),
    differentiate: ({ inputs, outputs, gradients }) => [derivative(inputs[0]!, outputs[0]!, gradients[0]!)],
    lower,
    engineOnly,
    cheap: true,
    examples: [{ inputs: [floats(4, 5)], attributes: {}, range: [-4, 4] }],
  };
}

/** 1 where x > 0, else 0: the derivative of ReLU. */
export const stepOp: Operator<None> = {
  name: 'step',
  infer: (inputs) => [inputs[0]!],
  evaluate: ([x]) => [mapValues(x!, (value) => (value > 0 ? 1 : 0))],
  stopsGradient: true,
  lower(e, inputs) {
    const positive = e.node('Greater', [inputs[0]!, e.constant('float32', [], [0])]);
    return e.node('Cast', positive, { to: 1 });
  },
  cheap: true,
  examples: [{ inputs: [floats(3, 5)], attributes: {} }],
};
const step = (x: Tensor): Tensor => apply(stepOp, [x], {})[0]!;

export const reluOp = activation(
  'relu',
  (x) => Math.max(0, x),
  ([x]) => [mul(x!, step(x!))],
  // The output is positive exactly where the input is, and it is kept for the next product anyway.
  (_x, y, dy) => mul(dy, step(y)),
  (e, inputs) => e.node('Relu', inputs),
);

export const siluOp = activation(
  'silu',
  (x) => x / (1 + Math.exp(-x)),
  ([x]) => [mul(x!, sigmoid(x!))],
  // σ + x σ (1 − σ) = σ + y − y σ
  (x, y, dy) => {
    const s = sigmoid(x);
    return mul(dy, add(s, sub(y, mul(y, s))));
  },
  (e, inputs) => e.node('QuickGelu', inputs, { alpha: { float: 1 } }, { domain: 'com.microsoft' }),
  true,
);

function geluTanh(x: Tensor): Tensor {
  const cubic = mul(mul(mul(x, x), x), scalar(GELU_CUBIC));
  return tanh(mul(add(x, cubic), scalar(GELU_SCALE)));
}

/** GELU in its tanh form, as GPT-2 and Gemma use it (Hendrycks & Gimpel 2016, arXiv:1606.08415). */
export const geluOp = activation(
  'gelu',
  (x) => 0.5 * x * (1 + Math.tanh(GELU_SCALE * (x + GELU_CUBIC * x ** 3))),
  ([x]) => [mul(mul(x!, scalar(0.5)), add(geluTanh(x!), scalar(1)))],
  // With t = tanh(u): ½(1 + t) + ½ x (1 − t²) u′, u′ = c (1 + 3 · 0.044715 x²)
  (x, _y, dy) => {
    const t = geluTanh(x);
    const slope = add(mul(mul(x, x), scalar(1.5 * GELU_CUBIC * GELU_SCALE)), scalar(0.5 * GELU_SCALE));
    const bend = mul(mul(x, slope), sub(scalar(1), mul(t, t)));
    return mul(dy, add(add(mul(t, scalar(0.5)), scalar(0.5)), bend));
  },
  (e, inputs) => e.node('Gelu', inputs, { approximate: 'tanh' }),
);

/** max(0, x). */
export const relu = (x: Tensor): Tensor => apply(reluOp, [x], {})[0]!;
/** x · σ(x), also called swish. */
export const silu = (x: Tensor): Tensor => apply(siluOp, [x], {})[0]!;
/** GELU, tanh form. */
export const gelu = (x: Tensor): Tensor => apply(geluOp, [x], {})[0]!;
