/** What a quantized product's kernel must know before it sees the values. */
export interface QuantizedShape {
  /** Output features: the rows of Hugging Face's `[out, in]`. */
  readonly rows: number;
  /** Input features. */
  readonly columns: number;
  readonly bits: 4 | 8;
  /** Values that share a scale: 16, 32, 64, 128 or 256. The last block of a row may be shorter. */
  readonly block: number;
}

/**
 * A quantized matrix in the layout of the engine's MatMulNBits: every row is split into blocks, and a value is scale
 * · (q − zero point) with the scale and the zero point of its block, plus the block's offset if there are offsets.
 */
export interface QuantizedMatrix extends QuantizedShape, QuantizedArrays {}

/** The arrays of a quantized matrix. */
export interface QuantizedArrays {
  /** `[rows, blocks, block · bits / 8]`, unsigned; of two 4-bit numbers in a byte the first is the low half. */
  readonly data: Uint8Array;
  /** `[rows, blocks]` */
  readonly scales: Float32Array;
  /** `[rows, ⌈blocks · bits / 8⌉]`, packed like `data`; by default every zero point is 2^(bits − 1). */
  readonly zeroPoints?: Uint8Array;
  /** `[rows, blocks]`: added to every value of a block, after scaling. The "minimum" of Q4_1 and similar types. */
  readonly offsets?: Float32Array;
}

/** A quantized matrix that is read once, when the engine needs it. */
export interface QuantizedSource extends QuantizedShape {
  readonly hasOffsets: boolean;
  readonly hasZeroPoints?: boolean;
  /** Whether activations keep their precision in products with it; otherwise they are rounded to 8 bits. */
  readonly exact?: boolean;
  /** Set if it has already been read. */
  readonly matrix?: QuantizedMatrix;
  /** @param into arrays to fill, as made by `newQuantizedArrays`; new ones by default. */
  read(into?: QuantizedArrays): Promise<QuantizedMatrix>;
}

/** A weight in a file that the engine can read in place. */
export interface WeightInFile {
  /** Plain name of a file in the weights' folder. */
  readonly location: string;
  readonly offset: number;
  readonly byteLength: number;
  readonly dtype: 'float32' | 'float16' | 'bfloat16';
}

/** Looks up rows of a matrix on the host; see `Executable`. */
export interface RowLookup {
  readonly width: number;
  /** Writes row `row` to `target[at … at + width]`. */
  read(row: number, target: Float32Array, at: number): void;
}

/** Where the values of an initializer are. */
export type WeightSource = (
  | { readonly data: Float32Array }
  | { readonly read: () => Promise<Float32Array> }
  | { readonly file: WeightInFile }
  | { readonly quantized: QuantizedSource }
) & {
  /** If set, embeddings are looked up on the host, so that the engine does not hold the table for them. */
  readonly rows?: RowLookup;
};

/** Blocks in a row. */
export function blocksInRow({ columns, block }: QuantizedShape): number {
  return Math.ceil(columns / block);
}

/** Bytes of the packed zero points of a row. */
export function zeroPointBytes(shape: QuantizedShape): number {
  return Math.ceil((blocksInRow(shape) * shape.bits) / 8);
}

/** Bytes of a quantized matrix: numbers, scales, zero points and offsets. */
export function quantizedBytes(
  shape: QuantizedShape & { readonly hasOffsets?: boolean; readonly hasZeroPoints?: boolean },
): number {
  const blocks = shape.rows * blocksInRow(shape);
  const numbers = blocks * ((shape.block * shape.bits) / 8 + 4 + (shape.hasOffsets ? 4 : 0));
  return numbers + (shape.hasZeroPoints ? shape.rows * zeroPointBytes(shape) : 0);
}

/** Zeroed arrays of the right sizes. */
export function newQuantizedArrays(
  shape: QuantizedShape & { readonly hasOffsets?: boolean; readonly hasZeroPoints?: boolean },
): QuantizedArrays {
  const blocks = shape.rows * blocksInRow(shape);
  return {
    data: new Uint8Array(blocks * ((shape.block * shape.bits) / 8)),
    scales: new Float32Array(blocks),
    ...(shape.hasZeroPoints && { zeroPoints: new Uint8Array(shape.rows * zeroPointBytes(shape)) }),
    ...(shape.hasOffsets && { offsets: new Float32Array(blocks) }),
  };
}

/** Some rows of a matrix's arrays, as views of the same memory. */
export function rowsOfArrays(
  shape: QuantizedShape,
  arrays: QuantizedArrays,
  first: number,
  rows: number,
): QuantizedArrays {
  const part = <T extends Uint8Array | Float32Array>(array: T): T => {
    const width = array.length / shape.rows;
    return array.subarray(first * width, (first + rows) * width) as T;
  };
  const { data, scales, zeroPoints, offsets } = arrays;
  return {
    data: part(data),
    scales: part(scales),
    ...(zeroPoints && { zeroPoints: part(zeroPoints) }),
    ...(offsets && { offsets: part(offsets) }),
  };
}

/** Copies values into arrays of the same sizes. */
export function copyArrays(from: QuantizedArrays, to: QuantizedArrays): void {
  to.data.set(from.data);
  to.scales.set(from.scales);
  if (from.zeroPoints) to.zeroPoints?.set(from.zeroPoints);
  if (from.offsets) to.offsets?.set(from.offsets);
}

/** A source for a matrix in memory. */
export function quantizedSource(matrix: QuantizedMatrix): QuantizedSource {
  const { rows, columns, bits, block, offsets, zeroPoints } = matrix;
  const has = { hasOffsets: offsets !== undefined, hasZeroPoints: zeroPoints !== undefined };
  const read = async (into?: QuantizedArrays) => {
    if (!into) return matrix;
    copyArrays(matrix, into);
    return { rows, columns, bits, block, ...into };
  };
  return { rows, columns, bits, block, ...has, matrix, read };
}

/** Stacks matrices of the same kind: several products of the same activations become one. */
export function stackQuantized(parts: readonly QuantizedSource[]): QuantizedSource {
  const [first] = parts as [QuantizedSource];
  const rows = parts.reduce((sum, part) => sum + part.rows, 0);
  const { columns, bits, block, hasOffsets, hasZeroPoints = false, exact = false } = first;
  const shape = { rows, columns, bits, block, hasOffsets, hasZeroPoints, exact };
  return {
    ...shape,
    async read(into = newQuantizedArrays(shape)) {
      let row = 0;
      for (const part of parts) {
        await part.read(rowsOfArrays(shape, into, row, part.rows));
        row += part.rows;
      }
      return { rows, columns, bits, block, ...into };
    },
  };
}

/** Reads lazy sources, for an engine that wants weights inside the model. */
export async function readIntoMemory(
  weights: ReadonlyMap<string, WeightSource>,
): Promise<Map<string, WeightSource>> {
  const result = new Map<string, WeightSource>();
  for (const [name, source] of weights) {
    if ('read' in source) result.set(name, { ...source, data: await source.read() });
    else if ('quantized' in source)
      result.set(name, {
        ...source,
        quantized: { ...source.quantized, matrix: await source.quantized.read() },
      });
    else result.set(name, source);
  }
  return result;
}
