import { RopewalkError } from '../errors.ts';

/**
 * The header of an `.npy` file, version 1.0, for row-major little-endian float32
 * (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html). The data follows it directly.
 * @param shape sizes, outermost first
 */
export function npyHeader(shape: readonly number[]): Uint8Array {
  if (!shape.every((size) => Number.isSafeInteger(size) && size >= 0)) {
    throw new RopewalkError(`[${shape.join(', ')}] is not a shape that an .npy file can have`);
  }
  const tuple = shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(', ')})`;
  const text = `{'descr': '<f4', 'fortran_order': False, 'shape': ${tuple}, }`;
  // Magic, version and length take 10 bytes; spaces and a newline pad the header to a multiple of 64.
  const total = Math.ceil((10 + text.length + 1) / 64) * 64;
  if (total - 10 > 0xffff) throw new RopewalkError(`an .npy file cannot have ${shape.length} dimensions`);
  const header = new Uint8Array(total).fill(0x20);
  header.set([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0]);
  new DataView(header.buffer).setUint16(8, total - 10, true);
  header.set(new TextEncoder().encode(text), 10);
  header[total - 1] = 0x0a;
  return header;
}
