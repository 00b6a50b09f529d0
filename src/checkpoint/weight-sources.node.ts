import { realpath } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import type { CausalLM } from '../families/family.ts';
import { Embedding } from '../nn/embedding.ts';
import { Conv1D, Linear } from '../nn/linear.ts';
import type { Parameter } from '../nn/module.ts';
import { LearnedPositions } from '../nn/positions.ts';
import { type Quantization, quantizeRows } from '../onnx/quantize.ts';
import type {
  QuantizedArrays,
  QuantizedMatrix,
  QuantizedSource,
  WeightInFile,
  WeightSource,
} from '../onnx/weights.ts';
import type { RowReader, StoredTensor, TensorReader } from './checkpoint.ts';
import type { OpenedModel } from './load.node.ts';
import { RowThreads } from './threads/row-threads.node.ts';

/** Types that the engine reads from the file itself. */
const ENGINE_TYPES: Readonly<Record<string, WeightInFile['dtype']>> = {
  F32: 'float32',
  F16: 'float16',
  BF16: 'bfloat16',
};

/** Where the engine finds a model's weights. */
export interface ModelWeights {
  /** Every parameter by its path. */
  readonly weights: Map<string, WeightSource>;
  /** The folder of weight files that the engine reads itself. */
  readonly folder: string | undefined;
  /** Closes the files in which embeddings are looked up; the model cannot run afterwards. */
  close(): void;
}

/**
 * Where the engine finds each weight: in the checkpoint's own files if it can read them, otherwise in memory,
 * quantized if the checkpoint is quantized or if requested. Embeddings are looked up in the file, row by row.
 * Everything else is read once, when the engine requests it.
 *
 * @param quantize how the weights of products are quantized (the head to at least 8 bits); 'none' for float32 whatever
 *   the checkpoint contains; by default a quantized checkpoint runs in its own precision.
 * @param activations how quantized products treat activations: 'int8' is faster, 'exact' gives the values of the
 *   dequantized weights. By default exact for a checkpoint's own quantization, and int8 for a requested one.
 * @param onRead called after each weight with the share of all parameters read so far, 0 to 1.
 */
export async function weightSources(
  opened: OpenedModel,
  options: {
    readonly quantize?: Quantization | 'none' | undefined;
    readonly activations?: 'int8' | 'exact' | undefined;
    readonly onRead?: ((share: number) => void) | undefined;
    /** Threads that unpack and quantize; by default one per core. */
    readonly threads?: number | undefined;
  } = {},
): Promise<ModelWeights> {
  const { model, names, checkpoint } = opened;
  const { tensors } = checkpoint;
  const { quantize } = options;
  const exact = (options.activations ?? (quantize === undefined ? 'exact' : 'int8')) === 'exact';
  const { products, lookups } = parameterUses(model);
  const total = model.parameterCount();
  let done = 0;
  const pool = new RowThreads(options.threads);
  const counted = async <T>(size: number, read: () => Promise<T>): Promise<T> => {
    const value = await read();
    done += size;
    if (done >= total) pool.close();
    options.onRead?.(Math.min(1, done / total));
    return value;
  };
  const weights = new Map<string, WeightSource>();
  const readers: RowReader[] = [];
  let folder: string | undefined;
  // The engine refuses links that lead out of a folder, such as those of the hub cache: it gets their targets.
  const realFiles = new Map<string, string>();
  const inFile = async (info: StoredTensor): Promise<{ file: WeightInFile } | undefined> => {
    const dtype = ENGINE_TYPES[info.dtype];
    if (!dtype || !info.verbatim) return undefined;
    const file = realFiles.get(info.file) ?? (await realpath(info.file));
    realFiles.set(info.file, file);
    if (folder !== undefined && folder !== dirname(file)) return undefined;
    folder = dirname(file);
    const { offset, byteLength } = info;
    return { file: { location: basename(file), offset, byteLength, dtype } };
  };
  const asked =
    quantize === undefined || quantize === 'none' ? undefined : quantizedProducts(opened, quantize, pool);
  const inFewBits = (path: string, parameter: Parameter): QuantizedSource | undefined => {
    if (quantize !== undefined) return asked?.get(path);
    return products.has(parameter) ? tensors.quantizedForm?.(names.get(path)!, pool) : undefined;
  };
  try {
    for (const [path, parameter] of model.parameters()) {
      const name = names.get(path)!;
      const quantized = inFewBits(path, parameter);
      let source: WeightSource;
      if (quantized) {
        const read = (into?: QuantizedArrays) => counted(parameter.size, () => quantized.read(into));
        source = { quantized: { ...quantized, exact, read } };
      } else {
        const read = () => counted(parameter.size, () => tensors.readFloat32(name));
        const file = await inFile(tensors.info(name));
        // The engine reads it itself: nothing to wait for here.
        if (file) done += parameter.size;
        source = file ?? { read };
      }
      if (!lookups.has(parameter)) {
        weights.set(path, source);
        continue;
      }
      const rows = await tensors.openRows(name);
      readers.push(rows);
      weights.set(path, { ...source, rows });
    }
  } catch (error) {
    for (const reader of readers) reader.close();
    throw error;
  }
  const close = () => {
    pool.close();
    for (const reader of readers) reader.close();
  };
  return { weights, folder, close };
}

