// Repacks blocks of ggml's quantized types for the engine: the structures are those of ggml-common.h, the result is
// that of src/checkpoint/gguf/reading/matrix.ts. 4-bit codes are packed as two neighbors per byte; 8-bit codes are
// centered on 128.

/** The value of a float16 code. */
function halfAt(at: usize): f32 {
  const code: u32 = <u32>load<u16>(at);
  const sign: u32 = (code & 0x8000) << 16;
  const magnitude: u32 = code & 0x7fff;
  // Infinities and NaN.
  if (magnitude >= 0x7c00) return reinterpret<f32>(sign | 0x7f800000 | ((code & 0x3ff) << 13));
  // Exponent and fraction are in place, except for the bias: 2^112. The product also normalizes subnormals.
  const scaled: f32 = reinterpret<f32>(magnitude << 13) * reinterpret<f32>(0x77800000);
  return reinterpret<f32>(reinterpret<u32>(scaled) | sign);
}

/** The low halves of 16 bytes as 8 bytes of two neighbors each, in 16-bit lanes. */
function lowPairs(v: v128): v128 {
  const x = v128.and(v, i8x16.splat(15));
  return v128.and(v128.or(x, i16x8.shr_u(x, 4)), i16x8.splat(255));
}

/** The same for the high halves. */
function highPairs(v: v128): v128 {
  const first = v128.and(i16x8.shr_u(v, 4), i16x8.splat(15));
  return v128.or(first, v128.and(i16x8.shr_u(v, 8), i16x8.splat(0xf0)));
}

/** A scale, then 32 signed bytes. */
export function unpackQ8_0(from: usize, blocks: u32, data: usize, scales: usize): void {
  const top = i8x16.splat(-128);
  for (let b: u32 = 0; b < blocks; b++) {
    store<f32>(scales, halfAt(from));
    v128.store(data, v128.xor(v128.load(from, 2), top));
    v128.store(data, v128.xor(v128.load(from, 18), top), 16);
    from += 34;
    data += 32;
    scales += 4;
  }
}

/** A scale, then 16 bytes whose low halves are codes 0 to 15 and whose high halves are 16 to 31. */
export function unpackQ4_0(from: usize, blocks: u32, data: usize, scales: usize): void {
  for (let b: u32 = 0; b < blocks; b++) {
    store<f32>(scales, halfAt(from));
    const v = v128.load(from, 2);
    v128.store(data, i8x16.narrow_i16x8_u(lowPairs(v), highPairs(v)));
    from += 18;
    data += 16;
    scales += 4;
  }
}

/** The offset from the code that the engine takes for zero: 8, or 0 to keep the offset as it is. */
function movedOffset(offset: f32, scale: f32, zero: i32): f32 {
  return zero === 0 ? offset : <f32>(<f64>offset + <f64>zero * <f64>scale);
}

/** A scale, an offset, and 16 bytes as in Q4_0. */
export function unpackQ4_1(
  from: usize,
  blocks: u32,
  data: usize,
  scales: usize,
  offsets: usize,
  zero: i32,
): void {
  for (let b: u32 = 0; b < blocks; b++) {
    const scale = halfAt(from);
    store<f32>(scales, scale);
    store<f32>(offsets, movedOffset(halfAt(from + 2), scale, zero));
    const v = v128.load(from, 4);
    v128.store(data, i8x16.narrow_i16x8_u(lowPairs(v), highPairs(v)));
    from += 20;
    data += 16;
    scales += 4;
    offsets += 4;
  }
}

/** 16 fifth bits (`bits`), each as the value 16 in its byte. */
function fifths(bits: u32): v128 {
  const spread = i8x16.swizzle(i32x4.splat(<i32>bits), v128(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1));
  const which = v128(1, 2, 4, 8, 16, 32, 64, -128, 1, 2, 4, 8, 16, 32, 64, -128);
  return v128.and(i8x16.eq(v128.and(spread, which), which), i8x16.splat(16));
}

/** 32 codes of a fifth bit each, from `at` on, and halves as in Q4_0; `shift` is added to each. */
function unpackFives(at: usize, data: usize, shift: v128): void {
  const low = i8x16.splat(15);
  const bits = load<u32>(at);
  const v = v128.load(at, 4);
  const first = v128.or(v128.and(v, low), fifths(bits & 0xffff));
  const second = v128.or(v128.and(i16x8.shr_u(v, 4), low), fifths(bits >>> 16));
  v128.store(data, i8x16.add(first, shift));
  v128.store(data, i8x16.add(second, shift), 16);
}

/** A scale, an offset, and codes as in Q5_0. */
export function unpackQ5_1(from: usize, blocks: u32, data: usize, scales: usize, offsets: usize): void {
  const shift = i8x16.splat(-128);
  for (let b: u32 = 0; b < blocks; b++) {
    store<f32>(scales, halfAt(from));
    // Zero instead of −0 if nothing is added.
    store<f32>(offsets, halfAt(from + 2) + 0);
    unpackFives(from + 4, data, shift);
    from += 24;
    data += 32;
    scales += 4;
    offsets += 4;
  }
}

