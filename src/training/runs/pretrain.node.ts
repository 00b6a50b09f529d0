import { createHash } from 'node:crypto';
import { BatchSampler, evaluationBatches } from '../../batches.ts';
import type { CommonConfig } from '../../families/config.ts';
import type { Family } from '../../families/family.ts';
import { initializeWeights } from '../../families/initialize.ts';
import { OptionError } from '../../options.ts';
import { Random } from '../../random.ts';
import { splitCorpus } from '../../text/corpus.ts';
import { createLearner } from '../create-learner.ts';
import { frozenBy } from '../freeze.ts';
import { resolveSettings, TRAIN, type TrainingInput } from '../settings.ts';
import { deviceWarnings, type EngineOptions, engineFor } from './engine.node.ts';
import type { RunEvent } from './events.ts';
import type { TrainingJob } from './job.node.ts';
import { thisMachine } from './machine.node.ts';
import { planRun } from './plan.ts';
import type { ModelIdentity } from './run-directory.node.ts';
import { type RunOptions, runJob } from './run-job.node.ts';
import { checkSampling, samplingOf } from './samples.ts';

/** The inputs of `train` besides the options of every run. */
export interface PretrainingOptions extends TrainingInput, EngineOptions {
  readonly family: Family;
  readonly config: CommonConfig;
  /** The tokenizer's files, saved with the weights. */
  readonly files: ModelIdentity['files'];
  /** The text, Int32Array [tokens]; its end is held out. */
  readonly tokens: Int32Array;
}

/**
 * Trains a model from scratch by next-token prediction, in a run directory that can be resumed exactly.
 *
 * @throws RopewalkError for unusable settings, text or memory, and if values are not finite.
 */
export async function* train(options: PretrainingOptions & RunOptions): AsyncGenerator<RunEvent, void> {
  const { out, resume, signal, measureLimit, ...own } = options;
  yield* runJob(openPretraining(own), {
    out,
    ...(resume && { resume }),
    signal,
    ...(measureLimit && { measureLimit }),
  });
}

/** Prepares a pretraining run before anything large is allocated. */
export function openPretraining(options: PretrainingOptions): TrainingJob {
  const {
    family,
    config,
    files,
    tokens,
    engine: given,
    device,
    precision,
    threads,
    ranks,
    ...input
  } = options;
  const settings = resolveSettings(TRAIN, input);
  const { batch, seq, seed, memory } = settings;
  const model = family.build(config);
  if (seq > model.maxPositions) {
    throw new OptionError(
      'seq',
      `${seq} is longer than the model's ${model.maxPositions} positions; choose a smaller one.`,
    );
  }
  checkSampling(files, settings);
  const { training, validation } = splitCorpus(tokens, settings.validation);
  const trains = frozenBy(model, settings.freeze);
  const shape = { batch, seq };
  const sampler = () => new BatchSampler({ tokens: training, ...shape, seed });
  const data = {
    ...{ tokens: training.length, trainedTokens: training.length, validationTokens: validation.length },
    batchesPerEpoch: sampler().windows / batch,
  };
  const machine = thisMachine();
  const engine = engineFor({ engine: given, device, precision, threads, ranks });
  return {
    ...{
      verb: 'train',
      engine,
      model,
      settings,
      warnings: deviceWarnings(engine),
      startsTrained: false,
      ranks,
    },
    plan: planRun({
      ...{ model, trains, settings, shape, data, machine, ranks: ranks?.size },
      onDevice: engine.openMemory !== undefined,
      precision: engine.defaults.precision,
    }),
    identity: { family, config, files },
    record: {
      family: family.name,
      // Before the config: another text makes another vocabulary, and the message should name the text.
      'text or tokenizer': identityOf(tokens),
      config: family.writeConfig(config),
    },
    async start(parallel) {
      const learner = await createLearner(engine, model, shape, { memory, trains, parallel });
      const startOf = (path: string) => learner.slices?.rangeOf(path).start ?? 0;
      await learner.fill((values) =>
        initializeWeights(model.parameters(), values, new Random(seed), startOf),
      );
      // A model that is trained on a text continues one, whatever its tokenizer's template.
      const how = { stopTokens: config.eos_token_id, chats: false };
      const sampling = samplingOf({ engine, learner }, files, settings, how);
      return {
        learner,
        training: sampler(),
        ...(validation.length > 0 && { validation: () => evaluationBatches(validation, batch, seq) }),
        ...(sampling && { samples: () => sampling.samples() }),
        async release() {
          await sampling?.release();
          await learner.release();
        },
      };
    },
    close: async () => {},
  };
}

/** SHA-256 of the ids. */
function identityOf({ buffer, byteOffset, byteLength }: Int32Array): string {
  return createHash('sha256')
    .update(new Uint8Array(buffer, byteOffset, byteLength))
    .digest('hex');
}
