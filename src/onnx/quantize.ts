import { quantizeBlocks } from '../kernels/quantize-kernels.ts';
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

/** Row-major numbers. */
interface Rows {
  readonly rows: number;
  readonly width: number;
  read(row: number, target: Float32Array, at: number): void;
}

/**
 * Quantizes a matrix block by block. With 8 bits, values are rounded to 255 equal steps around zero; a block's largest
 * magnitude is 127 steps. With 4 bits there are 16 steps with a zero point per block, and the candidate range with the
 * least squared error. Only some rows at a time are held as float32. A block with a value that is not finite gets NaN as its
 * scale.
 */
export function quantizeRows(
  source: Rows,
  { bits, block }: Quantization,
  into?: QuantizedArrays,
): QuantizedMatrix {
  const { rows, width: columns } = source;
  const shape: QuantizedShape = { rows, columns, bits, block };
  const inRow = blocksInRow(shape);
  const arrays = into ?? newQuantizedArrays({ ...shape, hasZeroPoints: bits === 4 });
  const { data, scales, zeroPoints } = arrays;
  const zeroBytes = zeroPointBytes(shape);
  quantizeBlocks(
    bits,
    block,
    rows,
    inRow,
    (row, target, at) => source.read(row, target, at),
    (first, count, blocks) => {
      data.set(blocks.data, (first * inRow * block * bits) / 8);
      scales.set(blocks.scales, first * inRow);
      if (!zeroPoints) return;
      for (let row = 0; row < count; row++) {
        packHalves(
          blocks.zeroPoints.subarray(row * inRow, (row + 1) * inRow),
          zeroPoints.subarray((first + row) * zeroBytes, (first + row + 1) * zeroBytes),
        );
      }
    },
  );
  return { ...shape, ...arrays };
}

/** Two 4-bit numbers to a byte, the first in the low half. */
function packHalves(numbers: Uint8Array, target: Uint8Array): void {
  for (let i = 0; i < target.length; i++) target[i] = numbers[2 * i]! | ((numbers[2 * i + 1] ?? 0) << 4);
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
