import { sizeOf } from '../../graph/dims.ts';
import {
  concat,
  constant,
  matmul,
  reduceSum,
  reduceSumSquare,
  reshape,
} from '../../graph/operators/index.ts';
import type { Tensor } from '../../graph/tensor.ts';

/** Sums over many elements on a device, in trees: that keeps its processors busy and float32 exact enough. */

/** Elements that one group of threads adds up. */
const ROW = 1024;

/** Columns of the matrix of partial sums. */
const PARTS = 512;

/** A matrix of as many elements whose rows have at least {@link ROW} elements, and not many more where that divides. */
export function matrixOf(size: number): readonly [number, number] {
  return [divisorUpTo(size, Math.floor(size / ROW)), size / divisorUpTo(size, Math.floor(size / ROW))];
}

function divisorUpTo(size: number, most: number): number {
  for (let divisor = most; divisor > 1; divisor--) if (size % divisor === 0) return divisor;
  return 1;
}

/** Σ x² over all elements of some tensors, [1]. */
export function sumOfSquares(tensors: readonly Tensor[]): Tensor {
  const sums = tensors.map((tensor) => {
    const shape = matrixOf(sizeOf(tensor.shape) as number);
    return reshape(reduceSumSquare(reshape(tensor, shape), [1]), [shape[0]]);
  });
  const count = sums.reduce((total, { shape }) => total + (shape[0] as number), 0);
  if (count === 1) return sums[0]!;
  if (count <= PARTS && sums.length === 1) return reduceSum(sums[0]!, [0]);
  const padding = (PARTS - (count % PARTS)) % PARTS;
  const all = concat([...sums, ...(padding > 0 ? [constant(new Float32Array(padding), [padding])] : [])], 0);
  const rows = (count + padding) / PARTS;
  return reduceSum(reshape(reduceSum(reshape(all, [rows, PARTS]), [1]), [rows]), [0]);
}

/** Sums over the rows of matrices: [matrices, height, width] → [matrices, 1, width]. */
export function columnSums(x: Tensor): Tensor {
  const [matrices, height, width] = x.shape as [number, number, number];
  // Products by ones, in two stages: a device reduces the last axis alone at full speed.
  const rows = divisorUpTo(height, Math.floor(Math.sqrt(height)));
  const ones = (batch: number, count: number) =>
    constant(new Float32Array(batch * count).fill(1), [batch, 1, count]);
  const batch = matrices * rows;
  const part = height / rows;
  const partial = matmul(ones(batch, part), reshape(x, [batch, part, width]));
  if (rows === 1) return partial;
  return matmul(ones(matrices, rows), reshape(partial, [matrices, rows, width]));
}
