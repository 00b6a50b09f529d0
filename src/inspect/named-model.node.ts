import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { checkDirectory, readJsonObject, resolveInside } from '../checkpoint/directory.node.ts';
import { readGenerationConfig } from '../checkpoint/generation-config.ts';
import { ggufIn } from '../checkpoint/gguf/reading/open.node.ts';
import { openModel } from '../checkpoint/load.node.ts';
import {
  CONFIG_FILE,
  GENERATION_CONFIG_FILE,
  WEIGHTS_FILE,
  WEIGHTS_INDEX,
} from '../checkpoint/model-files.ts';
import { RopewalkError } from '../errors.ts';
import { modelFromConfig, presetNames } from '../families/registry.ts';
import { recoverDirectory } from '../files/atomic.node.ts';
import { errorCode } from '../files/file-errors.ts';
import { type NamedModel, namedPreset } from './named-model.ts';

/**
 * The model of a preset or of a Hugging Face model directory. If a directory has weights, they are checked against its
 * config.json; a config.json alone suffices to compare architectures.
 *
 * @throws RopewalkError if there is neither such a preset nor such a directory, or naming the problem with the
 *   directory.
 */
export async function namedModel(name: string): Promise<NamedModel> {
  const preset = namedPreset(name);
  if (preset) return preset;
  if (!(await mayBeDirectory(name))) {
    throw new RopewalkError(
      `"${name}" is neither a preset nor a model directory; presets are ${presetNames().join(', ')}.`,
    );
  }
  const isGguf = (await ggufIn(name)) !== undefined;
  if (!isGguf) {
    await recoverDirectory(name);
    await checkDirectory(name);
  }
  if (isGguf || (await hasWeights(name))) {
    const { checkpoint, family, config, model, sampling, warnings } = await openModel(name);
    await checkpoint.tensors.close();
    return { name, isFamily: false, family, config, model, sampling, warnings };
  }
  const raw = await readJsonObject(name, CONFIG_FILE);
  if (!raw)
    throw new RopewalkError(`${name}: it has no ${CONFIG_FILE}; name the folder of a Hugging Face model.`);
  const generation = await readJsonObject(name, GENERATION_CONFIG_FILE);
  const settings = generation
    ? readGenerationConfig(generation, join(name, GENERATION_CONFIG_FILE))
    : readGenerationConfig(raw, join(name, CONFIG_FILE));
  const read = modelFromConfig(raw, join(name, CONFIG_FILE));
  const { sampling } = settings;
  return { name, isFamily: false, ...read, sampling, warnings: [...read.warnings, ...settings.warnings] };
}

async function hasWeights(directory: string): Promise<boolean> {
  const files = [WEIGHTS_FILE, WEIGHTS_INDEX].map((file) => resolveInside(directory, file));
  return (await Promise.all(files)).some((real) => real !== undefined);
}

/** False only if nothing has this name; other problems are reported when the directory is opened. */
async function mayBeDirectory(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    return errorCode(error) !== 'ENOENT';
  }
}
