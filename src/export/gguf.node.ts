import { realpath, stat } from 'node:fs/promises';
import { basename, dirname, extname, join } from 'node:path';
import { ggufForm } from '../checkpoint/gguf/forms.ts';
import { toGguf } from '../checkpoint/gguf/names.ts';
import { splitNames } from '../checkpoint/gguf/reading/reader.ts';
import { toStored } from '../checkpoint/gguf/reading/store.ts';
import { entriesFromTokenizer } from '../checkpoint/gguf/tokenizer/tokenizer-entries.ts';
import type { WritableGgmlType } from '../checkpoint/gguf/types.ts';
import { entriesFromConfig, type GgufEntry } from '../checkpoint/gguf/writing/entries.ts';
import {
  type GgufTensorToWrite,
  ggufTensorBytes,
  ggufTypeOf,
  writeGguf,
} from '../checkpoint/gguf/writing/writer.ts';
import { RopewalkError } from '../errors.ts';
import type { RopeConfig } from '../families/common/rope-config.ts';
import { writeFileAtomic } from '../files/atomic.node.ts';
import { errorCode, fileError } from '../files/file-errors.ts';
import { oneOf, option } from '../options.ts';
import { checkFloat16 } from './external-data.ts';
import { defineFormat } from './format.node.ts';
import type { ExportProgress, ExportResult, ExportSource } from './source.node.ts';

/** Types of matrices, with llama.cpp's `llama_ftype` of a file of them. */
const TYPES = {
  f32: { type: 'F32', fileType: 0 },
  f16: { type: 'F16', fileType: 1 },
  q8_0: { type: 'Q8_0', fileType: 7 },
  q4_0: { type: 'Q4_0', fileType: 2 },
} as const;

/** ggml's version of its quantized formats. */
const QUANTIZATION_VERSION = 2;

export type GgufType = keyof typeof TYPES;

export const GGUF_TYPES = Object.keys(TYPES) as readonly GgufType[];

export interface GgufExportOptions {
  /** The type of matrices; norms, biases and positions are float32. Default f16. */
  readonly type?: GgufType;
  readonly onProgress?: ExportProgress;
}

export const gguf = defineFormat({
  name: 'gguf',
  title: 'GGUF',
  help: [
    'one file for llama.cpp and programs built on it; norms, biases and positions stay float32, and with q8_0 or q4_0,',
    'matrices whose rows are not a multiple of 32 become f16',
  ],
  options: {
    type: option(oneOf(GGUF_TYPES as [GgufType, ...GgufType[]]), 'type in which matrices are stored', {
      value: 'type',
    }),
  },
  defaults: { type: 'f16' },
  precision: 'type',
  write: (source, path, { type }, onProgress) =>
    exportGguf(source, path, { onProgress, ...(type && { type }) }),
});

/**
 * Writes a model as one GGUF file for llama.cpp and programs based on it: weights, configuration, tokenizer and chat
 * template. One weight at a time is in memory. The file appears complete or not at all.
 * @param path ends in `.gguf`
 * @throws RopewalkError naming what llama.cpp cannot express, or the path, the cause and the remedy
 */
export async function exportGguf(
  source: ExportSource,
  path: string,
  { type = 'f16', onProgress = () => {} }: GgufExportOptions = {},
): Promise<ExportResult> {
  await checkFile(path, source);
  const notes: string[] = [];
  const metadata = await metadataOf(source, type, notes);
  const { tensors, mixed } = tensorsOf(source, TYPES[type].type);
  if (mixed.length > 0) {
    notes.push(
      `${mixed.length} weights are stored as F16, because their rows are not a multiple of 32: ${few(mixed)}.`,
    );
  }
  if (source.unused.length > 0) {
    notes.push(
      `${source.unused.length} tensors in ${source.checkpoint.path} are not part of the model and are omitted: ${few(source.unused)}.`,
    );
  }
  const total = tensors.reduce((sum, each) => sum + ggufTensorBytes(each.shape, each.type), 0);
  let written = 0;
  const watched = tensors.map((tensor) => ({
    ...tensor,
    read: async () => {
      const values = await tensor.read();
      written += ggufTensorBytes(tensor.shape, tensor.type);
      onProgress(written, total);
      return values;
    },
  }));
  await writeFileAtomic(path, (sink) => writeGguf(sink, { metadata, tensors: watched }));
  const { size } = await stat(path);
  return {
    files: [{ name: basename(path), bytes: size }],
    parameters: source.model.parameterCount(),
    notes,
  };
}

