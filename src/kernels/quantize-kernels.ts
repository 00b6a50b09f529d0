import { scratchViews } from './staging.ts';

/** Values per call: a quarter of a megabyte, part of a second-level cache. */
const CHUNK = 2 ** 16;

/** Quantized blocks: views that are valid until the next kernel runs. */
export interface QuantizedBlocks {
  /** With two 4-bit numbers per byte, the first is the low half. */
  readonly data: Uint8Array;
  /** One per block; NaN if a value of the block is not finite. */
  readonly scales: Float32Array;
  /** 4 bits only: one byte per block. */
  readonly zeroPoints: Uint8Array;
}

/**
 * Quantizes rows of blocks. With 8 bits, numbers are rounded to 255 equal steps around zero, and a block's largest
 * value is 127 of them. With 4 bits there are 16 steps from the block's zero point; of six ranges, the one with the
 * least squared error is chosen.
 *
 * @param block values per scale: 32, 64 or 128.
 * @param blocksInRow blocks per row; a shorter last one is padded with zeros.
 * @param read writes a row's values to `target[at …]`.
 * @param write receives the blocks of `count` rows, from `first` on.
 */
export function quantizeBlocks(
  bits: 4 | 8,
  block: number,
  rows: number,
  blocksInRow: number,
  read: (row: number, target: Float32Array, at: number) => void,
  write: (first: number, count: number, blocks: QuantizedBlocks) => void,
): void {
  const width = block * blocksInRow;
  const most = Math.max(1, Math.min(rows, Math.floor(CHUNK / width)));
  const like = [new Float32Array(0), new Uint8Array(0), new Float32Array(0), new Uint8Array(0)] as const;
  const lengths = [most * width, (most * width * bits) / 8, most * blocksInRow, most * blocksInRow];
  const staged = new Float32Array(most * width);
  for (let first = 0; first < rows; first += most) {
    const count = Math.min(most, rows - first);
    // Rows are read before the memory is allocated: reading may use it too. Padding stays zero.
    for (let row = 0; row < count; row++) read(first + row, staged, row * width);
    const { kernels, views } = scratchViews(like, lengths);
    const [values, data, scales, zeroPoints] = views;
    values.set(staged);
    const blocks = count * blocksInRow;
    const [from, numbers, factors] = [values.byteOffset, data.byteOffset, scales.byteOffset];
    if (bits === 8) kernels.quantizeBytes(from, blocks, block, numbers, factors);
    else kernels.quantizeNibbles(from, blocks, block, numbers, factors, zeroPoints.byteOffset);
    write(first, count, {
      data: data.subarray(0, (blocks * block * bits) / 8),
      scales: scales.subarray(0, blocks),
      zeroPoints: zeroPoints.subarray(0, blocks),
    });
  }
}
