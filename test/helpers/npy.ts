/** Reads an `.npy` file of row-major little-endian float32 (NumPy's format, versions 1 and 2). */
export function parseNpy(bytes: Buffer): { shape: number[]; data: Float32Array } {
  if (bytes.toString('latin1', 0, 6) !== '\x93NUMPY') throw new Error('no .npy file');
  const wide = bytes[6]! >= 2;
  const length = wide ? bytes.readUInt32LE(8) : bytes.readUInt16LE(8);
  const start = (wide ? 12 : 10) + length;
  const header = bytes.toString('latin1', wide ? 12 : 10, start);
  if (!/'descr': '<f4'/.test(header) || !/'fortran_order': False/.test(header)) throw new Error(header);
  const shape = /'shape': \(([\d, ]*)\)/
    .exec(header)![1]!
    .split(',')
    .filter((size) => size.trim() !== '');
  return { shape: shape.map(Number), data: new Float32Array(new Uint8Array(bytes.subarray(start)).buffer) };
}
