import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { CARRIED_FILES, CONFIG_FILE, GENERATION_CONFIG_FILE } from '../checkpoint/model-files.ts';
import { RopewalkError } from '../errors.ts';
import { recoverDirectory, writeDirectoryAtomic, writeFileAtomic } from '../files/atomic.node.ts';
import { toConfigJson } from '../files/json.ts';
import { oneOf, option } from '../options.ts';
import { writeWeightData } from './external-data.ts';
import { defineFormat, dtypeOption } from './format.node.ts';
import { type OnnxModel, onnxModel } from './onnx.ts';
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

const FOLDER = 'onnx';
const DATA_FILE = 'model.onnx_data';
const MODEL_FILES = { with: 'model.onnx', without: 'model_no_cache.onnx' } as const;
/** protobuf's limit for one message. */
const MAX_MODEL_BYTES = 2 ** 31 - 1;

export interface OnnxExportOptions {
  /** The type of matrices; computations, inputs and outputs stay float32. Default float32. */
  readonly dtype?: 'float32' | 'float16';
  /**
   * A graph with caches, for generation; one without, for scoring; or both over the same weights. Default with caches.
   */
  readonly cache?: 'with' | 'without' | 'both';
  readonly onProgress?: ExportProgress;
}

export const onnx = defineFormat({
  name: 'onnx',
  title: 'ONNX',
  help: [
    'onnx/model.onnx and onnx/model.onnx_data with only ai.onnx operators, in the layout of transformers.js; with',
    'float16, matrices are stored in float16 and everything is computed in float32; the graph without a',
    'cache is onnx/model_no_cache.onnx',
  ],
  options: {
    dtype: dtypeOption(['float32', 'float16']),
    cache: option(oneOf(['with', 'without', 'both']), 'the graph with a cache, without one, or both', {
      value: 'graphs',
      negated: 'without',
    }),
  },
  defaults: { dtype: 'float32', cache: 'with' },
  precision: 'dtype',
  write: (source, path, { dtype, cache }, onProgress) =>
    exportOnnx(source, path, { onProgress, ...(dtype && { dtype }), ...(cache && { cache }) }),
});

/**
 * Writes a model as ONNX: a folder in the layout that transformers.js loads, with only ai.onnx operators, so that any
 * ONNX runtime can run it. `onnx/model.onnx` (and `onnx/model_no_cache.onnx`) contain the graph,
 * `onnx/model.onnx_data` the weights, which are read one at a time. The folder appears complete or not at all; only an
 * earlier export is replaced.
 *
 * Inputs and outputs: see `ExportSequence` in sequence.ts.
 * @throws RopewalkError naming the path, the cause and the remedy
 */
export async function exportOnnx(
  source: ExportSource,
  path: string,
  options: OnnxExportOptions = {},
): Promise<ExportResult> {
  const { dtype = 'float32', cache = 'with', onProgress = () => {} } = options;
  await recoverDirectory(path);
  await checkTarget(path, source, isOurs);
  const kinds = cache === 'both' ? (['with', 'without'] as const) : [cache];
  const models = kinds.map((kind): [string, OnnxModel] => {
    const model = onnxModel(source.model, { cache: kind === 'with', dtype, dataFile: DATA_FILE });
    return [MODEL_FILES[kind], model];
  });
  const { weights, dataBytes } = models[0]![1];
  const files = await tokenizerFilesOf(source, { templateInConfig: true });
  const config = {
    ...exportedConfig(source),
    dtype,
    torch_dtype: dtype,
    // transformers.js's defaults for loading. "fp32" is its name for a file without a suffix.
    'transformers.js_config': { dtype: 'fp32', use_external_data_format: { [MODEL_FILES.with]: 1 } },
  };
  await writeDirectoryAtomic(path, async (directory) => {
    const folder = join(directory, FOLDER);
    await mkdir(folder);
    for (const { name, data } of files) await writeFileAtomic(join(directory, name), data);
    await writeFileAtomic(join(directory, CONFIG_FILE), toConfigJson(config));
    await writeFileAtomic(
      join(directory, GENERATION_CONFIG_FILE),
      toConfigJson(exportedGenerationConfig(source)),
    );
    for (const [name, { bytes }] of models) {
      if (bytes.byteLength > MAX_MODEL_BYTES) {
        throw new RopewalkError(
          `${join(path, FOLDER, name)} would be over ONNX's limit of 2 GiB for a graph.`,
        );
      }
      await writeFileAtomic(join(folder, name), bytes);
    }
    await writeFileAtomic(join(folder, DATA_FILE), (sink) =>
      writeWeightData(sink, weights, readerOf(source), (bytes) => onProgress(bytes, dataBytes)),
    );
  });
  return resultOf(path, source, [...commonNotes(source, files), ...onnxNotes(source, kinds)]);
}

function readerOf({ names, checkpoint }: ExportSource): (path: string) => Promise<Float32Array> {
  return (path) => checkpoint.tensors.readFloat32(names.get(path)!);
}

function isOurs(name: string): boolean {
  if ([...CARRIED_FILES, CONFIG_FILE, GENERATION_CONFIG_FILE].includes(name)) return true;
  return [...Object.values(MODEL_FILES), DATA_FILE].some((file) => name === `${FOLDER}/${file}`);
}

function onnxNotes({ family }: ExportSource, kinds: readonly ('with' | 'without')[]): string[] {
  const notes: string[] = [];
  if (!family.transformersJs) {
    notes.push(
      `transformers.js has no class for model_type "${family.modelType}": use the graph with an ONNX runtime.`,
    );
  }
  if (!kinds.includes('with')) {
    notes.push(
      `transformers.js needs ${FOLDER}/${MODEL_FILES.with}, the graph with a cache, which was not requested.`,
    );
  }
  return notes;
}
