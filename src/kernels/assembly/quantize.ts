// Quantization to 8 or 4 bits, block by block; src/onnx/quantize.ts describes the format. Values are whole blocks of
// 32, 64 or 128 float32s: a row whose last block is shorter is padded with zeros, which change nothing.

/** A block whose values are no larger than this becomes all zeros: the inverse of its scale would not be finite. */
const SMALLEST: f32 = 1e-35;

function lanesMax(x: v128): f32 {
  const a = max<f32>(f32x4.extract_lane(x, 0), f32x4.extract_lane(x, 1));
  return max<f32>(a, max<f32>(f32x4.extract_lane(x, 2), f32x4.extract_lane(x, 3)));
}

function lanesMin(x: v128): f32 {
  const a = min<f32>(f32x4.extract_lane(x, 0), f32x4.extract_lane(x, 1));
  return min<f32>(a, min<f32>(f32x4.extract_lane(x, 2), f32x4.extract_lane(x, 3)));
}

function lanesSum(x: v128): f32 {
  const a = f32x4.extract_lane(x, 0) + f32x4.extract_lane(x, 1);
  return a + (f32x4.extract_lane(x, 2) + f32x4.extract_lane(x, 3));
}

/** Rounds to the nearest integers, halves upward. */
function nearest(x: v128): v128 {
  return f32x4.floor(f32x4.add(x, f32x4.splat(0.5)));
}

/** Four values as 4-bit numbers, in floats from 0 to 15. */
function nibbles(x: v128, steps: v128, zero: v128): v128 {
  const q = f32x4.add(nearest(f32x4.mul(x, steps)), zero);
  return f32x4.pmin(f32x4.pmax(q, f32x4.splat(0)), f32x4.splat(15));
}

/**
 * @param data one byte per value
 * @param scales one per block; NaN if a value is not finite
 */
export function quantizeBytes(values: usize, blocks: u32, block: u32, data: usize, scales: usize): void {
  const length: usize = (<usize>block) << 2;
  for (let b: u32 = 0; b < blocks; b++) {
    let largest = f32x4.splat(0);
    for (let i: usize = 0; i < length; i += 16) {
      largest = f32x4.max(largest, f32x4.abs(v128.load(values + i)));
    }
    const most = lanesMax(largest);
    const isTiny = most < SMALLEST;
    const scale: f32 = isTiny ? 0 : most / 127;
    store<f32>(scales, most - most === 0 ? scale : f32.NaN);
    const inverse = f32x4.splat(isTiny ? 0 : 1 / scale);
    for (let i: usize = 0; i < length; i += 64) {
      const a = toByte(v128.load(values + i), inverse);
      const c = toByte(v128.load(values + i, 16), inverse);
      const d = toByte(v128.load(values + i, 32), inverse);
      const e = toByte(v128.load(values + i, 48), inverse);
      v128.store(
        data + (i >> 2),
        i8x16.narrow_i16x8_u(i16x8.narrow_i32x4_s(a, c), i16x8.narrow_i32x4_s(d, e)),
      );
    }
    values += length;
    data += <usize>block;
    scales += 4;
  }
}

function toByte(x: v128, inverse: v128): v128 {
  return i32x4.add(i32x4.trunc_sat_f32x4_s(nearest(f32x4.mul(x, inverse))), i32x4.splat(128));
}

/** Scale of the block that was tried last. */
let triedScale: f32 = 0;

/** The squared error for a share of the range, with the best scale for its integers. */
function tryRange(values: usize, length: usize, steps: f32, zero: f32): f32 {
  const zeros = f32x4.splat(zero);
  const wide = f32x4.splat(steps);
  let product = f32x4.splat(0);
  let square = f32x4.splat(0);
  for (let i: usize = 0; i < length; i += 16) {
    const x = v128.load(values + i);
    const q = f32x4.sub(nibbles(x, wide, zeros), zeros);
    product = f32x4.add(product, f32x4.mul(q, x));
    square = f32x4.add(square, f32x4.mul(q, q));
  }
  const along = lanesSum(product);
  if (!(along > 0)) return f32.MAX_VALUE;
  triedScale = along / lanesSum(square);
  const scale = f32x4.splat(triedScale);
  const inverse = f32x4.splat(1 / triedScale);
  let error = f32x4.splat(0);
  for (let i: usize = 0; i < length; i += 16) {
    const x = v128.load(values + i);
    const q = f32x4.sub(nibbles(x, inverse, zeros), zeros);
    const difference = f32x4.sub(x, f32x4.mul(scale, q));
    error = f32x4.add(error, f32x4.mul(difference, difference));
  }
  return lanesSum(error);
}

/** Packs eight 4-bit numbers into bytes, two per lane. */
function pairs(values: usize, inverse: v128, zeros: v128): v128 {
  const low = i32x4.trunc_sat_f32x4_s(nibbles(v128.load(values), inverse, zeros));
  const high = i32x4.trunc_sat_f32x4_s(nibbles(v128.load(values, 16), inverse, zeros));
  const all = i16x8.narrow_i32x4_u(low, high);
  return v128.and(v128.or(all, i32x4.shr_u(all, 12)), i32x4.splat(255));
}

/**
 * @param data half a byte per value, the first of two in the low half
 * @param scales one per block; NaN if a value is not finite
 * @param zeroPoints one byte per block
 */
export function quantizeNibbles(
  values: usize,
  blocks: u32,
  block: u32,
  data: usize,
  scales: usize,
  zeroPoints: usize,
): void {
  const length: usize = (<usize>block) << 2;
  for (let b: u32 = 0; b < blocks; b++) {
    // Zero must be representable, so the range includes it.
    let least = f32x4.splat(0);
    let most = f32x4.splat(0);
    for (let i: usize = 0; i < length; i += 16) {
      const x = v128.load(values + i);
      least = f32x4.min(least, x);
      most = f32x4.max(most, x);
    }
    const low = lanesMin(least);
    const high = lanesMax(most);
    const width = high - low;
    const middle: f32 = (low + high) / 2;
    let scale: f32 = 0;
    let zero: f32 = 8;
    if (!(width - width === 0)) scale = f32.NaN;
    else if (width >= SMALLEST) {
      let smallest: f32 = f32.MAX_VALUE;
      // A narrower range clips a little and has finer steps.
      for (let share: i32 = 0; share < 6; share++) {
        const range: f32 = width * (<f32>1 - <f32>0.06 * <f32>share);
        const steps: f32 = <f32>15 / range;
        const point = max<f32>(0, min<f32>(15, floor<f32>((range / 2 - middle) * steps + <f32>0.5)));
        const error = tryRange(values, length, steps, point);
        if (error < smallest) {
          smallest = error;
          scale = triedScale;
          zero = point;
        }
      }
    }
    store<f32>(scales, scale);
    store<u8>(zeroPoints, <u8>zero);
    const inverse = f32x4.splat(scale > 0 ? 1 / scale : 0);
    const zeros = f32x4.splat(zero);
    for (let i: usize = 0; i < length; i += 64) {
      const words = i16x8.narrow_i32x4_u(
        pairs(values + i, inverse, zeros),
        pairs(values + i + 32, inverse, zeros),
      );
      v128.store64_lane(data + (i >> 3), i8x16.narrow_i16x8_u(words, words), 0);
    }
    values += length;
    data += <usize>(block >> 1);
    scales += 4;
    zeroPoints += 1;
  }
}
