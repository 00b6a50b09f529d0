import { randomBits, randomBitsOf } from './rounding';

// 8-bit averages in blocks of 256 elements, each with its largest magnitude in float32; see src/training/optimizers/moments.ts for
// what a code means. As float32 bits, a code of m is a sign and a float in [1, 61440] of 3 mantissa bits, less 1; a code
// of √v is a float in [1, 63488] of 4 mantissa bits.

/** Elements with one scale. */
const BLOCK: usize = 256;
/** The value that a block's largest magnitude is mapped to: the largest code's float. */
const LARGEST_M: f32 = 61439;
const LARGEST_S: f32 = 63488;
/** A block with nothing larger than this, 2^-100, is stored as zeros: the inverse of its scale would not be finite. */
const SMALLEST: f32 = 7.888609052210118e-31;

/** m of four codes, which are the lanes of an i32x4. */
function decodeM(codes: v128, unit: v128): v128 {
  const bits = i32x4.shl(i32x4.add(v128.and(codes, i32x4.splat(127)), i32x4.splat(1016)), 20);
  const magnitude = f32x4.mul(f32x4.sub(bits, f32x4.splat(1)), unit);
  return v128.or(magnitude, i32x4.shl(v128.and(codes, i32x4.splat(128)), 24));
}

function encodeM(m: v128, inverse: v128, random: v128): v128 {
  const float = f32x4.add(f32x4.mul(f32x4.abs(m), inverse), f32x4.splat(1));
  const bits = i32x4.add(float, i32x4.shl(v128.and(random, i32x4.splat(0xffff)), 4));
  const code = i32x4.min_s(i32x4.sub(i32x4.shr_u(bits, 20), i32x4.splat(1016)), i32x4.splat(127));
  return v128.or(code, i32x4.shl(i32x4.shr_u(m, 31), 7));
}

/** √v of four codes. */
function decodeS(codes: v128, unit: v128): v128 {
  return f32x4.mul(i32x4.shl(i32x4.add(codes, i32x4.splat(2032)), 19), unit);
}

function encodeS(s: v128, inverse: v128, random: v128): v128 {
  const float = f32x4.pmax(f32x4.mul(s, inverse), f32x4.splat(1));
  const bits = i32x4.add(float, i32x4.shl(i32x4.shr_u(random, 16), 3));
  return i32x4.min_s(i32x4.sub(i32x4.shr_u(bits, 19), i32x4.splat(2032)), i32x4.splat(255));
}

/** Four bytes, each as an i32 lane. */
function loadBytes(at: usize): v128 {
  return i32x4.extend_low_i16x8_u(i16x8.extend_low_i8x16_u(v128.load32_zero(at)));
}

/** The low bytes of the lanes, in order. */
function storeBytes(at: usize, a: v128, b: v128, c: v128, d: v128): void {
  v128.store(at, i8x16.narrow_i16x8_u(i16x8.narrow_i32x4_s(a, b), i16x8.narrow_i32x4_s(c, d)));
}

function largestLane(x: v128): f32 {
  const a = max<f32>(f32x4.extract_lane(x, 0), f32x4.extract_lane(x, 1));
  return max<f32>(a, max<f32>(f32x4.extract_lane(x, 2), f32x4.extract_lane(x, 3)));
}

/**
 * AdamW with m and √v in 8-bit codes. The step uses the float32 averages before rounding; they are then rounded
 * stochastically, which keeps their mean.
 *
 * @param m,s codes, n bytes each
 * @param mScales,sScales the largest magnitude of each block
 * @param scratch 512 float32s: a block's averages until its largest magnitudes are known
 * @param key of this parameter's random numbers in this step
 * @param first index of the first element in its parameter, a multiple of the block's size
 */
