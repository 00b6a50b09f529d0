import { sameDim } from '../dims.ts';
import {
  apply,
  type Emitter,
  floats,
  type Operator,
  shapeError,
  type Tensor,
  type TensorType,
} from '../tensor.ts';
import { reshape, sumTo } from './broadcast.ts';
import { add, mul, reciprocal, sqrt, sub } from './elementwise.ts';
import { matmul } from './matmul.ts';
import { reduceMean } from './reduce.ts';
import { scalar } from './sources.ts';

export interface NormAttributes {
  readonly epsilon: number;
}

function statisticsType(x: TensorType): TensorType {
  return { dtype: 'float32', shape: [...x.shape.slice(0, -1), 1] };
}

/** The shape rule of norms: the output has the type of the input. */
export function checkNorm(name: string, inputs: readonly TensorType[]): TensorType {
  const [x, ...rest] = inputs;
  const width = x?.shape.at(-1);
  if (
    !x ||
    width === undefined ||
    rest.some(({ shape }) => shape.length !== 1 || !sameDim(shape[0]!, width))
  ) {
    throw shapeError(name, inputs, 'needs […, width] and one vector [width] for each of weight and bias');
  }
  return x;
}

/**
 * y = x / sqrt(mean(x²) + ε) · weight over the last axis. The second output, 1 / sqrt(mean(x²) + ε), is for the
 * derivative. Zhang & Sennrich 2019, arXiv:1910.07467.
 */
export const rmsNormOp: Operator<NormAttributes> = {
  name: 'rmsNorm',
  primaryOutputs: 1,
  engineOnly: true,
  infer(inputs) {
    const x = checkNorm('rmsNorm', inputs);
    return [x, statisticsType(x)];
  },
  expand([x, weight], { epsilon }) {
    const inverse = reciprocal(sqrt(add(reduceMean(mul(x!, x!), [x!.rank - 1]), scalar(epsilon))));
    return [mul(mul(x!, inverse), weight!), inverse];
  },
  // With r = 1 / rms, d the width and u = dy · r: dx = u · weight − x · r² · Σ(u · x · weight) / d; dweight = Σ u ·
  // x. The sum over a row is a product with the weight as a column, which leaves few passes over the large arrays.
  differentiate({ inputs, outputs, gradients, wanted }) {
    const [x, weight] = inputs as [Tensor, Tensor];
    const r = outputs[1]!;
    const u = mul(gradients[0]!, r);
    const ux = mul(u, x);
    const factor = mul(rowMean(ux, weight), mul(r, r));
    const dx = wanted[0] ? sub(mul(u, weight), mul(x, factor)) : undefined;
    return [dx, wanted[1] ? sumTo(ux, weight.shape) : undefined];
  },
  lower(e, inputs, { outputs, attributes: { epsilon } }) {
    const attributes = { axis: -1, epsilon: { float: epsilon }, stash_type: 1 };
    const count = e.isUsed(outputs[1]!) ? 2 : 1;
    // The WebGPU kernel's second output is wrong, so it is computed separately there.
    const apart = count === 2 && e.dialect === 'webgpu';
    const [y, ...rest] = e.node('SimplifiedLayerNormalization', inputs, attributes, {
      outputs: apart ? 1 : count,
    });
    return [y!, ...(apart ? [inverseRms(e, inputs[0]!, epsilon)] : rest)];
  },
  examples: [
    { inputs: [floats(3, 6), floats(6)], attributes: { epsilon: 1e-5 } },
    { inputs: [floats(3, 6), floats(6)], attributes: { epsilon: 0.1 } },
  ],
};

/** 1 / sqrt(mean(x²) + ε) over the last axis, only with ai.onnx operators. */
function inverseRms(e: Emitter, x: string, epsilon: number): string {
  const one = (type: string, inputs: string[]) => e.node(type, inputs)[0]!;
  const mean = one('ReduceMean', [one('Mul', [x, x]), e.constant('int64', [1], [-1])]);
  return one('Reciprocal', [one('Sqrt', [one('Add', [mean, e.constant('float32', [], [epsilon])])])]);
}

/**
 * y = (x − mean) / sqrt(variance + ε) · weight + bias over the last axis (variance without Bessel's correction). The
 * outputs mean and 1 / sqrt(variance + ε) are for the derivative. Ba et al. 2016, arXiv:1607.06450.
 */
export const layerNormOp: Operator<NormAttributes> = {
  name: 'layerNorm',
  primaryOutputs: 1,
  infer(inputs) {
    const x = checkNorm('layerNorm', inputs);
    return [x, statisticsType(x), statisticsType(x)];
  },
  expand([x, weight, bias], { epsilon }) {
    const axes = [x!.rank - 1];
    const mean = reduceMean(x!, axes);
    const centred = sub(x!, mean);
    const inverse = reciprocal(sqrt(add(reduceMean(mul(centred, centred), axes), scalar(epsilon))));
    return [add(mul(mul(centred, inverse), weight!), bias!), mean, inverse];
  },
  // With n = (x − mean) · r, d the width and u = dy · r: dx = u · weight − Σ(u · weight) / d − n · r · Σ(dy · n · weight) / d.
  differentiate({ inputs, outputs, gradients, wanted }) {
    const [x, weight, bias] = inputs as [Tensor, Tensor, Tensor];
    const [, mean, r] = outputs as [Tensor, Tensor, Tensor];
    const dy = gradients[0]!;
    const normal = mul(sub(x, mean), r);
    const along = mul(dy, normal);
    const u = mul(dy, r);
    const back = add(mul(normal, mul(rowMean(along, weight), r)), rowMean(u, weight));
    return [
      wanted[0] ? sub(mul(u, weight), back) : undefined,
      wanted[1] ? sumTo(along, weight.shape) : undefined,
      wanted[2] ? sumTo(dy, bias.shape) : undefined,
    ];
  },
  lower(e, inputs, { outputs, attributes: { epsilon } }) {
    const attributes = { axis: -1, epsilon: { float: epsilon }, stash_type: 1 };
    const count = e.isUsed(outputs[1]!) || e.isUsed(outputs[2]!) ? 3 : 1;
    return e.node('LayerNormalization', inputs, attributes, { outputs: count });
  },
  examples: [{ inputs: [floats(3, 6), floats(6), floats(6)], attributes: { epsilon: 1e-5 } }],
};

/** The mean of x · weight over the last axis: x `[…, width]` → `[…, 1]`. */
function rowMean(x: Tensor, weight: Tensor): Tensor {
  const [width] = weight.shape as [number];
  return matmul(x, reshape(weight, [width, 1]), { alpha: 1 / width });
}

/** x `[…, width]`, weight `[width]` → `[…, width]`. */
export function rmsNorm(x: Tensor, weight: Tensor, epsilon: number): Tensor {
  return apply(rmsNormOp, [x, weight], { epsilon })[0]!;
}

/** x `[…, width]`, weight and bias `[width]` → `[…, width]`. */
export function layerNorm(x: Tensor, weight: Tensor, bias: Tensor, epsilon: number): Tensor {
  return apply(layerNormOp, [x, weight, bias], { epsilon })[0]!;
}
