import { BatchSampler, evaluationBatches } from '../batches.ts';
import { RopewalkError } from '../errors.ts';
import { initializeWeights } from '../families/initialize.ts';
import { findPreset } from '../families/registry.ts';
import { cacheBytes } from '../inspect/costs.ts';
import { Random } from '../random.ts';
import type { Engine } from '../runtime/engine.ts';
import type { SequenceShape } from '../training/graph.ts';
import { AdamW } from '../training/optimizers/optimizer.ts';
import { median } from '../training/train-event.ts';
import { Trainer, type TrainerSettings } from '../training/trainer.ts';
import { WholeGraphLearner } from '../training/whole-graph-learner.ts';
import { confidence, type Interval } from './interval.ts';
import type { Ladder } from './ladder.ts';

/** Everything that the numbers depend on, but the machine. Plain JSON. */
export interface AblationSettings {
  readonly from: string;
  readonly to: string;
  readonly seeds: readonly number[];
  readonly shape: SequenceShape;
  readonly training: Omit<TrainerSettings, 'evalEvery' | 'saveEvery'>;
  readonly weightDecay: number;
}

export interface AblationCorpus {
  readonly training: Int32Array;
  readonly validation: Int32Array;
  readonly vocabSize: number;
}

/** One model trained with one seed. */
export interface AblationRun {
  readonly rung: number;
  readonly seed: number;
  /** On the held-out tokens, nats per token. */
  readonly loss: number;
  readonly tokensPerSecond: number;
}

export interface RungResult {
  readonly name: string;
  readonly change: string | null;
  readonly parameters: number;
  /** Bytes of the caches in float32 at the longest context. */
  readonly cacheBytes: number;
  readonly loss: Interval;
  /** Beside the rung below, seed by seed: what the change alone buys. Null for the first. */
  readonly gain: Interval | null;
  readonly tokensPerSecond: number;
}

export interface AblationResult {
  readonly settings: AblationSettings;
  readonly rungs: readonly RungResult[];
  readonly runs: readonly AblationRun[];
}

function rungModel(name: string, vocabSize: number) {
  const found = findPreset(name);
  if (!found) throw new RopewalkError(`there is no preset "${name}".`);
  const { family, preset } = found;
  return family.build({ ...preset.config, vocab_size: vocabSize });
}

/** Trains a rung's model with a seed, of its weights and of the order of the data. */
export async function runRung(
  engine: Engine,
  name: string,
  corpus: AblationCorpus,
  settings: AblationSettings,
  seed: number,
): Promise<Pick<AblationRun, 'loss' | 'tokensPerSecond'>> {
  const { shape, training, weightDecay } = settings;
  const model = rungModel(name, corpus.vocabSize);
  const learner = await WholeGraphLearner.create(engine, model, shape);
  try {
    initializeWeights(model.parameters(), learner.values(), new Random(seed));
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
    for await (const event of trainer.run()) {
      if (event.type === 'step') speeds.push(event.tokensPerSecond);
      if (event.type === 'evaluation') loss = event.loss;
    }
    return { loss, tokensPerSecond: median(speeds) };
  } finally {
    await learner.release();
  }
}

/** What each change buys, from the runs of all rungs and seeds. */
export function summarizeAblation(
  { rungs }: Ladder,
  settings: AblationSettings,
  runs: readonly AblationRun[],
  vocabSize: number,
): AblationResult {
  const lossOf = (rung: number, seed: number) => {
    const run = runs.find((each) => each.rung === rung && each.seed === seed);
    if (!run) throw new RopewalkError(`the run of rung ${rung} with seed ${seed} is missing; run it again.`);
    return run.loss;
  };
  return {
    settings,
    runs,
    rungs: rungs.map(({ name, change }, rung) => {
      const model = rungModel(name, vocabSize);
      const { seeds } = settings;
      const own = runs.filter((run) => run.rung === rung);
      return {
        ...{ name, change },
        parameters: model.parameterCount(),
        cacheBytes: cacheBytes(model, model.maxPositions, 'float32'),
        loss: confidence(seeds.map((seed) => lossOf(rung, seed))),
        gain:
          rung === 0 ? null : confidence(seeds.map((seed) => lossOf(rung, seed) - lossOf(rung - 1, seed))),
        tokensPerSecond: median(own.map(({ tokensPerSecond }) => tokensPerSecond)),
      };
    }),
  };
}
