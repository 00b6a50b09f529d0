import { RopewalkError } from '../../errors.ts';
import { sizeOf } from '../../graph/dims.ts';
import { type AdamWCoefficients, adamw } from '../../kernels/kernels.ts';
import {
  adamwBfloat16,
  adamwBlocks,
  BLOCK,
  type BlockCodes,
  randomBits,
} from '../../kernels/moment-kernels.ts';
import { allocBeside, type HostMemory } from '../../runtime/host-memory.ts';
import { type ParameterShape, type Range, rangeOf, type StateTensor } from './optimizer-common.ts';

/**
 * AdamW's running averages of one parameter, or of a range of its elements: m of the gradient, v of its square. Zeros
 * before the first step.
 */
export interface Moments {
  /**
   * Updates a range of the parameter's elements and their averages.
   *
   * @param offset where the range begins in the parameter
   * @param step the step count of the parameter, from 1
   */
  update(
    value: Float32Array,
    gradient: Float32Array,
    offset: number,
    coefficients: AdamWCoefficients,
    step: number,
  ): void;
  /** The arrays by their names in a file. */
  tensors(): (readonly [string, StateTensor])[];
}

/** Both as float32: 8 bytes per weight. */
export class Float32Moments implements Moments {
  readonly #m: Float32Array;
  readonly #v: Float32Array;

  readonly #parameter: ParameterShape;
  readonly #range: Range;

