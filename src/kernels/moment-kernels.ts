/** AdamW with averages of 2 bytes or 1 byte each; see `kernels.ts` for float32. */
import { RopewalkError } from '../errors.ts';
import { type AdamWCoefficients, checkLengths, coefficientList } from './kernels.ts';
import * as scalar from './scalar-moments.ts';
import { runElementwise } from './staging.ts';

export type { BlockCodes } from './scalar-moments.ts';
export { decodeM, decodeS, randomBits } from './scalar-moments.ts';

/** Elements that share a scale. */
export const BLOCK = 256;

/** The random numbers that a step rounds with: those of the key, starting at element `first`. */
export interface Rounding {
  /** 32 bits. */
  readonly key: number;
  /** Index of the arrays' first element in its parameter. */
  readonly first: number;
}

/**
 * `adamw` with m and v in bfloat16, rounded stochastically, which keeps their mean. Rounded to nearest, v would not
 * move: it changes by the fraction 1 − β2, less than half the distance between two bfloat16 values. The same inputs
 * give the same bits.
 */
export function adamwBfloat16(
  param: Float32Array,
  grad: Float32Array,
  m: Uint16Array,
  v: Uint16Array,
  coefficients: AdamWCoefficients,
  { key, first }: Rounding,
  chunk?: number,
): void {
  checkLengths('adamwBfloat16', { param, grad, m, v });
  const done = runElementwise(
    param.length,
    [{ view: param, use: 'update' }, { view: grad }, { view: m, use: 'update' }, { view: v, use: 'update' }],
    { kernel: 'adamwBfloat16', numbers: [...coefficientList(coefficients), key], first },
    chunk,
  );
  if (!done) scalar.adamwBfloat16(param, grad, m, v, coefficients, key, first);
}

/**
 * `adamw` with m and √v in 8-bit codes, rounded stochastically, which keeps their mean. A block of {@link BLOCK}
 * elements shares a float32 scale, its largest magnitude (Dettmers et al. 2021, arXiv:2110.02861). The codes are
 * floats: of m, a sign, 4 bits of exponent and 3 of mantissa, evenly spaced around 0; of √v, 4 and 4 bits without a
 * zero, so that a weight whose gradients are much smaller than its block's is never divided by zero.
 *
 * @param scratch 2 × BLOCK numbers; fastest on the same memory as the others
 */
export function adamwBlocks(
  param: Float32Array,
  grad: Float32Array,
  codes: scalar.BlockCodes,
  scratch: Float32Array,
  coefficients: AdamWCoefficients,
  { key, first }: Rounding,
  chunk?: number,
): void {
  const { m, mScales, s, sScales } = codes;
  checkLengths('adamwBlocks', { param, grad, m, s });
  if (first % BLOCK !== 0) {
    throw new RopewalkError(`adamwBlocks: the first element is ${first}; begin at a multiple of ${BLOCK}.`);
  }
  const done = runElementwise(
    param.length,
    [
      { view: param, use: 'update' },
      { view: grad },
      { view: m, use: 'update' },
      { view: mScales, use: 'update', every: BLOCK },
      { view: s, use: 'update' },
      { view: sScales, use: 'update', every: BLOCK },
      { view: scratch, use: 'scratch' },
    ],
    { kernel: 'adamwBlocks', numbers: [...coefficientList(coefficients), key], first },
    chunk,
  );
  if (!done) scalar.adamwBlocks(param, grad, codes, coefficients, key, first);
}
