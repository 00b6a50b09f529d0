import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { openModel } from '../checkpoint/load.node.ts';
import { saveModelDirectory } from '../checkpoint/save.node.ts';
import { families } from '../families/registry.ts';
import { nodeEngine } from '../runtime/engine.node.ts';
import { prepareCorpus } from '../start/corpus.node.ts';
import { runFamily } from '../start/family.node.ts';
import { JobFolder } from '../start/folder.node.ts';
import { jobSettings } from '../start/settings.ts';

/** Enough for words and their order; `npm start` trains longer. */
const STEPS = 600;

export interface TinyModelsOptions {
  /** Where trained models are kept, so that they are not trained again. */
  readonly cache: string;
  readonly families?: readonly string[];
  readonly steps?: number;
  readonly threads?: number;
  readonly onProgress?: (family: string, step: number, steps: number) => void;
}

/**
 * Trains the tiny model of every family on the built-in text. Each becomes a model directory with the family's name.
 * Weights are in float16, so that a browser downloads less.
 *
 * @returns the paths of the directories.
 */
export async function trainTinyModels(out: string, options: TinyModelsOptions): Promise<string[]> {
  const { steps = STEPS, threads = 2, onProgress } = options;
  const settings = jobSettings(steps, options.families ?? families.map(({ name }) => name));
  const digest = createHash('sha256').update(JSON.stringify(settings)).digest('hex').slice(0, 12);
  const folder = await JobFolder.open(join(options.cache, digest), settings, false);
  const corpus = await prepareCorpus(folder, settings, () => {});
  const engines = { training: nodeEngine({ threads }), decoding: nodeEngine({ threads: 1 }) };
  const paths: string[] = [];
  for (const name of settings.families) {
    const onStep = ({ step }: { readonly step: number }) => onProgress?.(name, step, steps);
    await runFamily({ folder, settings, corpus, name, engines, signal: undefined, onResume() {}, onStep });
    const path = join(out, name);
    await saveHalf(folder.file(name), path);
    paths.push(path);
  }
  return paths;
}

async function saveHalf(from: string, to: string): Promise<void> {
  const { checkpoint, family, config, model, names } = await openModel(from);
  try {
    const tensors: { name: string; shape: readonly number[]; data: Float32Array }[] = [];
    for (const [path, { shape }] of model.parameters()) {
      tensors.push({ name: path, shape, data: await checkpoint.tensors.readFloat32(names.get(path)!) });
    }
    await saveModelDirectory(to, {
      config: family.writeConfig(config),
      tensors,
      dtype: 'F16',
      carryFrom: from,
    });
  } finally {
    await checkpoint.tensors.close();
  }
}
