import { RopewalkError } from '../../../errors.ts';
import { bfloat16ToFloat32, float16ToFloat32 } from '../../dtypes.ts';
import { GGML_TYPES, type GgmlType } from '../types.ts';
import { isQuantized, LAYOUTS, newUnpackedBlock, type QuantizedGgmlType } from './blocks.ts';

/**
 * Decodes blocks of `type` to float32, bit for bit like `gguf.quants.dequantize` of llama.cpp's Python package `gguf`.
 * @param bytes whole blocks, as stored in the file
 * @param target exactly as many elements as the blocks have
 * @throws RopewalkError if the two lengths do not match
 */
export function dequantize(type: GgmlType, bytes: Uint8Array, target: Float32Array): void {
  const { block, bytes: blockBytes } = GGML_TYPES[type];
  if (bytes.byteLength * block !== target.length * blockBytes || target.length % block !== 0) {
    throw new RopewalkError(
      `${bytes.byteLength} bytes of ${type} do not hold ${target.length} values: ${block} take ${blockBytes} bytes`,
    );
  }
  if (isQuantized(type)) {
    dequantizeBlocks(type, bytes, target);
  } else if (type === 'F32') {
    // As bytes, because they may be at any alignment.
    new Uint8Array(target.buffer, target.byteOffset, target.byteLength).set(bytes);
  } else {
    const aligned = bytes.byteOffset % 2 === 0 ? bytes : bytes.slice();
    const codes = new Uint16Array(aligned.buffer, aligned.byteOffset, target.length);
    (type === 'F16' ? float16ToFloat32 : bfloat16ToFloat32)(codes, target);
  }
}

function dequantizeBlocks(type: QuantizedGgmlType, bytes: Uint8Array, target: Float32Array): void {
  const layout = LAYOUTS[type];
  const { group, zero, hasOffsets } = layout;
  const { block, bytes: blockBytes } = GGML_TYPES[type];
  const unpacked = newUnpackedBlock();
  const { codes, scales, offsets } = unpacked;
  for (let at = 0, to = 0; to < target.length; at += blockBytes, to += block) {
    layout.unpack(bytes, at, unpacked);
    for (let first = 0, g = 0; first < block; first += group, g++) {
      const scale = scales[g]!;
      if (hasOffsets) {
        const offset = offsets[g]!;
        // Two roundings, as in float32 arithmetic.
        for (let i = first; i < first + group; i++) target[to + i] = Math.fround(scale * codes[i]!) + offset;
      } else {
        for (let i = first; i < first + group; i++) target[to + i] = scale * (codes[i]! - zero);
      }
    }
  }
}
