import { apply, type Operator, shapeError, type Tensor, type TensorType } from '../tensor.ts';
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
  lower(e, [x, weight], { inputs }) {
    const [type, { shape }] = inputs as [Tensor, Tensor];
    const [out, width] = shape as [number, number];
    if (type.rank === 2) return e.node('Gemm', [x!, weight!], { transB: 1 });
    const rows = e.node('Reshape', [x!, e.constant('int64', [2], [-1, width])])[0]!;
    const product = e.node('Gemm', [rows, weight!], { transB: 1 })[0]!;
    // Several sizes may be unknown, so the shape is read off the input: all of it but the last.
    const leading = e.node('Shape', [x!], { end: -1 })[0]!;
    const target = e.node('Concat', [leading, e.constant('int64', [1], [out])], { axis: 0 })[0]!;
    return e.node('Reshape', [product, target]);
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
