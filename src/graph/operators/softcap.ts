import { apply, floats, type Operator, shapeError, type Tensor } from '../tensor.ts';
import { mul, sub, tanh } from './elementwise.ts';
import { scalar } from './sources.ts';

export interface SoftcapAttributes {
  readonly cap: number;
}

/** cap · tanh(x / cap): squashes values smoothly into (−cap, cap). Gemma 2, arXiv:2408.00118. */
export const softcapOp: Operator<SoftcapAttributes> = {
  name: 'softcap',
  primaryOutputs: 1,
  infer(inputs, { cap }) {
    if (inputs[0]?.dtype !== 'float32' || !(cap > 0))
      throw shapeError('softcap', inputs, `cannot be capped at ${cap}`);
    return [inputs[0]];
  },
  expand: ([x], { cap }) => [mul(tanh(mul(x!, scalar(1 / cap))), scalar(cap))],
  differentiate: ({ outputs, gradients, attributes: { cap } }) => [
    softcapGradient(outputs[0]!, gradients[0]!, cap),
  ],
  examples: [{ inputs: [floats(3, 6)], attributes: { cap: 1.5 } }],
};

export function softcap(x: Tensor, cap: number): Tensor {
  return apply(softcapOp, [x], { cap })[0]!;
}

/** The gradient of a softcap's input, given the capped values y and their gradient: dy · (1 − (y / cap)²). */
export function softcapGradient(y: Tensor, dy: Tensor, cap: number): Tensor {
  const t = mul(y, scalar(1 / cap));
  return mul(dy, sub(scalar(1), mul(t, t)));
}
