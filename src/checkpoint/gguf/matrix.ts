import { RopewalkError } from '../../errors.ts';
import type { QuantizedMatrix } from '../../onnx/weights.ts';
import { isQuantized, LAYOUTS, newUnpackedBlock } from './blocks.ts';
import { GGML_TYPES, type GgmlType } from './types.ts';

/**
 * A quantised tensor repacked for the engine, without going through float32 numbers. Nothing is quantised again: Q4_0,
 * Q4_1 and Q4_K keep their codes in 4 bits with blocks of 32, Q8_0, Q5_0, Q5_1 and Q5_K in 8 bits with blocks of 32,
 * Q6_K in 8 bits with blocks of 16.
 * @param bytes of `[rows, columns]`, as they lie in the file
 * @param columns a multiple of the type's block
 * @returns `exact`: whether every code was kept, so that the numbers are `dequantize`'s; it holds for all of these
 *   types. They are so bit for bit, but for types with both 4-bit codes and offsets (Q4_1, Q4_K): their offsets move to
 *   the middle code and are rounded to float32 once more.
 * @throws RopewalkError for a type of floats (F32, F16, BF16) and for sizes that do not match
 */
export function toQuantizedMatrix(
  type: GgmlType,
  bytes: Uint8Array,
  rows: number,
  columns: number,
): { matrix: QuantizedMatrix; exact: boolean } {
  if (!isQuantized(type)) {
    throw new RopewalkError(`${type} is not a quantised type; read its numbers with dequantize`);
  }
  const { block, bytes: blockBytes } = GGML_TYPES[type];
  if (columns % block !== 0 || bytes.byteLength * block !== rows * columns * blockBytes) {
    throw new RopewalkError(
      `${bytes.byteLength} bytes of ${type} are not a matrix of ${rows} × ${columns}: ` +
        `every ${block} numbers of a row take ${blockBytes} bytes`,
    );
  }
  const layout = LAYOUTS[type];
  const { group, bits, hasOffsets } = layout;
  // From the code that stands for zero to the one that does for the engine, which 8 bits have room to move to.
  const shift = 2 ** (bits - 1) - layout.zero;
  const data = new Uint8Array((rows * columns * bits) / 8);
  const scales = new Float32Array((rows * columns) / group);
  const offsets = hasOffsets ? new Float32Array(scales.length) : undefined;
  const unpacked = newUnpackedBlock();
  const { codes } = unpacked;
  const groups = block / group;
  let to = 0;
  for (let at = 0, g = 0; at < bytes.byteLength; at += blockBytes, g += groups) {
    layout.unpack(bytes, at, unpacked);
    if (bits === 4) {
      for (let i = 0; i < block; i += 2) data[to++] = codes[i]! | (codes[i + 1]! << 4);
    } else {
      for (let i = 0; i < block; i++) data[to++] = codes[i]! + shift;
    }
    for (let i = 0; i < groups; i++) {
      const scale = unpacked.scales[i]!;
      scales[g + i] = scale;
      if (offsets) offsets[g + i] = unpacked.offsets[i]! + (bits === 4 ? shift * scale : 0);
    }
  }
  const matrix: QuantizedMatrix = { rows, columns, bits, block: group, data, scales };
  return { matrix: offsets ? { ...matrix, offsets } : matrix, exact: true };
}
