import { add } from '../operators/elementwise.ts';
import { type MatmulAttributes, matmul, matmulOp } from '../operators/matmul.ts';
import { apply, floats, type Lowering, shapeError, type Tensor } from '../tensor.ts';

/** A product of two matrices, added to a third: one operator, so that sums of products need no memory of their own. */
export const productSumOp: Lowering<MatmulAttributes> = {
  name: 'productSum',
  infer(inputs, attributes) {
    const [a, b, sum] = inputs;
    const [product] = matmulOp.infer([a!, b!], attributes);
    const isMatrix = product!.shape.length === 2 && sum?.dtype === 'float32';
    if (!isMatrix || !product!.shape.every((dim, axis) => dim === sum.shape[axis])) {
      throw shapeError('productSum', inputs, 'needs two matrices and one of the shape of their product');
    }
    return [product!];
  },
  expand: ([a, b, sum], attributes) => [add(matmul(a!, b!, attributes), sum!)],
  lower(e, inputs, { attributes: { transA, transB, alpha } }) {
    return e.node('Gemm', inputs, {
      transA: transA ? 1 : 0,
      transB: transB ? 1 : 0,
      alpha: { float: alpha },
    });
  },
  examples: [
    {
      inputs: [floats(4, 3), floats(4, 5), floats(3, 5)],
      attributes: { transA: true, transB: false, alpha: 1 },
    },
    {
      inputs: [floats(3, 4), floats(5, 4), floats(3, 5)],
      attributes: { transA: false, transB: true, alpha: 0.5 },
    },
  ],
};

/** a · b + sum of matrices. @param sum the engine may write the result over it */
export function productSum(
  a: Tensor,
  b: Tensor,
  sum: Tensor,
  { transA = false, transB = false, alpha = 1 }: Partial<MatmulAttributes> = {},
): Tensor {
  return apply(productSumOp, [a, b, sum], { transA, transB, alpha })[0]!;
}
