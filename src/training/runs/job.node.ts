import type { BatchSource, TrainingRows } from '../../batches.ts';
import type { CausalLM } from '../../families/family.ts';
import type { Communicator } from '../../ranks/communicator.ts';
import type { Engine } from '../../runtime/engine.ts';
import type { Learner, TrainedParameter } from '../learner.ts';
import { createOptimizer } from '../optimizers/create-optimizer.ts';
import type { Optimizer } from '../optimizers/optimizer.ts';
import type { RunRanks } from '../parallel/ranks.ts';
import { optimizerSettings, type TrainingSettings, type Verb } from '../settings.ts';
import type { Sample } from './events.ts';
import type { RunPlan } from './plan.ts';
import type { RunRecord } from './record.ts';
import type { ModelIdentity, RunDirectory } from './run-directory.node.ts';

/**
 * What a verb makes of its options before anything large is allocated: data, loss and result. All else is the same for every
 * run: see `runJob`.
 */
export interface TrainingJob {
  readonly verb: Verb['name'];
  readonly engine: Engine;
  readonly model: CausalLM;
  readonly settings: TrainingSettings;
  readonly plan: RunPlan;
  /** How every checkpoint and the result are saved. */
  readonly identity: ModelIdentity;
  /** What a resumed run must have in common with the one that was started, besides its settings. Plain JSON. */
  readonly record: RunRecord;
  /** What the files of its models say that is not so, or not done. */
  readonly warnings: readonly string[];
  /** Whether anything is known before the first step that may be lost: the loss is then measured before, too. */
  readonly startsTrained: boolean;
  /** A model that runs beside, forward alone. */
  readonly teacher?: CausalLM | undefined;
  /** Makes the optimizer, in place of the one that the settings name. */
  readonly createOptimizer?: ((parameters: readonly TrainedParameter[]) => Optimizer) | undefined;
  /** Processes that train it together; every one of them makes the same job. */
  readonly ranks?: Communicator | undefined;
  /**
   * Compiles what trains, with the first weights in it.
   *
   * @param parallel for `createLearner`, where there are ranks.
   */
  start(parallel?: { readonly ranks: RunRanks; readonly accumulate: number }): Promise<StartedJob>;
  /** Writes what the verb leaves beside the finished model. */
  describe?(run: RunDirectory, resultStep: number): Promise<{ readonly report: string }>;
  /** Closes files. */
  close(): Promise<void>;
}

/** A job whose model is in memory. */
export interface StartedJob {
  readonly learner: Learner;
  readonly training: BatchSource;
  /** Held-out rows from their beginning; absent where nothing is held out. */
  readonly validation?: (() => Iterable<TrainingRows> | AsyncIterable<TrainingRows>) | undefined;
  /** Prompts continued with the weights at hand. */
  readonly samples?: (() => Promise<Sample[]>) | undefined;
  release(): Promise<void>;
}

/** The optimizer of a job, for its learner. */
export function optimizerFor(job: TrainingJob, { parameters }: Learner): Optimizer {
  if (job.createOptimizer) return job.createOptimizer(parameters);
  const { optimizer, seed } = job.settings;
  return createOptimizer(optimizer, parameters, { ...optimizerSettings(job.settings), seed });
}
