import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { RopewalkError } from '../errors.ts';
import {
  type AtomicOptions,
  recoverDirectory,
  writeDirectoryAtomic,
  writeFileAtomic,
} from '../files/atomic.node.ts';
import { errorCode, fileError } from '../files/file-errors.ts';
import { toConfigJson } from '../files/json.ts';
import { sizeOf } from '../graph/dims.ts';
import { checkDirectory, listCarriedFiles, resolveInside } from './directory.node.ts';
import {
  CONFIG_FILE,
  GENERATION_CONFIG_FILE,
  isModelFile,
  isPlainName,
  shardName,
  WEIGHTS_INDEX,
} from './model-files.ts';
import { quote } from './safetensors/header.ts';
import {
  type ByteData,
  type FloatData,
  type FloatDtype,
  tensorBytes,
  writeSafetensors,
} from './safetensors/writer.ts';

/** A weight: numbers, written in a dtype of their own where that is not the model's, or the bytes of a saved form of ours. */
export type TensorToSave = { readonly name: string; readonly shape: readonly number[] } & (
  | { readonly data: FloatData; readonly dtype?: FloatDtype }
  | { readonly bytes: ByteData }
);

/** The contents of a model directory. */
export interface ModelToSave {
  /** For `config.json`; its `dtype` and `torch_dtype` are set to the type of the written weights. */
  readonly config: Record<string, unknown>;
  /** For `generation_config.json`; without it, that of `carryFrom` is copied, if any. */
  readonly generationConfig?: Record<string, unknown>;
  /** Under their Hugging Face names; a tied parameter appears once. */
  readonly tensors: readonly TensorToSave[];
  /** For `__metadata__` of the weight files. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** Default F32. Narrower ones are rounded to nearest even. */
  readonly dtype?: FloatDtype;
  /** Further files, such as a `tokenizer.json`; they take precedence over those of `carryFrom`. */
  readonly files?: readonly { readonly name: string; readonly data: string | Uint8Array }[];
  /** A model directory whose tokenizer and generation files are copied. May be the target itself. */
  readonly carryFrom?: string;
  /** The largest shard, in bytes of tensors; default 5e9. A larger tensor gets its own shard. */
  readonly maxShardBytes?: number;
}

const TORCH_DTYPE = { F32: 'float32', F16: 'float16', BF16: 'bfloat16' } as const;

/**
 * Saves a model as a directory that `transformers` loads. The directory appears complete or not at all; an existing
 * model directory is replaced, and one with other files is refused rather than emptied.
 * @throws RopewalkError naming the path, the cause and the remedy
 */
export async function saveModelDirectory(
  path: string,
  model: ModelToSave,
  options: AtomicOptions = {},
): Promise<void> {
  await recoverDirectory(path);
  await checkReplaceable(path, model);
  await writeDirectoryAtomic(path, (directory) => writeModelFiles(directory, model), options);
}

/** A model whose weights are written by the caller. */
export interface ModelToPlan extends Omit<ModelToSave, 'tensors'> {
  readonly tensors: readonly PlannedTensor[];
}

interface PlannedTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype?: FloatDtype;
}

/** One of a model's weight files. */
export interface WeightFile<T = PlannedTensor> {
  readonly name: string;
  readonly tensors: readonly T[];
  readonly metadata: Readonly<Record<string, string>>;
}

/** Writes a model's files into an existing folder, for callers who write a larger folder atomically themselves. */
export async function writeModelFiles(directory: string, model: ModelToSave): Promise<void> {
  await writeFilesBesideWeights(directory, model);
  const { dtype = 'F32' } = model;
  for (const { name, tensors, metadata } of weightFilesOf(model)) {
    const entries = tensors.map((tensor) => {
      const { name, shape } = tensor;
      if ('bytes' in tensor) return { name, shape, dtype: 'U8', data: tensor.bytes } as const;
      return { name, shape, dtype: tensor.dtype ?? dtype, data: tensor.data };
    });
    await writeFileAtomic(join(directory, name), async (sink) => {
      await writeSafetensors(sink, entries, metadata);
    });
  }
}