async function metadataOf(source: ExportSource, type: GgufType, notes: string[]): Promise<GgufEntry[]> {
  const { family, config, checkpoint, stopTokens } = source;
  const { path } = checkpoint;
  const form = ggufForm(family, path);
  const settings = entriesFromConfig(form, config, path);
  const { rope_scaling } = config as Partial<RopeConfig>;
  if (rope_scaling?.rope_type === 'dynamic') {
    notes.push(
      "llama.cpp has no dynamic RoPE scaling; it is omitted, which changes nothing within the model's positions.",
    );
  }
  const files = await checkpoint.tokenizerFiles();
  if (!files) {
    throw new RopewalkError(
      `${path}: it has no tokenizer, which programs based on llama.cpp need; add its tokenizer.json.`,
    );
  }
  const tokens = entriesFromTokenizer(
    files,
    {
      vocabSize: config.vocab_size,
      bosId: config.bos_token_id,
      padId: config.pad_token_id,
      stopIds: stopTokens,
    },
    path,
  );
  notes.push(...tokens.notes);
  return [
    ['general.architecture', 'string', form.architecture],
    ['general.type', 'string', 'model'],
    ['general.name', 'string', basename(path, extname(path) === '.gguf' ? '.gguf' : '')],
    ['general.file_type', 'u32', TYPES[type].fileType],
    ['general.quantization_version', 'u32', QUANTIZATION_VERSION],
    ...settings,
    ...tokens.entries,
  ];
}

/** The tensors in the model's order, and the names of those that cannot have the type. */
function tensorsOf(
  { family, model, config, names, checkpoint }: ExportSource,
  wanted: WritableGgmlType,
): { tensors: GgufTensorToWrite[]; mixed: string[] } {
  const form = ggufForm(family, checkpoint.path);
  const { headDim } = family.parts(config).layers[0]!.attention;
  const mixed: string[] = [];
  const tensors = [...model.parameters()].map(([path, parameter]): GgufTensorToWrite => {
    const place = toGguf(form, path);
    if (!place) {
      throw new RopewalkError(
        `${checkpoint.path}: llama.cpp has no place for the weight "${path}" in the architecture ${form.architecture}; export it as a Hugging Face directory or as ONNX.`,
      );
    }
    const shape = place.transform === 'transposed' ? parameter.shape.toReversed() : [...parameter.shape];
    const type = ggufTypeOf(place.name, shape, wanted);
    if (type === 'F16' && wanted !== 'F16') mixed.push(path);
    const read = async () => {
      const values = await checkpoint.tensors.readFloat32(names.get(path)!);
      if (type === 'F16') checkFloat16(values, path);
      return toStored(values, parameter.shape, place.transform, headDim);
    };
    return { name: place.name, shape, type, read };
  });
  const divisors = form.rotaryDivisors?.(config);
  if (divisors) {
    tensors.push({
      name: 'rope_freqs.weight',
      shape: [divisors.length],
      type: 'F32',
      read: async () => divisors,
    });
  }
  return { tensors, mixed };
}

function few(names: readonly string[]): string {
  return `${names.slice(0, 3).join(', ')}${names.length > 3 ? ', …' : ''}`;
}

/** Refuses a file that could not be opened again, and one that is being read. */
async function checkFile(path: string, { checkpoint }: ExportSource): Promise<void> {
  if (!/\.gguf$/i.test(path)) {
    throw new RopewalkError(
      `cannot write ${path}: programs recognize a GGUF file by its name; use a name that ends in .gguf`,
    );
  }
  if (splitNames(basename(path))) {
    throw new RopewalkError(
      `cannot write ${path}: this name is reserved for one part of several; choose another name`,
    );
  }
  const target = await realpath(path).catch((error: unknown) => {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw fileError(error, 'write', path);
  });
  if (target === undefined) return;
  const own = checkpoint.path;
  const parts = splitNames(basename(own))?.map((name) => join(dirname(own), name)) ?? [own];
  for (const part of parts) {
    if ((await realpath(part).catch(() => undefined)) === target) {
      throw new RopewalkError(`cannot export into ${path}: it is the source model; choose another name.`);
    }
  }
}
