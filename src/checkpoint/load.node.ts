import { ConfigReader } from '../families/config.ts';
import { type BuiltModel, modelFromConfig } from '../families/registry.ts';
import { Tokenizer } from '../tokenizer/tokenizer.ts';
import type { Checkpoint } from './checkpoint.ts';
import { openModelDirectory } from './directory.node.ts';
import { readGenerationConfig, type SamplingDefaults } from './generation-config.ts';
import { ggufIn, openGgufModel } from './gguf/reading/open.node.ts';
import type { LayoutCacheOptions } from './layouts/settings.node.ts';
import { matchTensors } from './match-tensors.ts';

/** An opened and checked checkpoint: every weight exists, in the shape that the config requires. */
export interface OpenedModel extends BuiltModel {
  readonly checkpoint: Checkpoint;
  /** Each parameter's name in the file, by its path. */
  readonly names: ReadonlyMap<string, string>;
  /** Tensors in the file that are not in the model. */
  readonly unused: readonly string[];
  /** Ids that end a text: generation_config.json's, else config.json's. */
  readonly stopTokens: readonly number[];
  /** The configuration's sampling defaults; empty if it has none. */
  readonly sampling: SamplingDefaults;
  /** Statements of the files that are wrong or not followed, each a sentence: to be shown once. */
  readonly warnings: readonly string[];
}

interface OpenOptions {
  /**
   * How a large vocabulary is kept for later starts, in the cache of layouts; false keeps nothing and uses nothing. By
   * default as the environment says.
   */
  readonly layoutCache?: boolean | LayoutCacheOptions | undefined;
}

/** A Hugging Face model directory, a GGUF file, or a folder containing one GGUF model. */
async function openCheckpoint(path: string, options: OpenOptions): Promise<Checkpoint> {
  const gguf = await ggufIn(path);
  return gguf === undefined ? openModelDirectory(path, options) : openGgufModel(gguf, options);
}

/**
 * Opens a model of any supported family: a Hugging Face model directory or a GGUF file. Close `checkpoint.tensors`
 * when done.
 *
 * @throws RopewalkError naming the file and the field or tensor that is missing or wrong.
 */
export async function openModel(path: string, options: OpenOptions = {}): Promise<OpenedModel> {
  const checkpoint = await openCheckpoint(path, options);
  try {
    const built = modelFromConfig(checkpoint.config, checkpoint.configName);
    const matched = await matchTensors(built, checkpoint);
    const { sampling, warnings: unmet } = generationSettings(checkpoint);
    const stopTokens = readStopTokens(matched, checkpoint);
    const warnings = [...(checkpoint.warnings ?? []), ...built.warnings, ...matched.warnings, ...unmet];
    return { ...matched, checkpoint, stopTokens, sampling, warnings };
  } catch (error) {
    await checkpoint.tensors.close();
    throw error;
  }
}

function readStopTokens({ config }: BuiltModel, { path, generationConfig }: Checkpoint): number[] {
  if (generationConfig?.eos_token_id !== undefined) {
    return new ConfigReader(generationConfig, `${path}/generation_config.json`).tokenIds('eos_token_id');
  }
  return [...config.eos_token_id];
}

/** Without a generation_config.json, transformers reads the generation fields of config.json. */
function generationSettings({ path, configName, config, generationConfig }: Checkpoint) {
  return generationConfig
    ? readGenerationConfig(generationConfig, `${path}/generation_config.json`)
    : readGenerationConfig(config, configName);
}

/**
 * Reads every weight into the caller's arrays, by path: for training.
 *
 * @param startOf where an array begins in its weight, if it is a part of it; undefined for wholes.
 */
export async function readWeights(
  opened: OpenedModel,
  targets: ReadonlyMap<string, Float32Array>,
  startOf?: (path: string) => number,
): Promise<void> {
  const { tensors } = opened.checkpoint;
  for (const [path, name] of opened.names) {
    const target = targets.get(path);
    if (!target) continue;
    if (!startOf) await tensors.readFloat32Into(name, target);
    else await tensors.readFloat32Part(name, startOf(path), target);
  }
}

/** The checkpoint's own tokenizer; undefined if it has none. */
export async function tokenizerOf(checkpoint: Checkpoint): Promise<Tokenizer | undefined> {
  const files = await checkpoint.tokenizerFiles();
  return files && Tokenizer.fromJSON(files.tokenizer, files.config, `the tokenizer of ${checkpoint.path}`);
}
