// AssemblyScript (TypeScript syntax over WebAssembly), compiled by scripts/build-kernels.js.
//
// float32 loops over an imported memory. Pointers are byte offsets, n counts elements. Every loop advances a byte
// offset that starts at 0 instead of comparing end pointers: the end of a 4 GiB memory is not a 32-bit number.
//
// Each operation rounds to float32 separately and nothing is fused or reordered, so src/kernels/scalar-kernels.ts
// gives the same bits. All memory belongs to the caller: there is no static data and no allocation here.

export { adafactorNorm, adafactorSums, adafactorUpdate } from './adafactor';
export { adamwBfloat16 } from './adamw-bfloat16';
export { adamwBlocks } from './adamw-blocks';
export { quantizeBytes, quantizeNibbles } from './quantize';
export {
  unpackQ4_0,
  unpackQ4_1,
  unpackQ4_K,
  unpackQ5_0,
  unpackQ5_1,
  unpackQ5_K,
  unpackQ6_K,
  unpackQ8_0,
} from './unpack';
export { dequantizeBytes, dequantizeNibbles, widenBfloat16, widenFloat16 } from './widen';

/** One vector of AdamW at pointers p, g, m, v. Order of operations: torch.optim.AdamW, single-tensor path. */
function adamwVector(
  p: usize,
  g: usize,
  m: usize,
  v: usize,
  decay: v128,
  weight1: v128,
  beta2: v128,
  weight2: v128,
  eps: v128,
  inverseRoot2: v128,
  stepSize: v128,
  gradScale: v128,
): void {
  const grad = f32x4.mul(v128.load(g), gradScale);
  const m0 = v128.load(m);
  // lerp(m, g, 1 − β1)
  const m1 = f32x4.add(m0, f32x4.mul(weight1, f32x4.sub(grad, m0)));
  // β2·v + ((1 − β2)·g)·g
  const v1 = f32x4.add(f32x4.mul(v128.load(v), beta2), f32x4.mul(f32x4.mul(weight2, grad), grad));
  v128.store(m, m1);
  v128.store(v, v1);
  const denominator = f32x4.add(f32x4.mul(f32x4.sqrt(v1), inverseRoot2), eps);
  const decayed = f32x4.mul(v128.load(p), decay);
  v128.store(p, f32x4.sub(decayed, f32x4.div(f32x4.mul(stepSize, m1), denominator)));
}

/**
 * AdamW over n elements, in place on param, m and v. Coefficients arrive in float64 and are combined there before
 * they are rounded, as PyTorch does with Python's numbers.
 *
 * @param biasCorrection1 1 − β1^t
 * @param biasCorrection2 1 − β2^t
 * @param gradScale factor of every gradient: clips without an extra pass
 */
export function adamw(
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

  const bytes = n << 2;
  const pairs = bytes & ~31;
  let i: usize = 0;
  for (; i < pairs; i += 32) {
    const a = param + i;
    const b = grad + i;
    const c = m + i;
    const d = v + i;
    adamwVector(a, b, c, d, vDecay, vWeight1, vBeta2, vWeight2, vEps, vInverseRoot2, vStepSize, vScale);
    adamwVector(
      a + 16,
      b + 16,
      c + 16,
      d + 16,
      vDecay,
      vWeight1,
      vBeta2,
      vWeight2,
      vEps,
      vInverseRoot2,
      vStepSize,
      vScale,
    );
  }
  for (; i < bytes; i += 4) {
    const g = load<f32>(grad + i) * scale;
    const m0 = load<f32>(m + i);
    const m1 = m0 + weight1 * (g - m0);
    const v1 = load<f32>(v + i) * beta + weight2 * g * g;
    store<f32>(m + i, m1);
    store<f32>(v + i, v1);
    const denominator = sqrt<f32>(v1) * inverseRoot2 + epsilon;
    store<f32>(param + i, load<f32>(param + i) * decay - (stepSize * m1) / denominator);
  }
}

