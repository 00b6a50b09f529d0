import { blocksInRow, type QuantizedMatrix, type QuantizedShape } from './weights.ts';

/** How a float32 matrix becomes few bits. */
export interface Quantization {
  readonly bits: 4 | 8;
  readonly block: 32 | 64 | 128;
}

/**
 * Scales that are tried for a block of 4-bit numbers, as the number of steps that its largest value gets. −8 uses the
 * whole range to the side of that value; the others clip it or give up the outermost step.
 */
const STEPS = [-8, -8.8, -8.4, -7.6, -7.2, -7, 7, 7.4];

/** Rows of numbers, one after another. */
interface Rows {
  readonly rows: number;
  readonly width: number;
  read(row: number, target: Float32Array, at: number): void;
}

/**
 * Quantises a matrix row by row, block by block, to the nearest of 2^bits equal steps around zero. With 8 bits a
 * block's largest value is 127 steps; with 4 bits the scale is the one of several that leaves the least squared error.
 * Only one row at a time is held as float32.
 */
export function quantizeRows(source: Rows, { bits, block }: Quantization): QuantizedMatrix {
  const { rows, width: columns } = source;
  const shape: QuantizedShape = { rows, columns, bits, block };
  const blocks = blocksInRow(shape);
  const bytes = (block * bits) / 8;
  const data = new Uint8Array(rows * blocks * bytes);
  const scales = new Float32Array(rows * blocks);
  const values = new Float32Array(columns);
  for (let row = 0; row < rows; row++) {
    source.read(row, values, 0);
    for (let b = 0; b < blocks; b++) {
      const at = row * blocks + b;
      const part = values.subarray(b * block, Math.min((b + 1) * block, columns));
      const write = bits === 8 ? writeBytes : writeNibbles;
      scales[at] = write(part, data.subarray(at * bytes, (at + 1) * bytes));
    }
  }
  return { ...shape, data, scales };
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
  const scale = Math.abs(extremeOf(values)) / 127;
  const inverse = scale === 0 ? 0 : 1 / scale;
  target.fill(128);
  for (let i = 0; i < values.length; i++) target[i] = nearest(values[i]! * inverse, 128);
  return scale;
}

/** Writes a block of 4-bit numbers, the first of two in the low half; returns its scale. */
function writeNibbles(values: Float32Array, target: Uint8Array): number {
  const scale = Math.fround(bestScale(values));
  const inverse = scale === 0 ? 0 : 1 / scale;
  target.fill(0x88);
  for (let i = 0; i < values.length; i += 2) {
    const high = i + 1 < values.length ? nearest(values[i + 1]! * inverse, 8) : 8;
    target[i >> 1] = nearest(values[i]! * inverse, 8) | (high << 4);
  }
  return scale;
}

/** The value of largest magnitude. */
function extremeOf(values: Float32Array): number {
  let extreme = 0;
  for (let i = 0; i < values.length; i++) {
    if (Math.abs(values[i]!) > Math.abs(extreme)) extreme = values[i]!;
  }
  return extreme;
}

function nearest(steps: number, zero: number): number {
  const q = Math.floor(steps + 0.5) + zero;
  return q < 0 ? 0 : q > 2 * zero - 1 ? 2 * zero - 1 : q;
}

/** The scale of 4-bit numbers with the least squared error of those tried. */
function bestScale(values: Float32Array): number {
  const extreme = extremeOf(values);
  if (extreme === 0) return 0;
  let best = 0;
  let least = Number.POSITIVE_INFINITY;
  for (const steps of STEPS) {
    const inverse = steps / extreme;
    let product = 0;
    let square = 0;
    for (let i = 0; i < values.length; i++) {
      const q = nearest(values[i]! * inverse, 8) - 8;
      product += q * values[i]!;
      square += q * q;
    }
    if (product === 0) continue;
    // For the whole numbers q that this scale rounds to, Σ q·x / Σ q² is the best of all scales.
    const refined = product / square;
    let error = 0;
    for (let i = 0; i < values.length; i++) {
      const difference = values[i]! - refined * (nearest(values[i]! / refined, 8) - 8);
      error += difference * difference;
    }
    if (error < least) {
      least = error;
      best = refined;
    }
  }
  return best;
}

/** A quantised matrix as float32 `[rows, columns]`. */
export function dequantizeMatrix(matrix: QuantizedMatrix): Float32Array {
  const { rows, columns, bits, block, data, scales, offsets } = matrix;
  const blocks = blocksInRow(matrix);
  const bytes = (block * bits) / 8;
  const values = new Float32Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const inBlock = column % block;
      const at = row * blocks + (column - inBlock) / block;
      const stored = bits === 8 ? data[at * bytes + inBlock]! : data[at * bytes + (inBlock >> 1)]!;
      const q = bits === 8 ? stored - 128 : ((inBlock % 2 === 0 ? stored : stored >> 4) & 15) - 8;
      values[row * columns + column] = scales[at]! * q + (offsets?.[at] ?? 0);
    }
  }
  return values;
}
