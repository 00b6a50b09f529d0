// Stored numbers as float32, to be quantized again or used as they are.

/** Four float16 codes in 32-bit lanes. */
function halfs(codes: v128): v128 {
  const magnitude = v128.and(codes, i32x4.splat(0x7fff));
  const sign = i32x4.shl(v128.and(codes, i32x4.splat(0x8000)), 16);
  // Exponent and fraction are in place, except for the bias: 2^112. The product also normalizes subnormals.
  const scaled = f32x4.mul(i32x4.shl(magnitude, 13), i32x4.splat(0x77800000));
  // Infinities and NaN have all bits of the exponent.
  const largest = v128.and(i32x4.gt_s(magnitude, i32x4.splat(0x7bff)), i32x4.splat(0x7f800000));
  return v128.or(v128.or(scaled, largest), sign);
}

/** `n` float16 numbers. */
export function widenFloat16(from: usize, n: usize, to: usize): void {
  const whole = n & ~7;
  let i: usize = 0;
  for (; i < whole; i += 8) {
    const codes = v128.load(from + (i << 1));
    v128.store(to + (i << 2), halfs(i32x4.extend_low_i16x8_u(codes)));
    v128.store(to + (i << 2), halfs(i32x4.extend_high_i16x8_u(codes)), 16);
  }
  for (; i < n; i++) {
    v128.store32_lane(to + (i << 2), halfs(i32x4.splat(<i32>load<u16>(from + (i << 1)))), 0);
  }
}

/** `n` bfloat16 numbers: the upper halves of float32. */
export function widenBfloat16(from: usize, n: usize, to: usize): void {
  const whole = n & ~7;
  let i: usize = 0;
  for (; i < whole; i += 8) {
    const codes = v128.load(from + (i << 1));
    v128.store(to + (i << 2), i32x4.shl(i32x4.extend_low_i16x8_u(codes), 16));
    v128.store(to + (i << 2), i32x4.shl(i32x4.extend_high_i16x8_u(codes), 16), 16);
  }
  for (; i < n; i++) store<u32>(to + (i << 2), (<u32>load<u16>(from + (i << 1))) << 16);
}

/** Four values: scale · (code − zero) + offset, each operation rounded; without offsets nothing is added. */
function value(codes: v128, zero: v128, scale: v128, offset: v128, hasOffsets: bool): v128 {
  const product = f32x4.mul(scale, f32x4.convert_i32x4_s(i32x4.sub(codes, zero)));
  return hasOffsets ? f32x4.add(product, offset) : product;
}

/** 16 codes of 8 bits. */
function sixteen(codes: v128, to: usize, zero: v128, scale: v128, offset: v128, hasOffsets: bool): void {
  const low = i16x8.extend_low_i8x16_u(codes);
  const high = i16x8.extend_high_i8x16_u(codes);
  v128.store(to, value(i32x4.extend_low_i16x8_u(low), zero, scale, offset, hasOffsets));
  v128.store(to, value(i32x4.extend_high_i16x8_u(low), zero, scale, offset, hasOffsets), 16);
  v128.store(to, value(i32x4.extend_low_i16x8_u(high), zero, scale, offset, hasOffsets), 32);
  v128.store(to, value(i32x4.extend_high_i16x8_u(high), zero, scale, offset, hasOffsets), 48);
}

/**
 * The values of unpacked groups.
 *
 * @param group codes per group: 16 or 32
 * @param zero the code for zero
 * @param offsets 0 if there are none
 */
export function dequantizeBytes(
  data: usize,
  scales: usize,
  offsets: usize,
  groups: u32,
  group: u32,
  zero: i32,
  to: usize,
): void {
  const zeros = i32x4.splat(zero);
  const hasOffsets = offsets !== 0;
  for (let g: u32 = 0; g < groups; g++) {
    const scale = v128.load32_splat(scales);
    const offset = hasOffsets ? v128.load32_splat(offsets) : i32x4.splat(0);
    for (let i: u32 = 0; i < group; i += 16) {
      sixteen(v128.load(data), to, zeros, scale, offset, hasOffsets);
      data += 16;
      to += 64;
    }
    scales += 4;
    if (hasOffsets) offsets += 4;
  }
}

/** The same for groups of 32 codes of 4 bits, two neighbors per byte. */
export function dequantizeNibbles(
  data: usize,
  scales: usize,
  offsets: usize,
  groups: u32,
  zero: i32,
  to: usize,
): void {
  const zeros = i32x4.splat(zero);
  const hasOffsets = offsets !== 0;
  const half = i8x16.splat(15);
  for (let g: u32 = 0; g < groups; g++) {
    const scale = v128.load32_splat(scales);
    const offset = hasOffsets ? v128.load32_splat(offsets) : i32x4.splat(0);
    const packed = v128.load(data);
    const even = v128.and(packed, half);
    const odd = v128.and(i16x8.shr_u(packed, 4), half);
    const first = i8x16.shuffle(even, odd, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    const second = i8x16.shuffle(even, odd, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    sixteen(first, to, zeros, scale, offset, hasOffsets);
    sixteen(second, to + 64, zeros, scale, offset, hasOffsets);
    data += 16;
    to += 128;
    scales += 4;
    if (hasOffsets) offsets += 4;
  }
}
