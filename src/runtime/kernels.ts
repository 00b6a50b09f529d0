/**
 * Loops over float32 arrays that ONNX Runtime lacks or does slowly. Views on one memory of a
 * {@link file://./host-memory.ts HostMemory} go through WebAssembly SIMD; any other arrays, through plain JavaScript
 * with the same result to the bit.
 */
import { RopewalkError } from '../errors.ts';
import { sharedKernels } from './kernel-module.ts';
import * as scalar from './scalar-kernels.ts';

/** One step of AdamW, all in float64; t counts steps from 1. */
export interface AdamWCoefficients {
  readonly lr: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly eps: number;
  readonly weightDecay: number;
  /** 1 − β1^t */
  readonly biasCorrection1: number;
  /** 1 − β2^t */
  readonly biasCorrection2: number;
  /** Every gradient is multiplied by this before use. */
  readonly gradScale: number;
}

function checkLengths(kernel: string, arrays: Readonly<Record<string, ArrayLike<number>>>): void {
  const [[firstName, first] = ['', []], ...others] = Object.entries(arrays);
  for (const [name, array] of others) {
    if (array.length !== first.length) {
      throw new RopewalkError(
        `${kernel}: ${firstName} has ${first.length} elements and ${name} ${array.length}; give arrays of one length.`,
      );
    }
  }
}

/**
 * Decoupled weight decay Adam (Loshchilov and Hutter, 2019) with torch.optim.AdamW's order of operations:
 * p ← p(1 − lr·wd); m ← m + (1 − β1)(g − m); v ← β2·v + (1 − β2)g²; p ← p − lr/bc1 · m / (√v/√bc2 + eps).
 * All arrays have one length; param, m and v change in place.
 */
export function adamw(
  param: Float32Array,
  grad: Float32Array,
  m: Float32Array,
  v: Float32Array,
  coefficients: AdamWCoefficients,
): void {
  checkLengths('adamw', { param, grad, m, v });
  const kernels = sharedKernels(param, grad, m, v);
  if (!kernels) {
    scalar.adamw(param, grad, m, v, coefficients);
    return;
  }
  const c = coefficients;
  kernels.adamw(
    param.byteOffset,
    grad.byteOffset,
    m.byteOffset,
    v.byteOffset,
    param.length,
    c.lr,
    c.beta1,
    c.beta2,
    c.eps,
    c.weightDecay,
    c.biasCorrection1,
    c.biasCorrection2,
    c.gradScale,
  );
}

/** param ← param − lr · (gradScale · grad), in place. */
export function sgd(param: Float32Array, grad: Float32Array, lr: number, gradScale = 1): void {
  checkLengths('sgd', { param, grad });
  const kernels = sharedKernels(param, grad);
  if (kernels) kernels.sgd(param.byteOffset, grad.byteOffset, param.length, lr, gradScale);
  else scalar.sgd(param, grad, lr, gradScale);
}

/** Σ x², accumulated in float64 in a fixed order. */
export function sumOfSquares(x: Float32Array): number {
  const kernels = sharedKernels(x);
  return kernels ? kernels.sumOfSquares(x.byteOffset, x.length) : scalar.sumOfSquares(x);
}

/** dst ← dst + src, in place. */
export function addInto(dst: Float32Array, src: Float32Array): void {
  checkLengths('addInto', { dst, src });
  const kernels = sharedKernels(dst, src);
  if (kernels) kernels.addInto(dst.byteOffset, src.byteOffset, dst.length);
  else scalar.addInto(dst, src);
}

/**
 * Adds row r of `rows` into row ids[r] of `dst`, r in ascending order, so repeated ids always sum alike.
 *
 * @param dst `[dst.length / width, width]`, changed in place
 * @param rows `[ids.length, width]`
 * @throws RopewalkError when the lengths do not fit `width` or an id is not a row of `dst`; `dst` is then unchanged.
 */
export function addRows(dst: Float32Array, ids: Int32Array, rows: Float32Array, width: number): void {
  if (!Number.isInteger(width) || width < 1 || dst.length % width !== 0) {
    throw new RopewalkError(
      `addRows: ${dst.length} elements do not divide into rows of width ${width}; give the embedding's width.`,
    );
  }
  if (rows.length !== ids.length * width) {
    throw new RopewalkError(
      `addRows: ${ids.length} ids of width ${width} need ${ids.length * width} elements in rows, but it has ${rows.length}.`,
    );
  }
  const count = dst.length / width;
  for (let r = 0; r < ids.length; r++) {
    const id = ids[r]!;
    if (id < 0 || id >= count) {
      throw new RopewalkError(
        `addRows: ids[${r}] is ${id}, but dst has rows 0 to ${count - 1}; check that the ids fit the vocabulary.`,
      );
    }
  }
  const kernels = sharedKernels(dst, ids, rows);
  if (kernels) kernels.addRows(dst.byteOffset, ids.byteOffset, rows.byteOffset, ids.length, width);
  else scalar.addRows(dst, ids, rows, width);
}

/** x ← s · x, in place; s is rounded to float32 first. */
export function scale(x: Float32Array, s: number): void {
  const kernels = sharedKernels(x);
  if (kernels) kernels.scale(x.byteOffset, x.length, s);
  else scalar.scale(x, s);
}

/** x ← value, in place. */
export function fill(x: Float32Array, value: number): void {
  const kernels = sharedKernels(x);
  if (kernels) kernels.fill(x.byteOffset, x.length, value);
  else x.fill(value);
}
