import { BatchSampler, evaluationBatches } from '../../batches.ts';
import { RopewalkError } from '../../errors.ts';
import type { CommonConfig } from '../../families/config.ts';
import type { Family } from '../../families/family.ts';
import { initializeWeights } from '../../families/initialize.ts';
import { Random } from '../../random.ts';
import type { Engine } from '../../runtime/engine.ts';
import type { SequenceShape } from '../graph.ts';
import { AdamW } from '../optimizers/optimizer.ts';
import { type TrainEvent, Trainer, type TrainerSettings } from '../trainer.ts';
import { WholeGraphLearner } from '../whole-graph-learner.ts';
import { type ModelIdentity, RunDirectory, type RunRecord } from './run.node.ts';
import { lockRun } from './run-lock.node.ts';
import { checkSameRun } from './run-record.ts';

export interface PretrainSettings extends TrainerSettings {
  readonly weightDecay: number;
  readonly betas: readonly [number, number];
  readonly eps: number;
  /** Of the weights and of the order of the data. */
  readonly seed: number;
}

export interface PretrainOptions {
  readonly family: Family;
  readonly config: CommonConfig;
  /** The tokenizer's files, saved beside the weights. */
  readonly files: ModelIdentity['files'];
  readonly training: Int32Array;
  readonly validation: Int32Array;
  readonly shape: SequenceShape;
  readonly settings: PretrainSettings;
  readonly out: string;
  /** Checkpoints kept; at least 1. */
  readonly keep: number;
  /** Whether a run in `out` is gone on with: never, if there is one, or surely. */
  readonly resume: 'never' | 'if there' | 'must';
  /** What identifies the text, such as a hash: a resumed run must have the same. */
  readonly dataIdentity: string;
}

export type PretrainEvent = TrainEvent | { readonly type: 'resumed'; readonly step: number };

/**
 * Trains a model from scratch by next-token prediction, in a run directory that can be resumed exactly. When the
 * signal aborts, the step at hand is finished and a checkpoint saved.
 */
export async function* pretrain(
  engine: Engine,
  options: PretrainOptions,
  signal?: AbortSignal,
): AsyncGenerator<PretrainEvent, void> {
  const { family, config, settings, shape, out } = options;
  const record = JSON.parse(
    JSON.stringify({
      format: 1,
      family: family.name,
      // Before the config: another text makes another vocabulary, and the text is what to name.
      'text or tokenizer': options.dataIdentity,
      config: family.writeConfig(config),
      shape,
      settings,
    }),
  ) as RunRecord;
  const model = family.build(config);
  if (shape.seq > model.maxPositions) {
    throw new RopewalkError(
      `the sequence length ${shape.seq} is longer than the model's ${model.maxPositions} positions; choose a smaller --seq.`,
    );
  }
  const resuming = options.resume === 'must' || (options.resume === 'if there' && RunDirectory.exists(out));
  const stored = resuming ? await RunDirectory.open(out) : undefined;
  if (stored) checkSameRun(stored.record, record, out);
  else await RunDirectory.checkFree(out);

  const lock = await lockRun(out);
  let learner: WholeGraphLearner | undefined;
  try {
    learner = await WholeGraphLearner.create(engine, model, shape);
    const { seed, betas, eps, weightDecay } = settings;
    initializeWeights(model.parameters(), learner.values(), new Random(seed));
    const parts = {
      learner,
      training: new BatchSampler({ tokens: options.training, ...shape, seed }),
      validation: () => evaluationBatches(options.validation, shape.batch, shape.seq),
      optimizer: new AdamW(learner.trainables, { betas, eps, weightDecay }),
    };
    const trainer = new Trainer(parts, settings);
    // Only now, so that settings and data that are refused leave no run behind.
    const run = stored ?? (await RunDirectory.create(out, record));
    if (stored) yield { type: 'resumed', step: await run.restore(learner, trainer) };
    const identity: ModelIdentity = { family, config, files: options.files };
    for await (const event of trainer.run(signal)) {
      await run.log(event);
      if (event.type === 'checkpoint') {
        await run.save(learner, identity, event.state, options.keep);
        if (event.last) await run.finish(learner, identity);
      }
      yield event;
    }
  } finally {
    await learner?.release();
    await lock.release();
  }
}
