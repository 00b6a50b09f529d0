import { matmul, matmulOp } from '../operators/matmul.ts';
import { apply, floats, type Lowering, type None, shapeError, type Tensor } from '../tensor.ts';
import { gemm } from './gemm.ts';

const TRANSPOSED = { transA: false, transB: true, alpha: 1 };

/**
 * x · weightᵀ as ai.onnx's Gemm, which reads the weight as it is stored. MatMul with a Transpose gives the same
 * result, but engines that fold the Transpose then hold a tied embedding twice.
 */
export const gemmRowsOp: Lowering<None> = {
  name: 'gemmRows',
  infer(inputs) {
    if (inputs.length !== 2 || inputs[1]!.shape.length !== 2) {
      throw shapeError('gemmRows', inputs, 'needs […, in] and a weight [out, in]');
    }
    return matmulOp.infer(inputs, TRANSPOSED);
  },
  expand: ([x, weight]) => [matmul(x!, weight!, TRANSPOSED)],
  lower(e, [x, matrix], { inputs }) {
    const [{ rank }, { shape }] = inputs as readonly [Tensor, Tensor];
    const [out, inner] = shape as [number, number];
    return gemm(e, { x: x!, rank, matrix: matrix!, inner, out }, TRANSPOSED);
  },
  examples: [
    { inputs: [floats(3, 4), floats(5, 4)], attributes: {} },
    { inputs: [floats(2, 3, 4), floats(5, 4)], attributes: {} },
  ],
};

/** x `[…, in]`, weight `[out, in]` → `[…, out]`. */
export function gemmRows(x: Tensor, weight: Tensor): Tensor {
  return apply(gemmRowsOp, [x, weight], {})[0]!;
}
