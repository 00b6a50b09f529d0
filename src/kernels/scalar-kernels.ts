/**
 * The loops of src/kernels/assembly/kernels.ts in plain JavaScript, for arrays that are not on one WebAssembly memory. They give
 * the same bits: JavaScript computes in float64, and one operation on float32 values rounded once more by Math.fround
 * is the float32 operation (float64 has more than 2 · 24 + 2 bits).
 */
import type { AdamWCoefficients } from './kernels.ts';

const { fround, sqrt } = Math;

export function adamw(
  param: Float32Array,
  grad: Float32Array,
  m: Float32Array,
  v: Float32Array,
  coefficients: AdamWCoefficients,
): void {
  const { lr, beta1, beta2, eps, weightDecay, biasCorrection1, biasCorrection2, gradScale } = coefficients;
  const decay = fround(1 - lr * weightDecay);
  const weight1 = fround(1 - beta1);
  const beta = fround(beta2);
  const weight2 = fround(1 - beta2);
  const epsilon = fround(eps);
  const inverseRoot2 = fround(1 / sqrt(biasCorrection2));
  const stepSize = fround(lr / biasCorrection1);
  const scaleBy = fround(gradScale);
  for (let i = 0; i < param.length; i++) {
    const g = fround(grad[i]! * scaleBy);
    const m0 = m[i]!;
    const m1 = fround(m0 + fround(weight1 * fround(g - m0)));
    const v1 = fround(fround(v[i]! * beta) + fround(fround(weight2 * g) * g));
    m[i] = m1;
    v[i] = v1;
    const denominator = fround(fround(fround(sqrt(v1)) * inverseRoot2) + epsilon);
    param[i] = fround(param[i]! * decay) - fround(fround(stepSize * m1) / denominator);
  }
}

export function sgd(param: Float32Array, grad: Float32Array, lr: number, gradScale: number): void {
  const rate = fround(lr);
  const scaleBy = fround(gradScale);
  for (let i = 0; i < param.length; i++) {
    param[i] = param[i]! - fround(rate * fround(grad[i]! * scaleBy));
  }
}

/** Σ x² in float64. Eight sums by element index modulo 8, paired like the kernel's vector lanes. */
export function sumOfSquares(x: Float32Array): number {
  const whole = x.length - (x.length % 16);
  const lanes = new Float64Array(8);
  for (let i = 0; i < whole; i++) {
    const value = x[i]!;
    lanes[((i >> 2) & 3) * 2 + (i & 1)]! += value * value;
  }
  const even = lanes[0]! + lanes[2]! + (lanes[4]! + lanes[6]!);
  const odd = lanes[1]! + lanes[3]! + (lanes[5]! + lanes[7]!);
  let total = even + odd;
  for (let i = whole; i < x.length; i++) total += x[i]! * x[i]!;
  return total;
}

export function addInto(dst: Float32Array, src: Float32Array): void {
  for (let i = 0; i < dst.length; i++) dst[i]! += src[i]!;
}

export function addRows(dst: Float32Array, ids: Int32Array, rows: Float32Array, width: number): void {
  for (let r = 0; r < ids.length; r++) {
    const to = ids[r]! * width;
    const from = r * width;
    for (let i = 0; i < width; i++) dst[to + i]! += rows[from + i]!;
  }
}

export function scale(x: Float32Array, s: number): void {
  const factor = fround(s);
  for (let i = 0; i < x.length; i++) x[i]! *= factor;
}
