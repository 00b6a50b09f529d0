import { z } from 'zod';
import { RopewalkError } from '../errors.ts';
import {
  blocksInRow,
  type QuantizedMatrix,
  type QuantizedShape,
  type QuantizedSource,
  zeroPointBytes,
} from '../onnx/weights.ts';

/**
 * The saved form of weights in few bits: in a model directory, each such weight is a U8 tensor `[rows, bytes of a row]`
 * under its own name. A row is its numbers, its scales (float32, little-endian), its zero points, and zeros up to a
 * multiple of four bytes; so a row can be looked up with one read. `__metadata__` of the safetensors file says under
 * {@link QUANTIZED_KEY}, as JSON, what the bytes of each tensor are.
 */
export const QUANTIZED_KEY = 'ropewalk.quantized';

/** `quant_method` in config.json's `quantization_config`. */
export const QUANT_METHOD = 'ropewalk';

const entrySchema = z.object({
  columns: z.int().min(1),
  bits: z.union([z.literal(4), z.literal(8)]),
  block: z.union([z.literal(16), z.literal(32), z.literal(64), z.literal(128), z.literal(256)]),
  zeroPoints: z.boolean(),
  /** Set where rows are the columns of Hugging Face's `[in, out]`: GPT-2's. */
  transposed: z.boolean().optional(),
});
const mapSchema = z.record(z.string(), entrySchema);

export type QuantizedEntry = z.infer<typeof entrySchema>;

/** What the metadata of a file say of its quantised tensors; RopewalkError where that is not readable. */
export function readQuantizedEntries(text: string, file: string): Map<string, QuantizedEntry> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new RopewalkError(
      `${file}: its metadata "${QUANTIZED_KEY}" are not JSON; quantise the model again.`,
    );
  }
  const result = mapSchema.safeParse(json);
  if (!result.success) {
    const [issue] = result.error.issues;
    throw new RopewalkError(
      `${file}: its metadata "${QUANTIZED_KEY}" are wrong at ${issue?.path.join('.')}: ${issue?.message}; quantise the model again.`,
    );
  }
  return new Map(Object.entries(result.data));
}

function parts(shape: QuantizedShape, zeroPoints: boolean) {
  const blocks = blocksInRow(shape);
  const numbers = (blocks * shape.block * shape.bits) / 8;
  const scales = 4 * blocks;
  const zeros = zeroPoints ? zeroPointBytes(shape) : 0;
  return { blocks, numbers, scales, zeros, rowBytes: Math.ceil((numbers + scales + zeros) / 4) * 4 };
}

/** Bytes of a row in the saved form. */
export function quantizedRowBytes(shape: QuantizedShape, zeroPoints: boolean): number {
  return parts(shape, zeroPoints).rowBytes;
}

/** A matrix as rows of bytes. */
export function packRows(matrix: QuantizedMatrix): Uint8Array {
  const { rows, data, scales, zeroPoints } = matrix;
  if (matrix.offsets) throw new RopewalkError('weights with offsets have no saved form; keep them as GGUF.');
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

/** The matrix that rows of bytes are. */
export function unpackRows(bytes: Uint8Array, rows: number, entry: QuantizedEntry): QuantizedMatrix {
  const shape = { rows, columns: entry.columns, bits: entry.bits, block: entry.block };
  const { blocks, numbers, zeros, rowBytes } = parts(shape, entry.zeroPoints);
  const data = new Uint8Array(rows * numbers);
  const scales = new Float32Array(rows * blocks);
  const zeroPoints = entry.zeroPoints ? new Uint8Array(rows * zeros) : undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let row = 0; row < rows; row++) {
    const at = row * rowBytes;
    data.set(bytes.subarray(at, at + numbers), row * numbers);
    for (let b = 0; b < blocks; b++) scales[row * blocks + b] = view.getFloat32(at + numbers + 4 * b, true);
    const end = at + numbers + 4 * blocks;
    zeroPoints?.set(bytes.subarray(end, end + zeros), row * zeros);
  }
  return { ...shape, data, scales, ...(zeroPoints && { zeroPoints }) };
}

/** What the engine must know of a saved weight before it is read. */
export function quantizedSourceOf(
  rows: number,
  entry: QuantizedEntry,
  read: () => Promise<Uint8Array>,
): QuantizedSource {
  const { columns, bits, block, zeroPoints: hasZeroPoints } = entry;
  return {
    ...{ rows, columns, bits, block, hasOffsets: false, hasZeroPoints },
    read: async () => unpackRows(await read(), rows, entry),
  };
}
