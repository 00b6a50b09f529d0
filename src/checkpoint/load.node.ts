import { realpath } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { RopewalkError } from '../errors.ts';
import { ConfigReader } from '../families/config.ts';
import { type BuiltModel, modelFromConfig } from '../families/registry.ts';
import { shapeText } from '../graph/dims.ts';
import type { WeightSource } from '../onnx/emit.ts';
import { type ModelDirectory, openModelDirectory } from './directory.node.ts';

/** Formats that the engine reads from the file itself. */
const enginesTypes: Readonly<Record<string, 'float32' | 'float16' | 'bfloat16'>> = {
  F32: 'float32',
  F16: 'float16',
  BF16: 'bfloat16',
};

/** A checkpoint opened and checked: every weight is there, in the shape that the config asks for. */
export interface OpenedModel extends BuiltModel {
  readonly directory: ModelDirectory;
  /** Each parameter's name in the file, by its path. */
  readonly names: ReadonlyMap<string, string>;
  /** Tensors in the file that the model has no place for. */
  readonly unused: readonly string[];
  /** Ids that end a text: generation_config.json's, else config.json's. */
  readonly stopTokens: readonly number[];
}

/**
 * Opens a Hugging Face model directory of any of the families. Close `directory.tensors` when done.
 *
 * @throws RopewalkError naming the file and the field or tensor that is missing or wrong.
 */
export async function openModel(path: string): Promise<OpenedModel> {
  const directory = await openModelDirectory(path);
  try {
    const built = modelFromConfig(directory.config, `${path}/config.json`);
    const { names, unused } = matchTensors(built, directory);
    return { ...built, directory, names, unused, stopTokens: readStopTokens(built, directory) };
  } catch (error) {
    await directory.tensors.close();
    throw error;
  }
}

function matchTensors({ model }: BuiltModel, { path, tensors }: ModelDirectory) {
  const names = new Map<string, string>();
  const taken = new Set<string>();
  // Files of the model without its head (GPT-2's on the hub) leave the first part of every path out.
  const inFile = (parameterPath: string) => {
    const shortened = parameterPath.slice(parameterPath.indexOf('.') + 1);
    return [parameterPath, shortened].find((name) => tensors.has(name));
  };
  for (const [parameterPath, parameter] of model.parameters()) {
    const name = inFile(parameterPath);
    if (name === undefined) {
      throw new RopewalkError(
        `${path}: the weight "${parameterPath}" is missing from the checkpoint; download it again.`,
      );
    }
    const { shape, file } = tensors.info(name);
    if (
      shape.length !== parameter.shape.length ||
      shape.some((size, axis) => size !== parameter.shape[axis])
    ) {
      throw new RopewalkError(
        `${file}: the weight "${name}" has shape ${shapeText(shape)}, but config.json asks for ${shapeText(parameter.shape)}; one of the two files belongs to another model.`,
      );
    }
    names.set(parameterPath, name);
    taken.add(name);
  }
  // A tied weight may be written at each of its places.
  for (const [place] of model.parameterPlaces()) taken.add(place);
  const unused = tensors.names().filter((name) => !taken.has(name) && !model.isBuffer(name));
  return { names, unused };
}

function readStopTokens({ config }: BuiltModel, { path, generationConfig }: ModelDirectory): number[] {
  if (generationConfig?.eos_token_id !== undefined) {
    return new ConfigReader(generationConfig, `${path}/generation_config.json`).tokenIds('eos_token_id');
  }
  return [...config.eos_token_id];
}

/** Where the engine finds each weight: in the checkpoint's own files where it can read them, else in memory. */
export async function weightSources(
  opened: OpenedModel,
): Promise<{ weights: Map<string, WeightSource>; folder: string | undefined }> {
  const weights = new Map<string, WeightSource>();
  let folder: string | undefined;
  const { tensors } = opened.directory;
  // The engine refuses links that lead out of a folder, such as the hub cache's: it is given what they lead to.
  const realFiles = new Map<string, string>();
  for (const [path, name] of opened.names) {
    const { dtype, file: shown, offset, byteLength } = tensors.info(name);
    const file = realFiles.get(shown) ?? (await realpath(shown));
    realFiles.set(shown, file);
    const type = enginesTypes[dtype];
    if (type && (folder === undefined || folder === dirname(file))) {
      folder = dirname(file);
      weights.set(path, { file: { location: basename(file), offset, byteLength, dtype: type } });
    } else {
      weights.set(path, { data: await tensors.readFloat32(name) });
    }
  }
  return { weights, folder };
}

/** Reads every weight into arrays of the caller's, by path: for training. */
export async function readWeights(
  opened: OpenedModel,
  targets: ReadonlyMap<string, Float32Array>,
): Promise<void> {
  for (const [path, name] of opened.names) {
    const target = targets.get(path);
    if (target) await opened.directory.tensors.readFloat32Into(name, target);
  }
}