/**
 * The weights of quantized products, by path: quantized when they are read; `transposed` from `[in, out]`.
 *
 * @param pool the threads that read and quantize; the caller ends them
 */
export function quantizedProducts(
  { model, names, checkpoint }: OpenedModel,
  quantize: Quantization,
  pool = new RowThreads(1),
): Map<string, QuantizedSource & { readonly transposed: boolean }> {
  const { tensors } = checkpoint;
  const { products } = parameterUses(model);
  const sources = new Map<string, QuantizedSource & { readonly transposed: boolean }>();
  for (const [path, parameter] of model.parameters()) {
    const layout = products.get(parameter);
    if (!layout) continue;
    const name = names.get(path)!;
    // Measured on SmolLM2-135M: 4 bits in the head, a fifth of its weights, cause a third of int4's loss.
    const form: Quantization = parameter === model.head.weight ? { ...quantize, bits: 8 } : quantize;
    const [first, second] = parameter.shape as [number, number];
    const [rows, columns] = layout === 'out, in' ? [first, second] : [second, first];
    const read = (into?: QuantizedArrays) =>
      layout === 'out, in'
        ? readRows(tensors, name, form, pool, into)
        : readTransposed(tensors, name, { rows, columns }, form, into);
    const shape = { rows, columns, ...form, hasOffsets: false, hasZeroPoints: form.bits === 4 };
    sources.set(path, { ...shape, transposed: layout === 'in, out', read });
  }
  return sources;
}

async function readRows(
  tensors: TensorReader,
  name: string,
  form: Quantization,
  pool: RowThreads,
  into?: QuantizedArrays,
): Promise<QuantizedMatrix> {
  const stored = tensors.storedRows?.(name);
  if (stored?.source.lend) return pool.quantize(stored, form, into);
  const reader = await tensors.openRows(name);
  try {
    return quantizeRows(reader, form, into);
  } finally {
    reader.close();
  }
}

/** A weight that is stored `[in, out]`, quantized as `[out, in]`. */
async function readTransposed(
  tensors: TensorReader,
  name: string,
  { rows, columns }: { rows: number; columns: number },
  form: Quantization,
  into?: QuantizedArrays,
): Promise<QuantizedMatrix> {
  const values = await tensors.readFloat32(name);
  const read = (row: number, target: Float32Array, at: number) => {
    for (let column = 0; column < columns; column++) target[at + column] = values[column * rows + row]!;
  };
  return quantizeRows({ rows, width: columns, read }, form, into);
}

/** Weights of products, with their layout, and tables in which rows are looked up. */
function parameterUses(model: CausalLM) {
  const products = new Map<Parameter, 'out, in' | 'in, out'>();
  const lookups = new Set<Parameter>();
  for (const [, module] of model.walk()) {
    if (module instanceof Linear) products.set(module.weight, 'out, in');
    else if (module instanceof Conv1D) products.set(module.weight, 'in, out');
    else if (module instanceof Embedding && !(module instanceof LearnedPositions)) lookups.add(module.weight);
  }
  return { products, lookups };
}
