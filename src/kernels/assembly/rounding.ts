// Random numbers for stochastic rounding: a pure function of a key and an element's index, so they do not depend on
// order, chunks or vector width. C. Wellons's 32-bit mixing function "lowbias32" (2018).

/** 32 random bits for each of four elements; x is their indices plus the key. */
export function randomBits(x: v128): v128 {
  let h = v128.xor(x, i32x4.shr_u(x, 16));
  h = i32x4.mul(h, i32x4.splat(0x7feb352d));
  h = v128.xor(h, i32x4.shr_u(h, 15));
  h = i32x4.mul(h, i32x4.splat(0x846ca68b));
  return v128.xor(h, i32x4.shr_u(h, 16));
}

/** The same for one element. */
export function randomBitsOf(x: u32): u32 {
  let h = x ^ (x >>> 16);
  h *= 0x7feb352d;
  h ^= h >>> 15;
  h *= 0x846ca68b;
  return h ^ (h >>> 16);
}
