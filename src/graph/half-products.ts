import { sizeOf } from './dims.ts';
import { fromHalf, toHalf } from './lowerings/half.ts';
import { add, mul } from './operators/elementwise.ts';
import { type MatmulAttributes, matmul, matmulOp } from './operators/matmul.ts';
import { slice } from './operators/shape.ts';
import { scalar } from './operators/sources.ts';
import { type Rule, rewrite } from './rewrite.ts';
import { simplify } from './simplify.ts';
import type { Dialect, Tensor } from './tensor.ts';

/**
 * The most products that a sum in float16 has. Engines add them up in float16, where a sum of equal terms stops growing
 * after 2,048 of them, and of others loses 0.45 % of its size after 1,024. Longer sums are several, added in float32.
 */
export const MOST_TERMS = 1024;

/**
 * The same graph with its matrix products in float16: their factors are rounded to it, and their results continue in
 * float32, as everything else is. Products of a single row or column, which are sums, stay in float32.
 *
 * @param dialect the composites without a lowering there are expanded first, for the products inside them.
 */
export function halfProducts(outputs: readonly Tensor[], dialect: Dialect): Tensor[] {
  return rewrite(simplify(outputs, dialect), [product]);
}

const product: Rule<MatmulAttributes> = {
  operator: matmulOp,
  apply({ attributes, outputs: [result] }, [a, b]) {
    if (result!.dtype === 'float16' || result!.shape.slice(-2).includes(1)) return undefined;
    return [halfProduct(a!, b!, attributes)];
  },
};

/** A product of float32 tensors in float16: see {@link halfProducts}. */
export function halfProduct(a: Tensor, b: Tensor, { transA, transB, alpha }: MatmulAttributes): Tensor {
  // Before the product: its result may be too large for float16.
  const [left, right] = alpha === 1 ? [a, b] : scaled(a, b, alpha);
  const [x, y] = [toHalf(left), toHalf(right)];
  const axisOf = (tensor: Tensor, last: boolean) => tensor.rank - (last ? 1 : 2);
  const [axisX, axisY] = [axisOf(x, !transA), axisOf(y, transB)];
  const terms = x.shape[axisX]!;
  if (typeof terms !== 'number' || terms <= MOST_TERMS) return fromHalf(matmul(x, y, { transA, transB }));
  const each = Math.ceil(terms / Math.ceil(terms / MOST_TERMS));
  const sums: Tensor[] = [];
  for (let start = 0; start < terms; start += each) {
    const end = Math.min(terms, start + each);
    const [from, by] = [slice(x, axisX, start, end), slice(y, axisY, start, end)];
    sums.push(fromHalf(matmul(from, by, { transA, transB })));
  }
  return sums.reduce((sum, part) => add(sum, part));
}

/** Both factors, the smaller one multiplied by a number. */
function scaled(a: Tensor, b: Tensor, alpha: number): [Tensor, Tensor] {
  const [sizeA, sizeB] = [sizeOf(a.shape), sizeOf(b.shape)];
  const isLeft = !(typeof sizeA === 'number' && typeof sizeB === 'number' && sizeB < sizeA);
  return isLeft ? [mul(a, scalar(alpha)), b] : [a, mul(b, scalar(alpha))];
}