/** The files that a model's weights are written to, with the tensors of each. */
export function weightFilesOf<T extends PlannedTensor | TensorToSave>({
  tensors,
  dtype = 'F32',
  maxShardBytes = 5e9,
  metadata,
}: Pick<ModelToSave, 'dtype' | 'maxShardBytes' | 'metadata'> & {
  readonly tensors: readonly T[];
}): WeightFile<T>[] {
  const shards = splitShards(tensors, dtype, maxShardBytes);
  return shards.map((shard, i) => ({
    name: shardName(i, shards.length),
    tensors: shard,
    metadata: { format: 'pt', ...metadata },
  }));
}

/** Writes all files of a model but those of {@link weightFilesOf}. */
export async function writeFilesBesideWeights(
  directory: string,
  model: ModelToPlan | ModelToSave,
): Promise<void> {
  const { dtype = 'F32', carryFrom, files = [] } = model;
  const own = new Set(files.map(({ name }) => name));
  if (carryFrom !== undefined) {
    await checkDirectory(carryFrom);
    const names = [...(await listCarriedFiles(carryFrom)), GENERATION_CONFIG_FILE];
    for (const name of names) {
      const real = await resolveInside(carryFrom, name);
      if (!real || own.has(name)) continue;
      let data: Uint8Array;
      try {
        data = await readFile(real); // not copyFile, which would also copy a read-only mode
      } catch (error) {
        throw fileError(error, 'read', join(carryFrom, name));
      }
      await writeFileAtomic(join(directory, name), data);
    }
  }
  for (const { name, data } of files) {
    if (!isPlainName(name))
      throw new RopewalkError(`${quote(name)} is not the name of a file; it cannot be saved`);
    await writeFileAtomic(join(directory, name), data);
  }
  const config = { ...model.config, dtype: TORCH_DTYPE[dtype], torch_dtype: TORCH_DTYPE[dtype] };
  await writeFileAtomic(join(directory, CONFIG_FILE), toConfigJson(config));
  if (model.generationConfig) {
    await writeFileAtomic(join(directory, GENERATION_CONFIG_FILE), toConfigJson(model.generationConfig));
  }
  await writeIndex(directory, model, dtype);
}

async function writeIndex(
  directory: string,
  model: ModelToPlan | ModelToSave,
  dtype: FloatDtype,
): Promise<void> {
  const files = weightFilesOf<PlannedTensor | TensorToSave>(model);
  if (files.length < 2) return;
  const weightMap = files.flatMap((file) => file.tensors.map(({ name }) => [name, file.name]));
  const elements = model.tensors.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
  const bytes = model.tensors.reduce((sum, tensor) => sum + bytesOf(tensor, dtype), 0);
  const metadata = { total_parameters: elements, total_size: bytes };
  const index = { metadata, weight_map: Object.fromEntries(weightMap) as object };
  await writeFileAtomic(join(directory, WEIGHTS_INDEX), toConfigJson(index));
}

function bytesOf(tensor: PlannedTensor | TensorToSave, dtype: FloatDtype): number {
  return tensorBytes(tensor.shape, 'bytes' in tensor ? 'U8' : (tensor.dtype ?? dtype));
}

/** Fills shards in order; a tensor that does not fit starts the next one. */
function splitShards<T extends PlannedTensor | TensorToSave>(
  tensors: readonly T[],
  dtype: FloatDtype,
  maxBytes: number,
): T[][] {
  if (!(maxBytes > 0))
    throw new RopewalkError(`maxShardBytes is ${maxBytes}; it must be a positive number of bytes`);
  const names = new Set(tensors.map(({ name }) => name));
  if (names.size !== tensors.length) throw new RopewalkError('two of the tensors to save have the same name');
  const shards: T[][] = [[]];
  let size = 0;
  for (const tensor of tensors) {
    const bytes = bytesOf(tensor, dtype);
    if (size > 0 && size + bytes > maxBytes) {
      shards.push([]);
      size = 0;
    }
    shards.at(-1)!.push(tensor);
    size += bytes;
  }
  return shards;
}

/** Replacing a folder removes its contents: only a model's own files may be removed. */
async function checkReplaceable(path: string, { files = [] }: ModelToSave): Promise<void> {
  let names: string[];
  try {
    names = await readdir(path);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return;
    throw fileError(error, 'write', path);
  }
  const foreign = names.filter((name) => !isModelFile(name) && !files.some((file) => file.name === name));
  if (foreign.length > 0) {
    throw new RopewalkError(
      `cannot save into ${path}: that would remove ${foreign.slice(0, 3).join(', ')}${foreign.length > 3 ? ', …' : ''}, ` +
        'which saving a model does not write; choose a new folder',
    );
  }
}