  constructor(memory: HostMemory, parameter: ParameterShape) {
    this.#parameter = parameter;
    this.#range = rangeOf(parameter);
    const bytes = 4 * lengthOf(this.#range);
    const [m, v] = allocate(memory, parameter, [bytes, bytes]);
    this.#m = float32(m!);
    this.#v = float32(v!);
  }

  update(value: Float32Array, gradient: Float32Array, offset: number, coefficients: AdamWCoefficients): void {
    const start = offset - this.#range.start;
    const end = start + value.length;
    adamw(value, gradient, this.#m.subarray(start, end), this.#v.subarray(start, end), coefficients);
  }

  tensors(): [string, StateTensor][] {
    const { name, shape } = this.#parameter;
    const { start } = this.#range;
    return [
      [`m.${name}`, { dtype: 'F32', data: this.#m, shape, start }],
      [`v.${name}`, { dtype: 'F32', data: this.#v, shape, start }],
    ];
  }
}

/**
 * Both as bfloat16, rounded stochastically, which keeps the mean: 4 bytes per weight. Rounded to nearest, v would not
 * change: with β2 = 0.999 it changes by a thousandth of itself, while bfloat16 values are 1/256 to 1/128 apart. The
 * noise is small: v's error has a standard deviation of about 3 % of v, and zero mean.
 */
export class Bfloat16Moments implements Moments {
  readonly #m: Uint16Array;
  readonly #v: Uint16Array;

  readonly #parameter: ParameterShape;
  readonly #range: Range;
  readonly #seed: number;

  constructor(memory: HostMemory, parameter: ParameterShape, seed: number) {
    this.#parameter = parameter;
    this.#range = rangeOf(parameter);
    this.#seed = seed;
    const bytes = 2 * lengthOf(this.#range);
    const [m, v] = allocate(memory, parameter, [bytes, bytes]);
    this.#m = uint16(m!);
    this.#v = uint16(v!);
  }

  update(
    value: Float32Array,
    gradient: Float32Array,
    offset: number,
    coefficients: AdamWCoefficients,
    step: number,
  ): void {
    const start = offset - this.#range.start;
    const end = start + value.length;
    const key = roundingKey(this.#seed, this.#parameter.name, step);
    adamwBfloat16(value, gradient, this.#m.subarray(start, end), this.#v.subarray(start, end), coefficients, {
      key,
      first: offset,
    });
  }

  tensors(): [string, StateTensor][] {
    const { name, shape } = this.#parameter;
    const { start } = this.#range;
    return [
      [`m.${name}`, { dtype: 'BF16', data: this.#m, shape, start }],
      [`v.${name}`, { dtype: 'BF16', data: this.#v, shape, start }],
    ];
  }
}

/**
 * m and √v in 8-bit floats, with a float32 scale per 256 of them: 2.03 bytes per weight. (Dettmers et al. 2021,
 * arXiv:2110.02861; like their dynamic code, these floats have much the same relative precision for small and large
 * numbers.) √v rather than v, since the step divides by it and it needs half the exponents. Rounded stochastically,
 * for the reason given in {@link Bfloat16Moments}.
 */
export class BlockMoments implements Moments {
  readonly #codes: BlockCodes;
  readonly #scratch: Float32Array;

  readonly #parameter: ParameterShape;
  readonly #range: Range;
  readonly #seed: number;

  /** @param parameter its range, if any, begins at a block. */
  constructor(memory: HostMemory, parameter: ParameterShape, seed: number) {
    this.#parameter = parameter;
    this.#range = rangeOf(parameter);
    this.#seed = seed;
    const size = lengthOf(this.#range);
    const scales = 4 * Math.ceil(size / BLOCK);
    const [m, s, mScales, sScales, scratch] = allocate(memory, parameter, [
      size,
      size,
      scales,
      scales,
      4 * 2 * BLOCK,
    ]);
    this.#codes = { m: m!, s: s!, mScales: float32(mScales!), sScales: float32(sScales!) };
    this.#scratch = float32(scratch!);
  }

  update(
    value: Float32Array,
    gradient: Float32Array,
    offset: number,
    coefficients: AdamWCoefficients,
    step: number,
  ): void {
    const { name } = this.#parameter;
    if (offset % BLOCK !== 0) {
      throw new RopewalkError(
        `AdamW: a range of ${name} begins at ${offset}; with 8-bit states, begin at multiples of ${BLOCK}.`,
      );
    }
    const start = offset - this.#range.start;
    const end = start + value.length;
    const { m, s, mScales, sScales } = this.#codes;
    const codes = {
      m: m.subarray(start, end),
      s: s.subarray(start, end),
      mScales: mScales.subarray(start / BLOCK, Math.ceil(end / BLOCK)),
      sScales: sScales.subarray(start / BLOCK, Math.ceil(end / BLOCK)),
    };
    const rounding = { key: roundingKey(this.#seed, name, step), first: offset };
    adamwBlocks(value, gradient, codes, this.#scratch, coefficients, rounding);
  }

  tensors(): [string, StateTensor][] {
    const { name, shape } = this.#parameter;
    const { m, s, mScales, sScales } = this.#codes;
    const { start } = this.#range;
    const blocks = { shape: [Math.ceil(sizeOf(shape) / BLOCK)], start: start / BLOCK };
    return [
      [`m.${name}`, { dtype: 'U8', data: m, shape, start }],
      [`m_scale.${name}`, { dtype: 'F32', data: mScales, ...blocks }],
      [`v_root.${name}`, { dtype: 'U8', data: s, shape, start }],
      [`v_root_scale.${name}`, { dtype: 'F32', data: sScales, ...blocks }],
    ];
  }
}

function lengthOf({ start, end }: Range): number {
  return end - start;
}

/** The key of the random numbers in a parameter's step, derived so that nothing else has to be saved to resume. */
function roundingKey(seed: number, name: string, step: number): number {
  let key = randomBits(seed | 0);
  for (let i = 0; i < name.length; i++) key = randomBits((key + name.charCodeAt(i)) | 0);
  return randomBits((key + step) | 0);
}

/** Zeroed arrays, next to the parameter's value if there is room: a kernel works on one memory. */
function allocate(memory: HostMemory, { value }: ParameterShape, byteLengths: readonly number[]) {
  return (value && allocBeside(value, byteLengths)) ?? memory.allocByteGroup(byteLengths);
}

function float32({ buffer, byteOffset, byteLength }: Uint8Array): Float32Array {
  return new Float32Array(buffer, byteOffset, byteLength / 4);
}

function uint16({ buffer, byteOffset, byteLength }: Uint8Array): Uint16Array {
  return new Uint16Array(buffer, byteOffset, byteLength / 2);
}
