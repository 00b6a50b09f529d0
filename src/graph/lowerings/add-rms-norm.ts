import { sameShape } from '../dims.ts';
import { add } from '../operators/elementwise.ts';
import { checkNorm, type NormAttributes, rmsNorm } from '../operators/norms.ts';
import { apply, floats, type Lowering, shapeError, type Tensor } from '../tensor.ts';

/** A residual sum and its RMSNorm in one pass: x and y `[…, width]`, weight `[width]` → the norm and the sum. */
export const addRmsNormOp: Lowering<NormAttributes> = {
  name: 'addRmsNorm',
  engineOnly: true,
  fits: (inputs, _, dialect) => dialect === 'onnxruntime' && [2, 3].includes(inputs[0]!.shape.length),
  infer([x, y, weight]) {
    const inputs = [x, y, weight].filter((input) => input !== undefined);
    const normed = checkNorm('addRmsNorm', [x!, weight!]);
    if (inputs.length < 3 || !sameShape(x!.shape, y!.shape))
      throw shapeError('addRmsNorm', inputs, 'needs two tensors of one shape and a weight');
    return [normed, normed];
  },
  expand([x, y, weight], { epsilon }) {
    const sum = add(x!, y!);
    return [rmsNorm(sum, weight!, epsilon), sum];
  },
  lower(e, inputs, { attributes: { epsilon } }) {
    const outputs = e.node(
      'SkipSimplifiedLayerNormalization',
      inputs,
      { epsilon: { float: epsilon } },
      { domain: 'com.microsoft', outputs: 4 },
    );
    return [outputs[0]!, outputs[3]!];
  },
  examples: [{ inputs: [floats(3, 6), floats(3, 6), floats(6)], attributes: { epsilon: 1e-5 } }],
};

/** See {@link addRmsNormOp}. */
export function addRmsNorm(x: Tensor, y: Tensor, weight: Tensor, epsilon: number): readonly [Tensor, Tensor] {
  return apply(addRmsNormOp, [x, y, weight], { epsilon }) as unknown as readonly [Tensor, Tensor];
}
