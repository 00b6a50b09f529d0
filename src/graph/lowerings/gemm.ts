import type { Emitter } from '../tensor.ts';

/** A matrix product's factors, by their ONNX names. */
interface Factors {
  readonly x: string;
  /** Axes of x; more than two are rows one after another. */
  readonly rank: number;
  readonly matrix: string;
  /** The sizes of the last axis of x and of the result's. */
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
  // Several sizes may be unknown, so the shape is read off the input: all of it but the last.
  const leading = e.node('Shape', [x], { end: -1 })[0]!;
  const target = e.node('Concat', [leading, e.constant('int64', [1], [out])], { axis: 0 })[0]!;
  return e.node('Reshape', [product, target]);
}
