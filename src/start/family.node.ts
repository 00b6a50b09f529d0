import { openModel } from '../checkpoint/load.node.ts';
import type { Family } from '../families/family.ts';
import { familyByName } from '../families/registry.ts';
import { createDecoder } from '../generation/decoder.node.ts';
import { generateTokens } from '../generation/generate.ts';
import type { FamilyResult, LossPoint } from '../report/results.ts';
import type { Engine } from '../runtime/engine.ts';
import { train } from '../training/runs/pretrain.node.ts';
import { RunDirectory } from '../training/runs/run-directory.node.ts';
import { median } from '../training/train-event.ts';
import type { TrainEvent } from '../training/trainer.ts';
import type { Corpus } from './corpus.node.ts';
import type { JobFolder } from './folder.node.ts';
import type { JobSettings } from './settings.ts';

type StepEvent = Extract<TrainEvent, { type: 'step' }>;

/** Points of the training curve in a result: each is the mean of the steps since the previous one. */
const CURVE_POINTS = 200;

export interface FamilyRun {
  readonly folder: JobFolder;
  readonly settings: JobSettings;
  readonly corpus: Corpus;
  readonly name: string;
  /** For training, and for decoding, where a second thread costs more than it gains. */
  readonly engines: { readonly training: Engine; readonly decoding: Engine };
  readonly signal: AbortSignal | undefined;
  readonly onStep: (event: StepEvent) => void;
  readonly onResume: (step: number) => void;
}

/** The tiny preset of a family for a job's vocabulary. */
export function tinyConfig(family: Family, corpus: Corpus) {
  const { tokenizer } = corpus;
  return {
    ...family.presets.tiny!.config,
    vocab_size: tokenizer.vocabSize,
    bos_token_id: tokenizer.bosId ?? null,
    eos_token_id: tokenizer.eosId === undefined ? [] : [tokenizer.eosId],
  };
}

/**
 * Trains one family's tiny model, generates from it and measures its speed; finished parts are read.
 *
 * @returns undefined if the signal aborted: a checkpoint has been saved.
 */
export async function runFamily(run: FamilyRun): Promise<FamilyResult | undefined> {
  const { folder, settings, corpus, name, engines, signal } = run;
  const resultFile = `${name}.json`;
  const stored = await folder.read<FamilyResult>(resultFile);
  if (stored) return stored;
  const family = familyByName(name);
  const out = folder.file(name);
  const { batch, seq, training } = settings;
  const events = train({
    ...{ family, config: tinyConfig(family, corpus), files: corpus.tokenizerFiles, tokens: corpus.tokens },
    ...training,
    ...{ batch, seq, engine: engines.training, out, resume: 'if there', signal },
  });
  for await (const event of events) {
    if (event.type === 'resumed') run.onResume(event.step);
    if (event.type === 'step') run.onStep(event);
  }
  if (signal?.aborted) return undefined;
  const metrics = await (await RunDirectory.open(out)).metrics<TrainEvent>();
  const steps = metrics.filter((event): event is StepEvent => event.type === 'step');
  const evaluations = metrics.flatMap((event) =>
    event.type === 'evaluation' ? [{ step: event.step, loss: event.loss }] : [],
  );
  const generated = await generateFrom(out, run);
  const result: FamilyResult = {
    family: name,
    title: family.title,
    validationLoss: evaluations.at(-1)!.loss,
    trainTokensPerSecond: median(steps.map(({ tokensPerSecond }) => tokensPerSecond)),
    curve: thin(steps),
    evaluations,
    ...generated,
  };
  await folder.write(resultFile, result);
  return result;
}

/** A sample, and the cost of generating it: speed and memory of the cache. */
async function generateFrom(directory: string, { settings, corpus, engines }: FamilyRun) {
  const opened = await openModel(directory);
  const decoder = await createDecoder(opened, { engine: engines.decoding });
  await opened.checkpoint.tensors.close();
  try {
    const { prompt, tokens, temperature, topP, seed } = settings.sample;
    const options = { maxTokens: tokens, temperature, topP, seed, stopTokens: opened.stopTokens };
    const cache = decoder.newCache();
    const ids: number[] = [];
    let started = performance.now();
    for await (const id of generateTokens(decoder, corpus.tokenizer.encode(prompt), options, cache)) {
      // The prompt is excluded from the speed: readers wait for single tokens.
      if (ids.length === 0) started = performance.now();
      ids.push(id);
    }
    const seconds = (performance.now() - started) / 1000;
    const context = opened.model.maxPositions;
    const full = decoder.newCache();
    const some = Int32Array.from(
      { length: context },
      (_, i) => corpus.validation[i % corpus.validation.length]!,
    );
    await decoder.forward(some, full);
    return {
      parameters: opened.model.parameterCount(),
      sample: corpus.tokenizer.decode(ids, { skipSpecialTokens: true }),
      decodeTokensPerSecond: (ids.length - 1) / seconds,
      cacheBytesPerToken: full.heldBytes / context,
      cacheContext: context,
    };
  } finally {
    await decoder.release();
  }
}

function thin(steps: readonly StepEvent[]): LossPoint[] {
  const width = Math.max(1, Math.ceil(steps.length / CURVE_POINTS));
  const points: LossPoint[] = [];
  for (let start = 0; start < steps.length; start += width) {
    const part = steps.slice(start, start + width);
    points.push({
      step: part.at(-1)!.step,
      loss: part.reduce((sum, { loss }) => sum + loss, 0) / part.length,
    });
  }
  return points;
}
