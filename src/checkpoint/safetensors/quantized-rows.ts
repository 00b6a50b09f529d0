import { RopewalkError } from '../../errors.ts';
import {
  blocksInRow,
  newQuantizedArrays,
  type QuantizedArrays,
  type QuantizedMatrix,
  type QuantizedShape,
  type QuantizedSource,
  zeroPointBytes,
} from '../../onnx/weights.ts';

/**
 * The saved form of quantized weights: in a model directory, each such weight is a U8 tensor `[rows, bytes of a row]`
 * under its own name. A row is its codes, its scales (float32, little-endian), its zero points, and zero padding to a
 * multiple of four bytes, so that one read fetches a row. `__metadata__` of the safetensors file describes the bytes
 * of each tensor, as JSON under {@link QUANTIZED_KEY}.
 */
export const QUANTIZED_KEY = 'ropewalk.quantized';

/** `quant_method` in config.json's `quantization_config`. */
export const QUANT_METHOD = 'ropewalk';

/** The metadata of one tensor. */
export interface QuantizedEntry {
  readonly columns: number;
  readonly bits: 4 | 8;
  readonly block: 16 | 32 | 64 | 128 | 256;
  readonly zeroPoints: boolean;
  /** Set if rows are the columns of Hugging Face's `[in, out]`: GPT-2's. */
  readonly transposed?: boolean | undefined;
}

/**
 * Checked by hand: this code is on the path of every loaded model, and loading a validation library takes longer than
 * reading a small model's metadata.
 */
const CHECKS: Readonly<Record<keyof QuantizedEntry, readonly [(value: unknown) => boolean, string]>> = {
  columns: [(value) => Number.isSafeInteger(value) && (value as number) >= 1, 'a whole number of at least 1'],
  bits: [(value) => value === 4 || value === 8, '4 or 8'],
  block: [(value) => [16, 32, 64, 128, 256].some((size) => size === value), '16, 32, 64, 128 or 256'],
  zeroPoints: [(value) => typeof value === 'boolean', 'true or false'],
  transposed: [(value) => value === undefined || typeof value === 'boolean', 'true or false'],
};

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The metadata of a file's quantized tensors. Throws a RopewalkError if they are invalid. */
export function readQuantizedEntries(text: string, file: string): Map<string, QuantizedEntry> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new RopewalkError(
      `${file}: its metadata "${QUANTIZED_KEY}" is not JSON; quantize the model again.`,
    );
  }
  const wrong = (where: string, wanted: string) =>
    new RopewalkError(
      `${file}: its metadata "${QUANTIZED_KEY}" is wrong at ${where}: it must be ${wanted}; quantize the model again.`,
    );
  if (!isObject(json)) throw wrong('the top', 'an object');
  return new Map(
    Object.entries(json).map(([name, entry]) => {
      if (!isObject(entry)) throw wrong(name, 'an object');
      for (const [field, [fits, wanted]] of Object.entries(CHECKS)) {
        if (!fits(Object.hasOwn(entry, field) ? entry[field] : undefined))
          throw wrong(`${name}.${field}`, wanted);
      }
      const { columns, bits, block, zeroPoints, transposed } = entry as unknown as QuantizedEntry;
      return [name, { columns, bits, block, zeroPoints, ...(transposed !== undefined && { transposed }) }];
    }),
  );
}

function parts(shape: QuantizedShape, zeroPoints: boolean) {
  const blocks = blocksInRow(shape);
  const numbers = (blocks * shape.block * shape.bits) / 8;
  const scales = 4 * blocks;
  const zeros = zeroPoints ? zeroPointBytes(shape) : 0;
  return { blocks, numbers, scales, zeros, rowBytes: Math.ceil((numbers + scales + zeros) / 4) * 4 };
}

/** Bytes per row in the saved form. */
export function quantizedRowBytes(shape: QuantizedShape, zeroPoints: boolean): number {
  return parts(shape, zeroPoints).rowBytes;
}

/** A matrix packed as rows of bytes. */
export function packRows(matrix: QuantizedMatrix): Uint8Array {
  const { rows, data, scales, zeroPoints } = matrix;
  if (matrix.offsets)
    throw new RopewalkError(
      'quantized weights with offsets cannot be saved in this format; keep them as GGUF.',
    );
  const { blocks, numbers, zeros, rowBytes } = parts(matrix, zeroPoints !== undefined);
  const bytes = new Uint8Array(rows * rowBytes);
  const view = new DataView(bytes.buffer);
  for (let row = 0; row < rows; row++) {
    const at = row * rowBytes;
    bytes.set(data.subarray(row * numbers, (row + 1) * numbers), at);
    for (let b = 0; b < blocks; b++) view.setFloat32(at + numbers + 4 * b, scales[row * blocks + b]!, true);
    if (zeroPoints) bytes.set(zeroPoints.subarray(row * zeros, (row + 1) * zeros), at + numbers + 4 * blocks);
  }
  return bytes;
}

/** The matrix of packed rows. */
export function unpackRows(
  bytes: Uint8Array,
  rows: number,
  entry: QuantizedEntry,
  into?: QuantizedArrays,
): QuantizedMatrix {
  const shape = { rows, columns: entry.columns, bits: entry.bits, block: entry.block };
  const { blocks, numbers, zeros, rowBytes } = parts(shape, entry.zeroPoints);
  const arrays = into ?? newQuantizedArrays({ ...shape, hasZeroPoints: entry.zeroPoints });
  const { data, scales, zeroPoints } = arrays;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let row = 0; row < rows; row++) {
    const at = row * rowBytes;
    data.set(bytes.subarray(at, at + numbers), row * numbers);
    for (let b = 0; b < blocks; b++) scales[row * blocks + b] = view.getFloat32(at + numbers + 4 * b, true);
    const end = at + numbers + 4 * blocks;
    zeroPoints?.set(bytes.subarray(end, end + zeros), row * zeros);
  }
  return { ...shape, ...arrays };
}

/** What the engine must know about a saved weight before it is read. */
export function quantizedSourceOf(
  rows: number,
  entry: QuantizedEntry,
  read: () => Promise<Uint8Array>,
): QuantizedSource {
  const { columns, bits, block, zeroPoints: hasZeroPoints } = entry;
  return {
    ...{ rows, columns, bits, block, hasOffsets: false, hasZeroPoints },
    read: async (into) => unpackRows(await read(), rows, entry, into),
  };
}
