import { RopewalkError } from '../../../errors.ts';
import { unpackBlocks } from '../../../kernels/unpack-kernels.ts';
import { newQuantizedArrays, type QuantizedArrays, type QuantizedMatrix } from '../../../onnx/weights.ts';
import { GGML_TYPES, type GgmlType } from '../types.ts';
import { isQuantized, LAYOUTS } from './blocks.ts';

/**
 * Repacks a quantized tensor for the engine, without converting to float32. Nothing is quantized again: Q4_0, Q4_1 and
 * Q4_K keep their codes in 4 bits with blocks of 32, Q8_0, Q5_0, Q5_1 and Q5_K in 8 bits with blocks of 32, Q6_K in 8
 * bits with blocks of 16.
 * @param bytes of `[rows, columns]`, as stored in the file
 * @param columns a multiple of the type's block
 * @param into target arrays; new ones by default
 * @returns `exact`: whether every code was kept, so that the values are those of `dequantize`; true for all of these
 *   types. They agree bit for bit, except for types with both 4-bit codes and offsets (Q4_1, Q4_K): their offsets are
 *   moved to the middle code and rounded to float32 once more.
 * @throws RopewalkError for a type of floats (F32, F16, BF16) and for sizes that do not match
 */
export function toQuantizedMatrix(
  type: GgmlType,
  bytes: Uint8Array,
  rows: number,
  columns: number,
  into?: QuantizedArrays,
): { matrix: QuantizedMatrix; exact: boolean } {
  if (!isQuantized(type)) {
    throw new RopewalkError(`${type} is not a quantized type; read its values with dequantize`);
  }
  const { block, bytes: blockBytes } = GGML_TYPES[type];
  if (columns % block !== 0 || bytes.byteLength * block !== rows * columns * blockBytes) {
    throw new RopewalkError(
      `${bytes.byteLength} bytes of ${type} are not a matrix of ${rows} × ${columns}: ` +
        `every ${block} values of a row take ${blockBytes} bytes`,
    );
  }
  const { group, bits, hasOffsets } = LAYOUTS[type];
  const shape = { rows, columns, bits: bits as 4 | 8, block: group };
  const arrays = into ?? newQuantizedArrays({ ...shape, hasOffsets });
  unpackBlocks(type, bytes, arrays);
  return { matrix: { ...shape, ...arrays }, exact: true };
}