/** A scale, a fifth bit for each code, halves as in Q4_0; the code 16 means zero. */
export function unpackQ5_0(from: usize, blocks: u32, data: usize, scales: usize): void {
  const shift = i8x16.splat(112);
  for (let b: u32 = 0; b < blocks; b++) {
    store<f32>(scales, halfAt(from));
    unpackFives(from + 2, data, shift);
    from += 22;
    data += 32;
    scales += 4;
  }
}

/** The scale and offset of group g of a K type, from the two halves and 12 bytes at its beginning. */
function scaleOf(from: usize, g: usize): f32 {
  const packed = from + 4;
  const code: u32 =
    g < 4
      ? load<u8>(packed + g) & 63
      : (load<u8>(packed + g + 4) & 15) | ((load<u8>(packed + g - 4) >>> 2) & 48);
  return halfAt(from) * <f32>code;
}

function offsetOf(from: usize, g: usize): f32 {
  const packed = from + 4;
  const code: u32 =
    g < 4
      ? load<u8>(packed + g + 4) & 63
      : (load<u8>(packed + g + 4) >>> 4) | ((load<u8>(packed + g) >>> 2) & 48);
  return -(halfAt(from + 2) * <f32>code);
}

/** Scales and offsets, then four times 32 bytes whose low halves are one group and whose high halves are the next. */
export function unpackQ4_K(
  from: usize,
  blocks: u32,
  data: usize,
  scales: usize,
  offsets: usize,
  zero: i32,
): void {
  for (let b: u32 = 0; b < blocks; b++) {
    for (let g: usize = 0; g < 8; g++) {
      const scale = scaleOf(from, g);
      store<f32>(scales + (g << 2), scale);
      store<f32>(offsets + (g << 2), movedOffset(offsetOf(from, g), scale, zero));
    }
    for (let pair: usize = 0; pair < 4; pair++) {
      const at = from + 16 + (pair << 5);
      const first = v128.load(at);
      const second = v128.load(at, 16);
      v128.store(data, i8x16.narrow_i16x8_u(lowPairs(first), lowPairs(second)));
      v128.store(data, i8x16.narrow_i16x8_u(highPairs(first), highPairs(second)), 16);
      data += 32;
    }
    from += 144;
    scales += 32;
    offsets += 32;
  }
}

/** Like Q4_K with 32 bytes in between, whose bit g is the fifth bit of group g. */
export function unpackQ5_K(from: usize, blocks: u32, data: usize, scales: usize, offsets: usize): void {
  const low = i8x16.splat(15);
  const shift = i8x16.splat(-128);
  for (let b: u32 = 0; b < blocks; b++) {
    for (let g: usize = 0; g < 8; g++) {
      store<f32>(scales + (g << 2), scaleOf(from, g));
      // Zero instead of −0 if nothing is added.
      store<f32>(offsets + (g << 2), offsetOf(from, g) + 0);
    }
    for (let pair: usize = 0; pair < 4; pair++) {
      const at = from + 48 + (pair << 5);
      const bit = <i32>(pair << 1);
      for (let part: usize = 0; part < 32; part += 16) {
        const v = v128.load(at + part);
        const high = i16x8.shr_u(v128.load(from + 16 + part), bit);
        const fifth = v128.and(i16x8.shl(high, 4), i8x16.splat(16));
        const next = v128.and(i16x8.shl(high, 3), i8x16.splat(16));
        v128.store(data + part, v128.or(v128.or(v128.and(v, low), fifth), shift));
        v128.store(data + part, v128.or(v128.or(v128.and(i16x8.shr_u(v, 4), low), next), shift), 32);
      }
      data += 64;
    }
    from += 176;
    scales += 32;
    offsets += 32;
  }
}

/**
 * Twice: 64 bytes of low halves; twice: 32 bytes of upper bit pairs; 16 signed scales; their scale. The code 32 means
 * zero.
 */
export function unpackQ6_K(from: usize, blocks: u32, data: usize, scales: usize): void {
  const low = i8x16.splat(15);
  const pair = i8x16.splat(0x30);
  const shift = i8x16.splat(96);
  for (let b: u32 = 0; b < blocks; b++) {
    const scale = halfAt(from + 208);
    for (let i: usize = 0; i < 16; i++) {
      store<f32>(scales + (i << 2), scale * <f32>load<i8>(from + 192 + i));
    }
    for (let half: usize = 0; half < 2; half++) {
      for (let part: usize = 0; part < 32; part += 16) {
        const a = v128.load(from + (half << 6) + part);
        const c = v128.load(from + (half << 6) + part, 32);
        const upper = v128.load(from + 128 + (half << 5) + part);
        const to = data + part;
        const c0 = v128.or(v128.and(a, low), v128.and(i16x8.shl(upper, 4), pair));
        const c1 = v128.or(v128.and(c, low), v128.and(i16x8.shl(upper, 2), pair));
        const c2 = v128.or(v128.and(i16x8.shr_u(a, 4), low), v128.and(upper, pair));
        const c3 = v128.or(v128.and(i16x8.shr_u(c, 4), low), v128.and(i16x8.shr_u(upper, 2), pair));
        v128.store(to, i8x16.add(c0, shift));
        v128.store(to, i8x16.add(c1, shift), 32);
        v128.store(to, i8x16.add(c2, shift), 64);
        v128.store(to, i8x16.add(c3, shift), 96);
      }
      data += 128;
    }
    from += 210;
    scales += 64;
  }
}