/** param ← param − lr · (gradScale · grad). */
export function sgd(param: usize, grad: usize, n: usize, lr: f64, gradScale: f64): void {
  const rate = <f32>lr;
  const scale = <f32>gradScale;
  const vRate = f32x4.splat(rate);
  const vScale = f32x4.splat(scale);
  const bytes = n << 2;
  const whole = bytes & ~31;
  let i: usize = 0;
  for (; i < whole; i += 32) {
    const p = param + i;
    const g = grad + i;
    v128.store(p, f32x4.sub(v128.load(p), f32x4.mul(vRate, f32x4.mul(v128.load(g), vScale))));
    v128.store(p, f32x4.sub(v128.load(p, 16), f32x4.mul(vRate, f32x4.mul(v128.load(g, 16), vScale))), 16);
  }
  for (; i < bytes; i += 4) {
    store<f32>(param + i, load<f32>(param + i) - rate * (load<f32>(grad + i) * scale));
  }
}

/** Adds the squares of the four float32 at ptr to sum's two float64 lanes: elements 0 and 2 to the first lane. */
function addSquares(sum: v128, ptr: usize): v128 {
  const x = v128.load(ptr);
  const low = f64x2.promote_low_f32x4(x);
  const high = f64x2.promote_low_f32x4(i64x2.shuffle(x, x, 1, 0));
  return f64x2.add(f64x2.add(sum, f64x2.mul(low, low)), f64x2.mul(high, high));
}

/**
 * Σ x², summed in float64: the square of a float32 is exact there. Four sums of two lanes each take 16 elements at a
 * time and are joined in a fixed order, so every run gives the same result.
 */
export function sumOfSquares(ptr: usize, n: usize): f64 {
  let s0 = f64x2.splat(0);
  let s1 = f64x2.splat(0);
  let s2 = f64x2.splat(0);
  let s3 = f64x2.splat(0);
  const bytes = n << 2;
  const whole = bytes & ~63;
  let i: usize = 0;
  for (; i < whole; i += 64) {
    s0 = addSquares(s0, ptr + i);
    s1 = addSquares(s1, ptr + i + 16);
    s2 = addSquares(s2, ptr + i + 32);
    s3 = addSquares(s3, ptr + i + 48);
  }
  const sum = f64x2.add(f64x2.add(s0, s1), f64x2.add(s2, s3));
  let total = f64x2.extract_lane(sum, 0) + f64x2.extract_lane(sum, 1);
  for (; i < bytes; i += 4) {
    const x = <f64>load<f32>(ptr + i);
    total += x * x;
  }
  return total;
}

/** dst ← dst + src. */
export function addInto(dst: usize, src: usize, n: usize): void {
  const bytes = n << 2;
  const whole = bytes & ~31;
  let i: usize = 0;
  for (; i < whole; i += 32) {
    const d = dst + i;
    const s = src + i;
    v128.store(d, f32x4.add(v128.load(d), v128.load(s)));
    v128.store(d, f32x4.add(v128.load(d, 16), v128.load(s, 16)), 16);
  }
  for (; i < bytes; i += 4) store<f32>(dst + i, load<f32>(dst + i) + load<f32>(src + i));
}

/**
 * Adds row r of src [count, width] into row ids[r] of dst [rows, width], r in ascending order: the gradient of an
 * embedding. The caller has checked that every id is a row of dst.
 */
export function addRows(dst: usize, ids: usize, src: usize, count: usize, width: usize): void {
  const stride = width << 2;
  for (let r: usize = 0; r < count; r++) {
    addInto(dst + <usize>load<i32>(ids + (r << 2)) * stride, src + r * stride, width);
  }
}

/** x ← s · x. */
export function scale(ptr: usize, n: usize, s: f32): void {
  const factor = f32x4.splat(s);
  const bytes = n << 2;
  const whole = bytes & ~31;
  let i: usize = 0;
  for (; i < whole; i += 32) {
    v128.store(ptr + i, f32x4.mul(v128.load(ptr + i), factor));
    v128.store(ptr + i, f32x4.mul(v128.load(ptr + i, 16), factor), 16);
  }
  for (; i < bytes; i += 4) store<f32>(ptr + i, load<f32>(ptr + i) * s);
}

/** x ← value. */
export function fill(ptr: usize, n: usize, value: f32): void {
  const vector = f32x4.splat(value);
  const bytes = n << 2;
  const whole = bytes & ~31;
  let i: usize = 0;
  for (; i < whole; i += 32) {
    v128.store(ptr + i, vector);
    v128.store(ptr + i, vector, 16);
  }
  for (; i < bytes; i += 4) store<f32>(ptr + i, value);
}
