import { BatchSampler, evaluationBatches } from '../batches.ts';
import { RopewalkError } from '../errors.ts';
import { initializeWeights } from '../families/initialize.ts';
import { findPreset } from '../families/registry.ts';
import { cacheBytes } from '../inspect/costs.ts';
import { Random } from '../random.ts';
import type { Engine } from '../runtime/engine.ts';
import { AdamW } from '../training/optimizers/optimizer.ts';
import { median } from '../training/train-event.ts';
import { Trainer } from '../training/trainer.ts';
import { WholeGraphLearner } from '../training/whole-graph-learner.ts';
import { confidence } from './interval.ts';
import type { Ladder } from './ladder.ts';
import type { AblationResult, AblationRun, AblationSettings } from './result.ts';

export interface AblationCorpus {
  readonly training: Int32Array;
  readonly validation: Int32Array;
  readonly vocabSize: number;
}

function rungModel(name: string, vocabSize: number) {
  const found = findPreset(name);
  if (!found) throw new RopewalkError(`there is no preset "${name}".`);
  const { family, preset } = found;
  return family.build({ ...preset.config, vocab_size: vocabSize });
}

/**
 * Trains a model of the ladder. The seed determines its weights and the order of its data.
 *
 * @returns undefined if the signal aborted.
 * @throws RopewalkError if the loss is not finite at the end.
 */
export async function runRung(
  engine: Engine,
  name: string,
  corpus: AblationCorpus,
  settings: AblationSettings,
  seed: number,
  signal?: AbortSignal,
): Promise<Pick<AblationRun, 'loss' | 'tokensPerSecond'> | undefined> {
  const { shape, training, weightDecay } = settings;
  const model = rungModel(name, corpus.vocabSize);
  const learner = await WholeGraphLearner.create(engine, model, shape);
  try {
    await learner.fill((values) => initializeWeights(model.parameters(), values, new Random(seed)));
    const trainer = new Trainer(
      {
        learner,
        training: new BatchSampler({ tokens: corpus.training, ...shape, seed }),
        validation: () => evaluationBatches(corpus.validation, shape.batch, shape.seq),
        optimizer: new AdamW(learner.trainables, { beta1: 0.9, beta2: 0.95, weightDecay }),
      },
      { ...training, evalEvery: 0, saveEvery: 0 },
    );
    const speeds: number[] = [];
    let loss = Number.NaN;
    for await (const event of trainer.run(signal)) {
      if (event.type === 'step') speeds.push(event.tokensPerSecond);
      if (event.type === 'evaluation') loss = event.loss;
    }
    if (signal?.aborted) return undefined;
    if (!Number.isFinite(loss)) {
      throw new RopewalkError(`${name} with seed ${seed} diverged: its held-out loss is ${loss}.`);
    }
    return { loss, tokensPerSecond: median(speeds) };
  } finally {
    await learner.release();
  }
}

/** What each change gains, from the runs of all models and seeds. */
export function summarizeAblation(
  { rungs, rest }: Ladder,
  settings: AblationSettings,
  runs: readonly AblationRun[],
  vocabSize: number,
): AblationResult {
  const { seeds } = settings;
  const runOf = (rung: number, seed: number) => {
    const run = runs.find((each) => each.rung === rung && each.seed === seed);
    if (!run) throw new RopewalkError(`the run of rung ${rung} with seed ${seed} is missing; run it again.`);
    return run;
  };
  return {
    settings,
    rest,
    runs,
    rungs: rungs.map(({ name, change }, rung) => {
      const model = rungModel(name, vocabSize);
      const own = seeds.map((seed) => runOf(rung, seed));
      // Compared seed by seed: the seed's effect on both models cancels.
      const beside = (compare: (run: AblationRun, above: AblationRun) => number) =>
        rung === 0 ? null : confidence(own.map((run) => compare(run, runOf(rung - 1, run.seed))));
      return {
        ...{ name, change },
        parameters: model.parameterCount(),
        cacheBytes: cacheBytes(model, model.maxPositions, 'float32'),
        loss: confidence(own.map(({ loss }) => loss)),
        lossChange: beside((run, above) => run.loss - above.loss),
        tokensPerSecond: confidence(own.map(({ tokensPerSecond }) => tokensPerSecond)),
        speedChange: beside((run, above) => run.tokensPerSecond / above.tokensPerSecond - 1),
      };
    }),
  };
}
