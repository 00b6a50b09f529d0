import type { KernelExports } from './kernel-module.ts';
import { scratchViews } from './staging.ts';

/** How a ggml type stores numbers, and its kernel. Can be sent to a thread. */
export interface BlockType {
  /** Bytes and numbers of a block. */
  readonly bytes: number;
  readonly size: number;
  /** Groups of a block: each has a scale. */
  readonly groups: number;
  /** Bits of an unpacked code. */
  readonly bits: 4 | 8;
  readonly hasOffsets: boolean;
  readonly kernel: Extract<keyof KernelExports, `unpack${string}`>;
}

const blocks = <Kernel extends BlockType['kernel']>(
  kernel: Kernel,
  [bytes, size, groups]: readonly [bytes: number, size: number, groups: number],
  bits: 4 | 8,
  hasOffsets = false,
) => ({ bytes, size, groups, bits, hasOffsets, kernel }) satisfies BlockType;

export const BLOCK_TYPES = {
  Q4_0: blocks('unpackQ4_0', [18, 32, 1], 4),
  Q4_1: blocks('unpackQ4_1', [20, 32, 1], 4, true),
  Q4_K: blocks('unpackQ4_K', [144, 256, 8], 4, true),
  Q5_0: blocks('unpackQ5_0', [22, 32, 1], 8),
  Q5_1: blocks('unpackQ5_1', [24, 32, 1], 8, true),
  Q5_K: blocks('unpackQ5_K', [176, 256, 8], 8, true),
  Q6_K: blocks('unpackQ6_K', [210, 256, 16], 8),
  Q8_0: blocks('unpackQ8_0', [34, 32, 1], 8),
} as const;

/** Numbers per call. */
const CHUNK = 2 ** 17;

export interface UnpackedArrays {
  readonly data: Uint8Array;
  readonly scales: Float32Array;
  /** For types with offsets. */
  readonly offsets?: Float32Array;
}

/** The code that the engine takes for zero where there are offsets: they are moved to it. */
const MIDDLE_CODE = 8;

/**
 * Repacks blocks of a ggml type for the engine: see `toQuantizedMatrix`.
 *
 * @param bytes whole blocks.
 * @param into arrays of the right sizes for these blocks.
 */
export function unpackBlocks(type: keyof typeof BLOCK_TYPES, bytes: Uint8Array, into: UnpackedArrays): void {
  const { size, groups, kernel, bytes: blockBytes } = BLOCK_TYPES[type];
  const total = bytes.length / blockBytes;
  const dataBytes = into.data.length / total;
  const most = Math.min(total, CHUNK / size);
  const like = [bytes, into.data, into.scales, into.scales] as const;
  const lengths = [most * blockBytes, most * dataBytes, most * groups, most * groups];
  const { kernels, views } = scratchViews(like, lengths);
  const [from, data, scales, offsets] = views;
  for (let first = 0; first < total; first += most) {
    const count = Math.min(most, total - first);
    from.set(bytes.subarray(first * blockBytes, (first + count) * blockBytes));
    const at = [data.byteOffset, scales.byteOffset, offsets.byteOffset] as const;
    kernels[kernel](from.byteOffset, count, ...at, MIDDLE_CODE);
    into.data.set(data.subarray(0, count * dataBytes), first * dataBytes);
    into.scales.set(scales.subarray(0, count * groups), first * groups);
    into.offsets?.set(offsets.subarray(0, count * groups), first * groups);
  }
}
