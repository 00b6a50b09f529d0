import { isModelFile } from '../checkpoint/model-files.ts';
import { type FloatDtype, tensorBytes } from '../checkpoint/safetensors/writer.ts';
import { saveModelDirectory } from '../checkpoint/save.node.ts';
import { recoverDirectory } from '../files/atomic.node.ts';
import { byteCount, bytesOf, option } from '../options.ts';
import { checkFloat16 } from './external-data.ts';
import { defineFormat, dtypeOption } from './format.node.ts';
import {
  checkTarget,
  commonNotes,
  type ExportProgress,
  type ExportResult,
  type ExportSource,
  exportedConfig,
  exportedGenerationConfig,
  resultOf,
} from './source.node.ts';
import { tokenizerFilesOf } from './tokenizer-files.node.ts';

const DTYPES = { float32: 'F32', float16: 'F16', bfloat16: 'BF16' } as const;

export interface HuggingFaceExportOptions {
  /** The type of the weights, rounded to nearest even. Default float32. */
  readonly dtype?: keyof typeof DTYPES;
  /** The largest shard in bytes of tensors; default 5e9. A larger tensor gets its own shard. */
  readonly maxShardBytes?: number;
  readonly onProgress?: ExportProgress;
}

export const huggingFace = defineFormat({
  name: 'hf',
  title: 'Hugging Face directory',
  help: [
    "safetensors, config.json, generation_config.json and the tokenizer's files, as transformers loads them",
  ],
  options: {
    dtype: dtypeOption(['float32', 'float16', 'bfloat16']),
    maxShardSize: option(byteCount, 'largest size of a weight file, such as 500MB', {
      value: 'size',
      parse: bytesOf,
    }),
  },
  defaults: { dtype: 'float32', maxShardSize: 5e9 },
  precision: 'dtype',
  write: (source, path, { dtype, maxShardSize }, onProgress) =>
    exportHuggingFace(source, path, {
      onProgress,
      ...(dtype && { dtype }),
      ...(maxShardSize !== undefined && { maxShardBytes: maxShardSize }),
    }),
});

/**
 * Writes a model as a Hugging Face directory that `transformers` loads: weights as safetensors, sharded if large, with
 * the tokenizer, the chat template and the generation config. One weight at a time is in memory. The folder appears
 * complete or not at all; only a model directory is replaced.
 * @throws RopewalkError naming the path, the cause and the remedy
 */
export async function exportHuggingFace(
  source: ExportSource,
  path: string,
  options: HuggingFaceExportOptions = {},
): Promise<ExportResult> {
  const { maxShardBytes, onProgress = () => {} } = options;
  const dtype: FloatDtype = DTYPES[options.dtype ?? 'float32'];
  await recoverDirectory(path);
  await checkTarget(path, source, isModelFile);
  const parameters = [...source.model.parameters()];
  const total = parameters.reduce((sum, [, { shape }]) => sum + tensorBytes(shape, dtype), 0);
  let written = 0;
  const tensors = parameters.map(([name, { shape }]) => {
    const data = async () => {
      const values = await source.checkpoint.tensors.readFloat32(source.names.get(name)!);
      if (dtype === 'F16') checkFloat16(values, name);
      written += tensorBytes(shape, dtype);
      onProgress(written, total);
      return values;
    };
    return { name, shape, data };
  });
  const files = await tokenizerFilesOf(source);
  await saveModelDirectory(path, {
    config: exportedConfig(source),
    generationConfig: exportedGenerationConfig(source),
    tensors,
    dtype,
    files,
    ...(maxShardBytes !== undefined && { maxShardBytes }),
  });
  return resultOf(path, source, commonNotes(source, files));
}
