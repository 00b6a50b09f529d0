import {
  blocksInRow,
  newQuantizedArrays,
  type QuantizedArrays,
  type QuantizedMatrix,
  type QuantizedShape,
  zeroPointBytes,
} from './weights.ts';

/** How a float32 matrix is quantized. */
export interface Quantization {
  readonly bits: 4 | 8;
  readonly block: 32 | 64 | 128;
}

/**
 * Candidate ranges for a block of 4-bit numbers, as shares of the distance from its smallest to its largest value: a
 * narrower range clips a little and has finer steps.
 */
const RANGES = [1, 0.94, 0.88, 0.82, 0.76, 0.7];

/** Row-major numbers. */
interface Rows {
  readonly rows: number;
  readonly width: number;
  read(row: number, target: Float32Array, at: number): void;
}

/**
 * Quantizes a matrix row by row, block by block. With 8 bits, values are rounded to 255 equal steps around zero; a
 * block's largest magnitude is 127 steps. With 4 bits there are 16 steps with a zero point per block, and the
 * candidate range with the least squared error. Only one row at a time is held as float32.
 */
export function quantizeRows(
  source: Rows,
  { bits, block }: Quantization,
  into?: QuantizedArrays,
): QuantizedMatrix {
  const { rows, width: columns } = source;
  const shape: QuantizedShape = { rows, columns, bits, block };
  const blocks = blocksInRow(shape);
  const bytes = (block * bits) / 8;
  const arrays = into ?? newQuantizedArrays({ ...shape, hasZeroPoints: bits === 4 });
  const { data, scales, zeroPoints } = arrays;
  // Two halves of a byte are written one after the other.
  zeroPoints?.fill(0);
  const values = new Float32Array(columns);
  for (let row = 0; row < rows; row++) {
    source.read(row, values, 0);
    for (let b = 0; b < blocks; b++) {
      const at = row * blocks + b;
      const part = values.subarray(b * block, Math.min((b + 1) * block, columns));
      const target = data.subarray(at * bytes, (at + 1) * bytes);
      if (!zeroPoints) {
        scales[at] = writeBytes(part, target);
        continue;
      }
      const { scale, zero } = bestSteps(part);
      scales[at] = scale;
      writeNibbles(part, target, scale, zero);
      zeroPoints[row * zeroPointBytes(shape) + (b >> 1)]! |= b % 2 === 0 ? zero : zero << 4;
    }
  }
  return { ...shape, ...arrays };
}

/** The same for a matrix in memory, `[rows, columns]`, row-major. */
export function quantizeMatrix(
  values: Float32Array,
  rows: number,
  columns: number,
  quantization: Quantization,
): QuantizedMatrix {
  const read = (row: number, target: Float32Array, at: number) =>
    target.set(values.subarray(row * columns, (row + 1) * columns), at);
  return quantizeRows({ rows, width: columns, read }, quantization);
}

/** Writes a block of 8-bit numbers; returns its scale. */
function writeBytes(values: Float32Array, target: Uint8Array): number {
  let largest = 0;
  for (let i = 0; i < values.length; i++) largest = Math.max(largest, Math.abs(values[i]!));
  const scale = Math.fround(largest / 127);
  const inverse = scale === 0 ? 0 : 1 / scale;
  target.fill(128);
  for (let i = 0; i < values.length; i++) {
    const q = Math.floor(values[i]! * inverse + 0.5) + 128;
    target[i] = q > 255 ? 255 : q;
  }
  return scale;
}

/** Writes a block of 4-bit numbers, the first of two in the low half; missing ones are zero. */
function writeNibbles(values: Float32Array, target: Uint8Array, scale: number, zero: number): void {
  const inverse = scale === 0 ? 0 : 1 / scale;
  target.fill(zero | (zero << 4));
  for (let i = 0; i < values.length; i += 2) {
    const high = i + 1 < values.length ? nibble(values[i + 1]! * inverse, zero) : zero;
    target[i >> 1] = nibble(values[i]! * inverse, zero) | (high << 4);
  }
}

function nibble(steps: number, zero: number): number {
  const q = Math.floor(steps + 0.5) + zero;
  return q < 0 ? 0 : q > 15 ? 15 : q;
}

/** The scale and zero point with the least squared error among the candidates. */
function bestSteps(values: Float32Array): { scale: number; zero: number } {
  let low = values[0]!;
  let high = low;
  for (let i = 1; i < values.length; i++) {
    if (values[i]! < low) low = values[i]!;
    else if (values[i]! > high) high = values[i]!;
  }
  // All equal: a value is 7 or 8 steps from zero, depending on its sign; zero itself needs no scale.
  if (low === high) {
    return low === 0 ? { scale: 0, zero: 8 } : { scale: Math.fround(Math.abs(low) / 7), zero: 8 };
  }
  // Zero is always representable, so the range includes it.
  low = Math.min(low, 0);
  high = Math.max(high, 0);
  const middle = (low + high) / 2;
  let best = { scale: 0, zero: 8 };
  let least = Number.POSITIVE_INFINITY;
  for (const share of RANGES) {
    const range = (high - low) * share;
    const steps = 15 / range;
    const zero = Math.max(0, Math.min(15, Math.round((range / 2 - middle) * steps)));
    let product = 0;
    let square = 0;
    for (let i = 0; i < values.length; i++) {
      const q = nibble(values[i]! * steps, zero) - zero;
      product += q * values[i]!;
      square += q * q;
    }
    if (product <= 0) continue;
    // For the integers q that this scale rounds to, the best scale is Σ q·x / Σ q².
    const scale = Math.fround(product / square);
    const inverse = 1 / scale;
    let error = 0;
    for (let i = 0; i < values.length; i++) {
      const difference = values[i]! - scale * (nibble(values[i]! * inverse, zero) - zero);
      error += difference * difference;
    }
    if (error < least) {
      least = error;
      best = { scale, zero };
    }
  }
  return best;
}

/** A quantized matrix as float32 `[rows, columns]`. */
export function dequantizeMatrix(matrix: QuantizedMatrix): Float32Array {
  const { rows, columns, bits, block, data, scales, zeroPoints, offsets } = matrix;
  const blocks = blocksInRow(matrix);
  const zeroBytes = zeroPointBytes(matrix);
  const half = (byte: number, index: number) => (index % 2 === 0 ? byte : byte >> 4) & 15;
  const zeroOf = (row: number, b: number) => {
    if (!zeroPoints) return 2 ** (bits - 1);
    return bits === 8 ? zeroPoints[row * zeroBytes + b]! : half(zeroPoints[row * zeroBytes + (b >> 1)]!, b);
  };
  const bytes = (block * bits) / 8;
  const values = new Float32Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const inBlock = column % block;
      const at = row * blocks + (column - inBlock) / block;
      const q = bits === 8 ? data[at * bytes + inBlock]! : half(data[at * bytes + (inBlock >> 1)]!, inBlock);
      const steps = q - zeroOf(row, at - row * blocks);
      values[row * columns + column] = scales[at]! * steps + (offsets?.[at] ?? 0);
    }
  }
  return values;
}
