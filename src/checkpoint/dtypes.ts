/**
 * Conversions between float32 and the other float formats of checkpoints: IEEE 754 binary16 (float16), bfloat16
 * (float32's upper half) and binary64. Narrowing rounds to nearest, ties to even; NaN stays NaN, with its sign and
 * the payload bits that fit; subnormals are kept. Codes are little-endian, as in every file format that we read.
 */

/** Bits of the float32 value of each of the 65,536 float16 codes. Created on first use: 256 KiB. */
let float16Table: Uint32Array | undefined;

/** Bits of the float32 value of a float16 code; every float16 is exact in float32. */
function widenFloat16(code: number): number {
  const sign = (code & 0x8000) << 16;
  const exponent = (code >>> 10) & 0x1f;
  const fraction = code & 0x3ff;
  if (exponent === 0x1f) return sign | 0x7f800000 | (fraction << 13);
  if (exponent !== 0) return sign | ((exponent + 112) << 23) | (fraction << 13);
  if (fraction === 0) return sign;
  // Subnormal, fraction · 2^-24: shift the leading one up to the implicit bit.
  const shift = Math.clz32(fraction) - 21;
  return sign | ((113 - shift) << 23) | (((fraction << shift) & 0x3ff) << 13);
}

/** Writes the values of float16 codes to `target`, which must have the same length. */
export function float16ToFloat32(codes: Uint16Array, target: Float32Array): void {
  checkLengths(codes, target);
  if (!float16Table) {
    float16Table = new Uint32Array(0x10000);
    for (let code = 0; code < 0x10000; code++) float16Table[code] = widenFloat16(code);
  }
  const table = float16Table;
  // As bits, so that no engine normalizes a NaN on the way.
  const bits = bitsOf(target);
  for (let i = 0; i < codes.length; i++) bits[i] = table[codes[i]!]!;
}

/** Writes the values of bfloat16 codes to `target`, which must have the same length. */
export function bfloat16ToFloat32(codes: Uint16Array, target: Float32Array): void {
  checkLengths(codes, target);
  const bits = bitsOf(target);
  for (let i = 0; i < codes.length; i++) bits[i] = codes[i]! << 16;
}

/** Rounds float64 values to `target`, which must have the same length; values that are too large become infinite. */
export function float64ToFloat32(values: Float64Array, target: Float32Array): void {
  checkLengths(values, target);
  target.set(values);
}

/** The float16 code nearest to a float32 given by its bits. */
function narrowToFloat16(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00 | ((magnitude >>> 13) & 0x3ff);
  // 65520 lies halfway between the largest float16, 65504, and 65536: from there on, infinity.
  if (magnitude >= 0x477ff000) return sign | 0x7c00;
  if (magnitude >= 0x38800000) {
    const rebiased = magnitude - 0x38000000;
    return sign | ((rebiased + 0xfff + ((rebiased >>> 13) & 1)) >>> 13);
  }
  // Below 2^-14 a float16 is a multiple of 2^-24; up to 2^-25, half of the smallest, the nearest is zero.
  if (magnitude <= 0x33000000) return sign;
  const mantissa = (magnitude & 0x7fffff) | 0x800000;
  const shift = 126 - (magnitude >>> 23);
  const quotient = mantissa >>> shift;
  const remainder = mantissa & ((1 << shift) - 1);
  const half = 1 << (shift - 1);
  const up = remainder > half || (remainder === half && (quotient & 1) === 1);
  return sign | (quotient + (up ? 1 : 0));
}

/** Rounds float32 values to float16 codes in `target`, which must have the same length. */
export function float32ToFloat16(values: Float32Array, target: Uint16Array): void {
  checkLengths(values, target);
  const bits = bitsOf(values);
  for (let i = 0; i < bits.length; i++) target[i] = narrowToFloat16(bits[i]!);
}

/** Rounds float32 values to bfloat16 codes in `target`, which must have the same length. */
export function float32ToBfloat16(values: Float32Array, target: Uint16Array): void {
  checkLengths(values, target);
  const bits = bitsOf(values);
  for (let i = 0; i < bits.length; i++) {
    const word = bits[i]!;
    target[i] =
      (word & 0x7fffffff) > 0x7f800000
        ? (word >>> 16) | 0x40 // a NaN whose payload is in the dropped half must not become an infinity
        : (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
  }
}

function bitsOf(values: Float32Array): Uint32Array {
  return new Uint32Array(values.buffer, values.byteOffset, values.length);
}

function checkLengths(from: { readonly length: number }, to: { readonly length: number }): void {
  if (from.length !== to.length) {
    throw new RangeError(`cannot convert ${from.length} values into an array of ${to.length}`);
  }
}
