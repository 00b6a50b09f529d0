import type { KernelExports } from './kernel-module.ts';
import { scratchViews } from './staging.ts';

/** A ggml type: bytes and numbers per block, groups with a scale, and its kernel. */
interface Blocks {
  readonly bytes: number;
  readonly size: number;
  readonly groups: number;
  readonly kernel: 'unpackQ4_0' | 'unpackQ4_K' | 'unpackQ5_0' | 'unpackQ5_K' | 'unpackQ6_K' | 'unpackQ8_0';
}

const TYPES: Readonly<Record<string, Blocks>> = {
  Q4_0: { bytes: 18, size: 32, groups: 1, kernel: 'unpackQ4_0' },
  Q4_K: { bytes: 144, size: 256, groups: 8, kernel: 'unpackQ4_K' },
  Q5_0: { bytes: 22, size: 32, groups: 1, kernel: 'unpackQ5_0' },
  Q5_K: { bytes: 176, size: 256, groups: 8, kernel: 'unpackQ5_K' },
  Q6_K: { bytes: 210, size: 256, groups: 16, kernel: 'unpackQ6_K' },
  Q8_0: { bytes: 34, size: 32, groups: 1, kernel: 'unpackQ8_0' },
};

/** Numbers per call. */
const CHUNK = 2 ** 17;

export interface UnpackedArrays {
  readonly data: Uint8Array;
  readonly scales: Float32Array;
  /** For types with offsets. */
  readonly offsets?: Float32Array;
}

/**
 * Repacks blocks of a ggml type for the engine: see `toQuantizedMatrix`.
 *
 * @param bytes whole blocks.
 * @param into arrays of the right sizes for these blocks.
 * @returns false if nothing was done, because the type has no kernel.
 */
export function unpackBlocks(type: string, bytes: Uint8Array, into: UnpackedArrays): boolean {
  const layout = TYPES[type];
  if (!layout) return false;
  const { size, groups, kernel } = layout;
  const total = bytes.length / layout.bytes;
  const dataBytes = into.data.length / total;
  const most = Math.min(total, CHUNK / size);
  const like = [bytes, into.data, into.scales, into.scales] as const;
  const lengths = [most * layout.bytes, most * dataBytes, most * groups, most * groups];
  const { kernels, views } = scratchViews(like, lengths);
  const [from, data, scales, offsets] = views;
  for (let first = 0; first < total; first += most) {
    const count = Math.min(most, total - first);
    from.set(bytes.subarray(first * layout.bytes, (first + count) * layout.bytes));
    const unpack: KernelExports[typeof kernel] = kernels[kernel];
    unpack(from.byteOffset, count, data.byteOffset, scales.byteOffset, offsets.byteOffset);
    into.data.set(data.subarray(0, count * dataBytes), first * dataBytes);
    into.scales.set(scales.subarray(0, count * groups), first * groups);
    into.offsets?.set(offsets.subarray(0, count * groups), first * groups);
  }
  return true;
}
