import type { BatchSource, TrainingRows } from '../../batches.ts';
import { option as named, said } from '../../errors.ts';
import type { CausalLM } from '../../families/family.ts';
import { OptionError } from '../../options.ts';
import type { Communicator } from '../../ranks/communicator.ts';
import type { Engine } from '../../runtime/engine.ts';
import type { Learner, TrainedParameter } from '../learner.ts';
import { createLearnerOptimizer } from '../learner-optimizer.ts';
import { NewRowsOptimizer, type NewRowsPhase, newRowsOf } from '../new-rows.ts';
import { createOptimizer, optimizerRecord } from '../optimizers/create-optimizer.ts';
import type { Optimizer } from '../optimizers/optimizer.ts';
import type { Parallel } from '../parallel/parallel.ts';
import { RunRanks } from '../parallel/ranks.ts';
import { optimizerSettings, type TrainingSettings, type Verb } from '../settings.ts';
import type { Sample, TaskScores } from './events.ts';
import type { RunPlan } from './plan.ts';
import type { RunRecord } from './record.ts';
import type { ModelIdentity, RunDirectory } from './run-directory.node.ts';

/**
 * What a command makes of its options before anything large is allocated: data, loss and result. Everything else is
 * the same for every run; see `runJob`.
 */
export interface TrainingJob {
  readonly verb: Verb['name'];
  readonly engine: Engine;
  readonly model: CausalLM;
  readonly settings: TrainingSettings;
  readonly plan: RunPlan;
  /** How all checkpoints and the result are saved. */
  readonly identity: ModelIdentity;
  /** What a resumed run must share with the original run, besides its settings. Plain JSON. */
  readonly record: RunRecord;
  /** Statements of the model files that are wrong or not followed. */
  readonly warnings: readonly string[];
  /** Whether the model has knowledge to lose before the first step: the loss is then also measured before it. */
  readonly startsTrained: boolean;
  /** A second model that only runs forward. */
  readonly teacher?: CausalLM | undefined;
  /** Creates the optimizer in place of the one in the settings. */
  readonly createOptimizer?: ((parameters: readonly TrainedParameter[]) => Optimizer) | undefined;
  /** Only the rows of new tokens are trained first. */
  readonly newRows?: NewRowsPhase | undefined;
  /** Processes that train it together; every one of them makes the same job. */
  readonly ranks?: Communicator | undefined;
  /**
   * Compiles what trains, with the first weights in it.
   *
   * @param parallel for `createLearner`, where there are ranks.
   */
  start(parallel?: Parallel): Promise<StartedJob>;
  /** Writes the command's additional files next to the finished model. */
  describe?(run: RunDirectory, resultStep: number): Promise<{ readonly report: string }>;
  /** Closes files. */
  close(): Promise<void>;
}

/** A job whose model is in memory. */
export interface StartedJob {
  readonly learner: Learner;
  readonly training: BatchSource;
  /** Held-out rows from the beginning; absent if nothing is held out. */
  readonly validation?: (() => Iterable<TrainingRows> | AsyncIterable<TrainingRows>) | undefined;
  /** Prompts continued with the current weights. */
  readonly samples?: (() => Promise<Sample[]>) | undefined;
  /** Tasks evaluated with the current weights. */
  readonly tasks?: (() => Promise<TaskScores[]>) | undefined;
  /** Where the tasks decide which weights are the best: the score, of which less is better. */
  readonly scoreOf?: ((tasks: readonly TaskScores[]) => number) | undefined;
  release(): Promise<void>;
}

/**
 * A job's ranks, if it has any, and how they train together.
 *
 * @param signal this process's wish to stop.
 * @throws OptionError for what cannot be sharded.
 */
export function parallelOf(job: TrainingJob, signal?: AbortSignal): Parallel | undefined {
  const { ranks, settings } = job;
  const { accumulate, shard, wire, optimizer } = settings;
  if (shard !== 'none' && job.newRows) {
    throw new OptionError(
      'shard',
      said`the rows that ${named('trainNewRowsFirst')} updates are not divided among ranks; leave one of the two out.`,
    );
  }
  if (shard !== 'none' && job.createOptimizer) {
    throw new OptionError(
      'shard',
      said`an optimizer of the caller updates whole weights; choose ${named('shard', 'none')}.`,
    );
  }
  const wholeWeights = optimizerRecord(optimizer).needsWholeWeights ?? false;
  return ranks && { ranks: new RunRanks(ranks, signal), accumulate, shard, wire, wholeWeights };
}

/** The optimizer of a job, for its learner. */
export async function optimizerFor(job: TrainingJob, learner: Learner): Promise<Optimizer> {
  const { parameters, onDevice } = learner;
  const { optimizer, seed } = job.settings;
  if (onDevice) {
    refuseOnDevice(job);
    return createLearnerOptimizer(job.engine, learner, optimizer, optimizerSettings(job.settings));
  }
  const create = (trained: readonly TrainedParameter[]) =>
    job.createOptimizer?.(trained) ??
    createOptimizer(optimizer, trained, { ...optimizerSettings(job.settings), seed });
  if (!job.newRows) return create(parameters);
  const rows = newRowsOf(parameters, job.newRows);
  return new NewRowsOptimizer(
    create(parameters),
    create(rows),
    rows.map(({ name }) => name),
  );
}

/** @throws OptionError for what is not done where weights are on a device. */
function refuseOnDevice({ createOptimizer, newRows }: TrainingJob): void {
  if (createOptimizer) {
    throw new OptionError(
      'device',
      said`an optimizer of the caller updates arrays of the host; leave it out, or train on the CPU (${named('device', 'cpu')}).`,
    );
  }
  if (newRows) {
    throw new OptionError(
      'device',
      said`${named('trainNewRowsFirst')} updates single rows, which is done on the CPU only; leave one of the two out.`,
    );
  }
}
