/** src/kernels/assembly/adamw-bfloat16.ts and adamw-blocks.ts in plain JavaScript, with the same bits; see scalar-kernels.ts. */
import type { AdamWCoefficients } from './kernels.ts';

const { fround, sqrt, abs, imul, max, min } = Math;

const BLOCK = 256;
const LARGEST_M = 61439;
const LARGEST_S = 63488;
const SMALLEST = 2 ** -100;

const floats = new Float32Array(1);
const words = new Uint32Array(floats.buffer);

function bitsOf(value: number): number {
  floats[0] = value;
  return words[0]!;
}

function floatOf(bits: number): number {
  words[0] = bits;
  return floats[0]!;
}

/** C. Wellons's "lowbias32" (2018): 32 random bits. */
export function randomBits(x: number): number {
  let h = x ^ (x >>> 16);
  h = imul(h, 0x7feb352d);
  h ^= h >>> 15;
  h = imul(h, 0x846ca68b);
  return (h ^ (h >>> 16)) >>> 0;
}

/** The step's coefficients as the kernels round them. */
function rounded(c: AdamWCoefficients) {
  return {
    decay: fround(1 - c.lr * c.weightDecay),
    weight1: fround(1 - c.beta1),
    beta: fround(c.beta2),
    weight2: fround(1 - c.beta2),
    epsilon: fround(c.eps),
    inverseRoot2: fround(1 / sqrt(c.biasCorrection2)),
    stepSize: fround(c.lr / c.biasCorrection1),
    scale: fround(c.gradScale),
  };
}

export function adamwBfloat16(
  param: Float32Array,
  grad: Float32Array,
  m: Uint16Array,
  v: Uint16Array,
  coefficients: AdamWCoefficients,
  key: number,
  first: number,
): void {
  const c = rounded(coefficients);
  for (let i = 0; i < param.length; i++) {
    const g = fround(grad[i]! * c.scale);
    const m0 = floatOf(m[i]! << 16);
    const v0 = floatOf(v[i]! << 16);
    const m1 = fround(m0 + fround(c.weight1 * fround(g - m0)));
    const v1 = fround(fround(v0 * c.beta) + fround(fround(c.weight2 * g) * g));
    const denominator = fround(fround(fround(sqrt(v1)) * c.inverseRoot2) + c.epsilon);
    param[i] = fround(param[i]! * c.decay) - fround(fround(c.stepSize * m1) / denominator);
    const random = randomBits((key + first + i) | 0);
    m[i] = (bitsOf(m1) + (random & 0xffff)) >>> 16;
    v[i] = (bitsOf(v1) + (random >>> 16)) >>> 16;
  }
}

/** 8-bit averages, with a scale per block of 256. */
export interface BlockCodes {
  /** One code per element. */
  readonly m: Uint8Array;
  readonly s: Uint8Array;
  /** The largest magnitude of each block. */
  readonly mScales: Float32Array;
  readonly sScales: Float32Array;
}

export function adamwBlocks(
  param: Float32Array,
  grad: Float32Array,
  { m, mScales, s, sScales }: BlockCodes,
  coefficients: AdamWCoefficients,
  key: number,
  first: number,
): void {
  const c = rounded(coefficients);
  const averages = new Float32Array(BLOCK);
  const roots = new Float32Array(BLOCK);
  for (let start = 0; start < param.length; start += BLOCK) {
    const length = min(BLOCK, param.length - start);
    const block = start / BLOCK;
    const unitM = fround(mScales[block]! * fround(1 / LARGEST_M));
    const unitS = fround(sScales[block]! * fround(1 / LARGEST_S));
    let mostM = 0;
    let mostS = 0;
    for (let i = 0; i < length; i++) {
      const at = start + i;
      const g = fround(grad[at]! * c.scale);
      const m0 = decodeM(m[at]!, unitM);
      const s0 = decodeS(s[at]!, unitS);
      const m1 = fround(m0 + fround(c.weight1 * fround(g - m0)));
      const v1 = fround(fround(fround(s0 * s0) * c.beta) + fround(fround(c.weight2 * g) * g));
      const s1 = fround(sqrt(v1));
      const denominator = fround(fround(s1 * c.inverseRoot2) + c.epsilon);
      param[at] = fround(param[at]! * c.decay) - fround(fround(c.stepSize * m1) / denominator);
      averages[i] = m1;
      roots[i] = s1;
      mostM = max(mostM, abs(m1));
      mostS = max(mostS, s1);
    }
    if (mostM < SMALLEST) mostM = 0;
    if (mostS < SMALLEST) mostS = 0;
    mScales[block] = mostM;
    sScales[block] = mostS;
    const inverseM = mostM > 0 ? fround(LARGEST_M / mostM) : 0;
    const inverseS = mostS > 0 ? fround(LARGEST_S / mostS) : 0;
    for (let i = 0; i < length; i++) {
      const random = randomBits((key + first + start + i) | 0);
      m[start + i] = encodeM(averages[i]!, inverseM, random & 0xffff);
      s[start + i] = encodeS(roots[i]!, inverseS, random >>> 16);
    }
  }
}

/** @param unit the block's largest magnitude divided by 61439 */
export function decodeM(code: number, unit: number): number {
  const magnitude = fround((floatOf(((code & 127) + 1016) << 20) - 1) * unit);
  return code & 128 ? -magnitude : magnitude;
}

/** @param unit the block's largest magnitude divided by 63488 */
export function decodeS(code: number, unit: number): number {
  return fround(floatOf((code + 2032) << 19) * unit);
}

function encodeM(m: number, inverse: number, random: number): number {
  const float = fround(fround(abs(m) * inverse) + 1);
  const code = min(((bitsOf(float) + (random << 4)) >>> 20) - 1016, 127);
  return code | ((bitsOf(m) >>> 31) << 7);
}

function encodeS(s: number, inverse: number, random: number): number {
  const scaled = fround(s * inverse);
  const float = scaled < 1 ? 1 : scaled;
  return min(((bitsOf(float) + (random << 3)) >>> 19) - 2032, 255);
}