export function adamwBlocks(
  param: usize,
  grad: usize,
  m: usize,
  mScales: usize,
  s: usize,
  sScales: usize,
  scratch: usize,
  n: usize,
  lr: f64,
  beta1: f64,
  beta2: f64,
  eps: f64,
  weightDecay: f64,
  biasCorrection1: f64,
  biasCorrection2: f64,
  gradScale: f64,
  key: u32,
  first: u32,
): void {
  const decay = <f32>(1 - lr * weightDecay);
  const weight1 = <f32>(1 - beta1);
  const beta = <f32>beta2;
  const weight2 = <f32>(1 - beta2);
  const epsilon = <f32>eps;
  const inverseRoot2 = <f32>(1 / sqrt<f64>(biasCorrection2));
  const stepSize = <f32>(lr / biasCorrection1);
  const scale = <f32>gradScale;

  const vDecay = f32x4.splat(decay);
  const vWeight1 = f32x4.splat(weight1);
  const vBeta2 = f32x4.splat(beta);
  const vWeight2 = f32x4.splat(weight2);
  const vEps = f32x4.splat(epsilon);
  const vInverseRoot2 = f32x4.splat(inverseRoot2);
  const vStepSize = f32x4.splat(stepSize);
  const vScale = f32x4.splat(scale);
  const scratchS = scratch + (BLOCK << 2);

  for (let start: usize = 0; start < n; start += BLOCK) {
    const length = min<usize>(BLOCK, n - start);
    const block = start / BLOCK;
    const unitM = load<f32>(mScales + (block << 2)) * (1 / LARGEST_M);
    const unitS = load<f32>(sScales + (block << 2)) * (1 / LARGEST_S);
    const vUnitM = f32x4.splat(unitM);
    const vUnitS = f32x4.splat(unitS);
    const whole = length & ~3;
    let vMostM = f32x4.splat(0);
    let vMostS = f32x4.splat(0);
    let i: usize = 0;
    for (; i < whole; i += 4) {
      const at = start + i;
      const g = f32x4.mul(v128.load(grad + (at << 2)), vScale);
      const m0 = decodeM(loadBytes(m + at), vUnitM);
      const s0 = decodeS(loadBytes(s + at), vUnitS);
      const m1 = f32x4.add(m0, f32x4.mul(vWeight1, f32x4.sub(g, m0)));
      const v0 = f32x4.mul(s0, s0);
      const v1 = f32x4.add(f32x4.mul(v0, vBeta2), f32x4.mul(f32x4.mul(vWeight2, g), g));
      const s1 = f32x4.sqrt(v1);
      const denominator = f32x4.add(f32x4.mul(s1, vInverseRoot2), vEps);
      const p = param + (at << 2);
      const decayed = f32x4.mul(v128.load(p), vDecay);
      v128.store(p, f32x4.sub(decayed, f32x4.div(f32x4.mul(vStepSize, m1), denominator)));
      v128.store(scratch + (i << 2), m1);
      v128.store(scratchS + (i << 2), s1);
      vMostM = f32x4.pmax(vMostM, f32x4.abs(m1));
      vMostS = f32x4.pmax(vMostS, s1);
    }
    let mostM = largestLane(vMostM);
    let mostS = largestLane(vMostS);
    for (; i < length; i++) {
      const at = start + i;
      const g = load<f32>(grad + (at << 2)) * scale;
      const codeM = <u32>load<u8>(m + at);
      const codeS = <u32>load<u8>(s + at);
      const magnitude = (reinterpret<f32>(((codeM & 127) + 1016) << 20) - 1) * unitM;
      const m0 = codeM & 128 ? -magnitude : magnitude;
      const s0 = reinterpret<f32>((codeS + 2032) << 19) * unitS;
      const m1 = m0 + weight1 * (g - m0);
      const v1 = s0 * s0 * beta + weight2 * g * g;
      const s1 = sqrt<f32>(v1);
      const p = param + (at << 2);
      store<f32>(p, load<f32>(p) * decay - (stepSize * m1) / (s1 * inverseRoot2 + epsilon));
      store<f32>(scratch + (i << 2), m1);
      store<f32>(scratchS + (i << 2), s1);
      mostM = max<f32>(mostM, abs<f32>(m1));
      mostS = max<f32>(mostS, s1);
    }

    if (mostM < SMALLEST) mostM = 0;
    if (mostS < SMALLEST) mostS = 0;
    store<f32>(mScales + (block << 2), mostM);
    store<f32>(sScales + (block << 2), mostS);
    const inverseM: f32 = mostM > 0 ? LARGEST_M / mostM : 0;
    const inverseS: f32 = mostS > 0 ? LARGEST_S / mostS : 0;
    encodeBlock(m + start, s + start, scratch, length, inverseM, inverseS, key + first + <u32>start);
  }
}

/** Codes of a block's averages. @param x the key plus the index of its first element */
function encodeBlock(
  m: usize,
  s: usize,
  scratch: usize,
  length: usize,
  inverseM: f32,
  inverseS: f32,
  x: u32,
): void {
  const scratchS = scratch + (BLOCK << 2);
  const vInverseM = f32x4.splat(inverseM);
  const vInverseS = f32x4.splat(inverseS);
  const lanes = i32x4.add(i32x4.splat(x), i32x4(0, 1, 2, 3));
  const whole = length & ~15;
  let i: usize = 0;
  for (; i < whole; i += 16) {
    const at = i << 2;
    const r0 = randomBits(i32x4.add(lanes, i32x4.splat(<i32>i)));
    const r1 = randomBits(i32x4.add(lanes, i32x4.splat(<i32>i + 4)));
    const r2 = randomBits(i32x4.add(lanes, i32x4.splat(<i32>i + 8)));
    const r3 = randomBits(i32x4.add(lanes, i32x4.splat(<i32>i + 12)));
    storeBytes(
      m + i,
      encodeM(v128.load(scratch + at), vInverseM, r0),
      encodeM(v128.load(scratch + at, 16), vInverseM, r1),
      encodeM(v128.load(scratch + at, 32), vInverseM, r2),
      encodeM(v128.load(scratch + at, 48), vInverseM, r3),
    );
    storeBytes(
      s + i,
      encodeS(v128.load(scratchS + at), vInverseS, r0),
      encodeS(v128.load(scratchS + at, 16), vInverseS, r1),
      encodeS(v128.load(scratchS + at, 32), vInverseS, r2),
      encodeS(v128.load(scratchS + at, 48), vInverseS, r3),
    );
  }
  for (; i < length; i++) {
    const random = randomBitsOf(x + <u32>i);
    const m1 = load<f32>(scratch + (i << 2));
    const floatM = abs<f32>(m1) * inverseM + 1;
    const bitsM = reinterpret<u32>(floatM) + ((random & 0xffff) << 4);
    const codeM = min<i32>(<i32>(bitsM >>> 20) - 1016, 127);
    store<u8>(m + i, <u8>(codeM | ((reinterpret<u32>(m1) >>> 31) << 7)));
    const scaled = load<f32>(scratchS + (i << 2)) * inverseS;
    const floatS: f32 = scaled < 1 ? 1 : scaled;
    const bitsS = reinterpret<u32>(floatS) + ((random >>> 16) << 3);
    store<u8>(s + i, <u8>min<i32>(<i32>(bitsS >>> 19) - 2032, 255));
  }
}
