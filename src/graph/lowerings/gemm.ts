import type { Emitter } from '../tensor.ts';

/** A matrix product's factors, by their ONNX names. */
interface Factors {
  readonly x: string;
  /** Axes of x; if there are more than two, the leading ones are flattened into rows. */
  readonly rank: number;
  readonly matrix: string;
  /** The last axis of x and of the result. */
  readonly inner: number;
  readonly out: number;
}

/**
 * x · matrix as ai.onnx's Gemm, which reads a transposed matrix as it is stored: x `[…, inner]` → `[…, out]`.
 *
 * @param attributes transA only for an x of two axes.
 */
export function gemm(
  e: Emitter,
  { x, rank, matrix, inner, out }: Factors,
  attributes: { readonly transA: boolean; readonly transB: boolean; readonly alpha: number },
): string[] {
  const { transA, transB, alpha } = attributes;
  const written = { transA: transA ? 1 : 0, transB: transB ? 1 : 0, alpha: { float: alpha } };
  if (rank === 2) return e.node('Gemm', [x, matrix], written);
  const rows = e.node('Reshape', [x, e.constant('int64', [2], [-1, inner])])[0]!;
  const product = e.node('Gemm', [rows, matrix], written)[0]!;
  // Several sizes may be unknown, so the shape is read from the input: all of it but the last axis.
  const leading = e.node('Shape', [x], { end: -1 })[0]!;
  const target = e.node('Concat', [leading, e.constant('int64', [1], [out])], { axis: 0 })[0]!;
  return e.node('Reshape', [product, target]);
}
