/**
 * Loops over float32 arrays that ONNX Runtime lacks or runs slowly. Views of one `HostMemory` memory use WebAssembly
 * SIMD; other arrays are copied there in chunks, or use plain JavaScript, with the same bits.
 */
import { RopewalkError } from '../errors.ts';
import { sharedKernels } from './kernel-module.ts';
import * as scalar from './scalar-kernels.ts';
import { runElementwise } from './staging.ts';
import { resultsOnThreads } from './threads/together.ts';

/** Coefficients of one AdamW step, all in float64; t counts steps from 1. */
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
  /** Factor of every gradient. */
  readonly gradScale: number;
}

/** The coefficients in the order in which kernels take them. */
export function coefficientList(c: AdamWCoefficients) {
  const { lr, beta1, beta2, eps, weightDecay, biasCorrection1, biasCorrection2, gradScale } = c;
  return [lr, beta1, beta2, eps, weightDecay, biasCorrection1, biasCorrection2, gradScale] as const;
}

export function checkLengths(
  kernel: string,
  arrays: Readonly<Record<string, { readonly length: number }>>,
): void {
  const [[firstName, first] = ['', { length: 0 }], ...others] = Object.entries(arrays);
  for (const [name, array] of others) {
    if (array.length !== first.length) {
      throw new RopewalkError(
        `${kernel}: ${firstName} has ${first.length} elements and ${name} ${array.length}; give arrays of one length.`,
      );
    }
  }
}

/**
 * AdamW (Loshchilov and Hutter, 2019) with torch.optim.AdamW's order of operations: p ← p(1 − lr·wd); m ← m + (1 −
 * β1)(g − m); v ← β2·v + (1 − β2)g²; p ← p − lr/bc1 · m / (√v/√bc2 + eps). All arrays have one length; param, m and v
 * change in place.
 *
 * @param chunk elements to copy at a time if the arrays are on different memories; sized for the processor's caches
 *   by default
 */
export function adamw(
  param: Float32Array,
  grad: Float32Array,
  m: Float32Array,
  v: Float32Array,
  coefficients: AdamWCoefficients,
  chunk?: number,
): void {
  checkLengths('adamw', { param, grad, m, v });
  const done = runElementwise(
    param.length,
    [{ view: param, use: 'update' }, { view: grad }, { view: m, use: 'update' }, { view: v, use: 'update' }],
    { kernel: 'adamw', numbers: coefficientList(coefficients) },
    chunk,
  );
  if (!done) scalar.adamw(param, grad, m, v, coefficients);
}

/** param ← param − lr · (gradScale · grad), in place. */
export function sgd(
  param: Float32Array,
  grad: Float32Array,
  lr: number,
  gradScale = 1,
  chunk?: number,
): void {
  checkLengths('sgd', { param, grad });
  const done = runElementwise(
    param.length,
    [{ view: param, use: 'update' }, { view: grad }],
    { kernel: 'sgd', numbers: [lr, gradScale] },
    chunk,
  );
  if (!done) scalar.sgd(param, grad, lr, gradScale);
}

/** Σ x², accumulated in float64 in a fixed order. */
export function sumOfSquares(x: Float32Array): number {
  const kernels = sharedKernels(x);
  return kernels ? kernels.sumOfSquares(x.byteOffset, x.length) : scalar.sumOfSquares(x);
}

/** The sum of squares of each array: {@link sumOfSquares}, with several arrays at once on the threads of their memories. */
export function sumsOfSquares(arrays: readonly Float32Array[]): number[] {
  return resultsOnThreads('sumOfSquares', arrays) ?? arrays.map(sumOfSquares);
}

/** dst ← dst + src, in place. */
export function addInto(dst: Float32Array, src: Float32Array, chunk?: number): void {
  checkLengths('addInto', { dst, src });
  const done = runElementwise(
    dst.length,
    [{ view: dst, use: 'update' }, { view: src }],
    { kernel: 'addInto', numbers: [] },
    chunk,
  );
  if (!done) scalar.addInto(dst, src);
}

/**
 * Adds row r of `rows` into row ids[r] of `dst`, r in ascending order, so that repeated ids always sum in the same
 * order.
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
