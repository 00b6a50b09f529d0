import { crc32 } from 'node:zlib';

/** CRC-32 of all weights, in the order of their names: tells whether two processes have the same. */
export function weightsChecksum(values: ReadonlyMap<string, Float32Array>): number {
  return [...values]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .reduce(
      (sum, [, { buffer, byteOffset, byteLength }]) =>
        crc32(new Uint8Array(buffer, byteOffset, byteLength), sum),
      0,
    );
}
