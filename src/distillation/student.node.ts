import { openModel, readWeights, tokenizerOf } from '../checkpoint/load.node.ts';
import { RopewalkError } from '../errors.ts';
import type { CommonConfig } from '../families/config.ts';
import type { CausalLM, Family } from '../families/family.ts';
import { initializeWeights } from '../families/initialize.ts';
import { Random } from '../random.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { evenLayers, layerPaths, withLayers } from './layers.ts';

/** How a student is initialized. */
export type StudentOrigin =
  /** From a checkpoint's weights. */
  | { readonly kind: 'checkpoint'; readonly path: string }
  /** From random weights, with the vocabulary and special tokens of the tokenizer. */
  | { readonly kind: 'scratch'; readonly family: Family; readonly config: CommonConfig }
  /** From some of a model's layers: their indices, or how many, evenly spaced. */
  | { readonly kind: 'layers'; readonly path: string; readonly layers: readonly number[] | number };

export interface Student {
  readonly family: Family;
  readonly config: CommonConfig;
  readonly model: CausalLM;
  /** Its own; undefined for a student from scratch, which uses its teacher's. */
  readonly tokenizer: Tokenizer | undefined;
  /** A description of its initialization, as plain JSON. */
  readonly record: Readonly<Record<string, unknown>>;
  /** For `generation_config.json`. */
  readonly generationConfig: Record<string, unknown> | undefined;
  /** Ids that end a text, from its files; none for a student from scratch. */
  readonly stopTokens: readonly number[];
  /** Statements of its files that are wrong or not followed. */
  readonly warnings: readonly string[];
  /** Fills weights, by path. @param seed for random ones. */
  begin(values: ReadonlyMap<string, Float32Array>, seed: number): Promise<void>;
}

/** @throws RopewalkError naming the file and the problem, or the layer that does not exist. */
export async function openStudent(origin: StudentOrigin): Promise<Student> {
  if (origin.kind === 'scratch') {
    const { family, config } = origin;
    const model = family.build(config);
    return {
      ...{ family, config, model, tokenizer: undefined, generationConfig: undefined, stopTokens: [] },
      record: { from: 'scratch' },
      warnings: [],
      begin: async (values, seed) => initializeWeights(model.parameters(), values, new Random(seed)),
    };
  }
  const { path } = origin;
  const opened = await openModel(path);
  try {
    const { checkpoint, warnings } = opened;
    const tokenizer = await tokenizerOf(checkpoint);
    const { family, stopTokens } = opened;
    const { generationConfig } = checkpoint;
    const common = { family, tokenizer, warnings, generationConfig, stopTokens };
    if (origin.kind === 'checkpoint') {
      const begin = (values: ReadonlyMap<string, Float32Array>) => readInto(path, values);
      const { config, model } = opened;
      return { ...common, config, model, record: { from: path }, begin };
    }
    const count = layerPaths(opened.model).length;
    const layers = typeof origin.layers === 'number' ? evenLayers(count, origin.layers) : [...origin.layers];
    const config = withLayers(family, opened.config, layers, path);
    const model = family.build(config);
    const begin = (values: ReadonlyMap<string, Float32Array>) => readLayers(path, model, layers, values);
    return { ...common, config, model, record: { from: path, layers }, begin };
  } finally {
    await opened.checkpoint.tensors.close();
  }
}

async function readInto(path: string, values: ReadonlyMap<string, Float32Array>): Promise<void> {
  const opened = await openModel(path);
  try {
    await readWeights(opened, values);
  } finally {
    await opened.checkpoint.tensors.close();
  }
}

/** Layer i of the student gets the weights of layer `layers[i]`; everything else is unchanged. */
async function readLayers(
  path: string,
  model: CausalLM,
  layers: readonly number[],
  values: ReadonlyMap<string, Float32Array>,
): Promise<void> {
  const opened = await openModel(path);
  try {
    const theirs = layerPaths(opened.model);
    const ours = layerPaths(model);
    const targets = new Map<string, Float32Array>();
    const tensors = opened.checkpoint.tensors;
    for (const [name, target] of values) {
      const place = ours.findIndex((layer) => name.startsWith(layer));
      const from = place < 0 ? name : theirs[layers[place]!]! + name.slice(ours[place]!.length);
      const known = targets.get(from);
      // A layer may be used twice.
      if (known) target.set(known);
      else {
        const file = opened.names.get(from);
        if (file === undefined) throw new RopewalkError(`${path}: it has no weight "${from}".`);
        await tensors.readFloat32Into(file, target);
        targets.set(from, target);
      }
    }
  } finally {
    await opened.checkpoint.tensors.close();
  }
}
