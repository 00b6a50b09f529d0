import { BatchSampler } from '../batches.ts';
import { openModel, readWeights } from '../checkpoint/load.node.ts';
import { familyByName } from '../families/registry.ts';
import type { FamilyMeasurements, Measurements } from '../report/results.ts';
import type { Engine } from '../runtime/engine.ts';
import type { Corpus } from './corpus.node.ts';
import { withDepth } from './deepen.ts';
import { tinyConfig } from './family.node.ts';
import type { JobFolder } from './folder.node.ts';
import { activationInputs } from './measure-activations.ts';
import { capEffects } from './measure-caps.ts';
import { gradientByLayer, startingWeights } from './measure-gradients.ts';
import { distanceScores } from './measure-positions.ts';
import type { JobSettings } from './settings.ts';
import type { Subject, Weights } from './subject.ts';

const FILE = 'measurements.json';
/** Deep enough that a small growth or decay per layer becomes visible; without norms, as deep as values stay finite. */
const DEPTHS = [1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24];
const DEEP_LAYERS = DEPTHS.at(-1)!;
/** Key positions for the curves of attention scores, and the largest distance of the query. */
const KEY_POSITIONS = [0, 16, 48, 112];
const DISTANCES = 64;

/**
 * The note's explanations in numbers, measured in the trained models on held-out text; stored results are reused.
 *
 * @returns undefined if the signal aborted.
 */
export async function measure(
  folder: JobFolder,
  settings: JobSettings,
  corpus: Corpus,
  engine: Engine,
  signal: AbortSignal | undefined,
  onProgress: (done: number, total: number) => void,
): Promise<Measurements | undefined> {
  const stored = await folder.read<Measurements>(FILE);
  if (stored) return stored;
  const tokens = positionTokens(corpus);
  const families: FamilyMeasurements[] = [];
  for (const [i, name] of settings.families.entries()) {
    onProgress(i, settings.families.length);
    if (signal?.aborted) return undefined;
    families.push(await measureFamily(folder.file(name), name, settings, corpus, engine, tokens.ids));
  }
  onProgress(settings.families.length, settings.families.length);
  const result = { deepLayers: DEEP_LAYERS, positionTokens: tokens.texts, families };
  await folder.write(FILE, result);
  return result;
}

async function measureFamily(
  directory: string,
  name: string,
  settings: JobSettings,
  corpus: Corpus,
  engine: Engine,
  tokens: { query: number; key: number },
): Promise<FamilyMeasurements> {
  const family = familyByName(name);
  const opened = await openModel(directory);
  const arrays = new Map(
    [...opened.model.parameters()].map(([path, { size }]) => [path, new Float32Array(size)]),
  );
  await readWeights(opened, arrays);
  await opened.checkpoint.tensors.close();
  const weights: Weights = new Map([...arrays].map(([path, data]) => [path, { data }]));
  const { model, config } = opened;
  const shape = { batch: settings.batch, seq: settings.seq };
  const batch = new BatchSampler({ tokens: corpus.validation, ...shape, seed: 0 }).next();
  const sequences = settings.batch;
  const subject: Subject = { model, weights, ids: batch.inputs, batch: sequences };
  // N(0, 1 / width): a product with such a matrix preserves the magnitude of its input.
  const initializer_range = model.head.weight.shape[1]! ** -0.5;
  const untrained = (layers: number, withoutNorms: boolean) => {
    const deep = withDepth(family, { ...tinyConfig(family, corpus), initializer_range }, layers);
    const start = startingWeights(family, deep, settings.training.seed);
    return gradientByLayer(engine, { family, config: deep, weights: start, batch, sequences, withoutNorms });
  };
  let withoutNorms: number[] = [];
  for (const depth of DEPTHS) {
    const curve = await untrained(depth, true);
    if (!curve.every((norm) => Number.isFinite(norm) && norm > 0)) break;
    withoutNorms = curve;
  }
  return {
    family: name,
    gradients: {
      trained: await gradientByLayer(engine, { family, config, weights, batch, sequences }),
      deep: await untrained(DEEP_LAYERS, false),
      withoutNorms,
    },
    activation: await activationInputs(engine, subject),
    caps: await capEffects(engine, subject),
    positions: await distanceScores(engine, model, weights, tokens, KEY_POSITIONS, DISTANCES),
  };
}

/** Two frequent words that are one token each, found in the text. */
function positionTokens({ tokenizer }: Corpus) {
  const find = (text: string) => {
    const ids = tokenizer.encode(text, { addSpecialTokens: false });
    return { id: ids.at(-1)!, text: tokenizer.decode([ids.at(-1)!]).trim() };
  };
  const [query, key] = [find(' whale'), find(' the')];
  return { ids: { query: query.id, key: key.id }, texts: { query: query.text, key: key.text } };
}
