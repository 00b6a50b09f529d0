import { randomBits, randomBitsOf } from './rounding';

/**
 * AdamW with m and v in bfloat16, the upper halves of float32s. The step uses the float32 averages before rounding;
 * they are then rounded stochastically, which keeps their mean.
 *
 * @param m,v pointers to n uint16 each
 * @param key of this parameter's random numbers in this step
 * @param first index of the first element in its parameter
 */
export function adamwBfloat16(
  param: usize,
  grad: usize,
  m: usize,
  v: usize,
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
  const lower = i32x4.splat(0xffff);
  const four = i32x4.splat(4);
  let x = i32x4.add(i32x4.splat(key + first), i32x4(0, 1, 2, 3));

  const whole = n & ~7;
  let i: usize = 0;
  for (; i < whole; i += 8) {
    const codesM = v128.load(m + (i << 1));
    const codesV = v128.load(v + (i << 1));
    let p = param + (i << 2);
    let grads = f32x4.mul(v128.load(grad + (i << 2)), vScale);
    let m1 = i32x4.shl(i32x4.extend_low_i16x8_u(codesM), 16);
    let v1 = i32x4.shl(i32x4.extend_low_i16x8_u(codesV), 16);
    m1 = f32x4.add(m1, f32x4.mul(vWeight1, f32x4.sub(grads, m1)));
    v1 = f32x4.add(f32x4.mul(v1, vBeta2), f32x4.mul(f32x4.mul(vWeight2, grads), grads));
    let denominator = f32x4.add(f32x4.mul(f32x4.sqrt(v1), vInverseRoot2), vEps);
    let step = f32x4.div(f32x4.mul(vStepSize, m1), denominator);
    v128.store(p, f32x4.sub(f32x4.mul(v128.load(p), vDecay), step));
    let random = randomBits(x);
    const lowM = i32x4.shr_u(i32x4.add(m1, v128.and(random, lower)), 16);
    const lowV = i32x4.shr_u(i32x4.add(v1, i32x4.shr_u(random, 16)), 16);
    x = i32x4.add(x, four);

    p += 16;
    grads = f32x4.mul(v128.load(grad + (i << 2), 16), vScale);
    m1 = i32x4.shl(i32x4.extend_high_i16x8_u(codesM), 16);
    v1 = i32x4.shl(i32x4.extend_high_i16x8_u(codesV), 16);
    m1 = f32x4.add(m1, f32x4.mul(vWeight1, f32x4.sub(grads, m1)));
    v1 = f32x4.add(f32x4.mul(v1, vBeta2), f32x4.mul(f32x4.mul(vWeight2, grads), grads));
    denominator = f32x4.add(f32x4.mul(f32x4.sqrt(v1), vInverseRoot2), vEps);
    step = f32x4.div(f32x4.mul(vStepSize, m1), denominator);
    v128.store(p, f32x4.sub(f32x4.mul(v128.load(p), vDecay), step));
    random = randomBits(x);
    const highM = i32x4.shr_u(i32x4.add(m1, v128.and(random, lower)), 16);
    const highV = i32x4.shr_u(i32x4.add(v1, i32x4.shr_u(random, 16)), 16);
    x = i32x4.add(x, four);

    v128.store(m + (i << 1), i16x8.narrow_i32x4_u(lowM, highM));
    v128.store(v + (i << 1), i16x8.narrow_i32x4_u(lowV, highV));
  }
  for (; i < n; i++) {
    const g = load<f32>(grad + (i << 2)) * scale;
    const m0 = reinterpret<f32>((<u32>load<u16>(m + (i << 1))) << 16);
    const v0 = reinterpret<f32>((<u32>load<u16>(v + (i << 1))) << 16);
    const m1 = m0 + weight1 * (g - m0);
    const v1 = v0 * beta + weight2 * g * g;
    const denominator = sqrt<f32>(v1) * inverseRoot2 + epsilon;
    const p = param + (i << 2);
    store<f32>(p, load<f32>(p) * decay - (stepSize * m1) / denominator);
    const random = randomBitsOf(key + first + <u32>i);
    store<u16>(m + (i << 1), <u16>((reinterpret<u32>(m1) + (random & 0xffff)) >>> 16));
    store<u16>(v + (i << 1), <u16>((reinterpret<u32>(v1) + (random >>> 16)) >>> 16));
  }
}
