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
import type { PullOptions } from '../hub/pull.node.ts';
import { isAbsent, resolveModel } from '../hub/resolve.node.ts';
import { repositoryNamed } from '../hub/settings.node.ts';
import { type NamedModel, namedPreset } from './named-model.ts';

/**
 * The model of a preset's name, of a Hugging Face model directory, of a GGUF file, or of an id on the hub (`org/name`), of which
 * only the small files are downloaded. Where a directory has weights, they are checked against its config.json; a config.json
 * alone is enough to compare architectures.
 *
 * @param options of the download.
 * @throws RopewalkError when nothing has this name, or what is wrong with the directory.
 */
export async function namedModel(
  name: string,
  options: Omit<PullOptions, 'weights'> = {},
): Promise<NamedModel> {
  if ((await exists(name)) || namedPreset(name) || !repositoryNamed(name, 'models', options)) {
    return hereByName(name);
  }
  try {
    const path = await resolveModel(name, { ...options, weights: false });
    return { ...(await hereByName(path)), name };
  } catch (error) {
    // A name without an organization may have been meant for a preset's.
    const mistyped = error instanceof RopewalkError && isAbsent(error.cause) && !name.includes('/');
    if (!mistyped) throw error;
    throw new RopewalkError(`${error.message}; nor is it a preset: ${presetNames().join(', ')}`, {
      cause: error,
    });
  }
}

function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

async function hereByName(name: string): Promise<NamedModel> {
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
