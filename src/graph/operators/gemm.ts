import { apply, type Operator, shapeError, type Tensor, type TensorType } from '../tensor.ts';
import { gemm } from './gemm-lowering.ts';
import { matmulOp } from './matmul.ts';

type None = Record<never, never>;

const TRANSPOSED = { transA: false, transB: true, alpha: 1 };

/**
 * x · weightᵀ as ai.onnx's Gemm, which reads the weight as it is stored. A product with a Transpose before it gives the
 * same, but engines that fold the Transpose then hold a tied embedding twice.
 */
export const gemmRowsOp: Operator<None> = {
  name: 'gemmRows',
  infer(inputs) {
    if (inputs.length !== 2 || inputs[1]!.shape.length !== 2) {
      throw shapeError('gemmRows', inputs, 'needs […, in] and a weight [out, in]');
    }
    return matmulOp.infer(inputs, TRANSPOSED);
  },
  evaluate: (inputs) => matmulOp.evaluate!(inputs, TRANSPOSED),
  stopsGradient: true,
  lower(e, [x, matrix], { inputs }) {
    const [{ rank }, { shape }] = inputs as readonly [Tensor, Tensor];
    const [out, inner] = shape as [number, number];
    return gemm(e, { x: x!, rank, matrix: matrix!, inner, out }, TRANSPOSED);
  },
  examples: [example([3, 4], [5, 4]), example([2, 3, 4], [5, 4])],
};

function example(x: readonly number[], weight: readonly number[]) {
  const inputs: TensorType[] = [x, weight].map((shape) => ({ dtype: 'float32', shape }));
  return { inputs, attributes: {} };
}

/** x `[…, in]`, weight `[out, in]` → `[…, out]`; for inference: it has no derivative. */
export function gemmRows(x: Tensor, weight: Tensor): Tensor {
  return apply(gemmRowsOp, [x, weight], {})[0]!;
}
