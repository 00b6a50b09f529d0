import type { GuardState } from './guard.ts';
import type { LossScaleState } from './loss-scale.ts';
import type { OptimizerState } from './optimizers/optimizer.ts';

/** The record of evaluations; plain JSON. */
export interface EvaluationRecord {
  /** The step of the last evaluation; −1 before the first. */
  readonly last: number;
  /** The step whose weights are the best, and their held-out loss. */
  readonly best: BestWeights | null;
  /** Evaluations since then. */
  readonly since: number;
  /** The loss before the first step; null if it was not evaluated. */
  readonly base: number | null;
  /** What {@link BestWeights.score} was before the first step, where it was evaluated. */
  readonly baseScore?: number | undefined;
}

/** The best weights after any step: those with the lowest held-out loss, or the lowest score where there is one. */
interface BestWeights {
  readonly step: number;
  readonly loss: number;
  /** What decides instead of the loss; lower is better. */
  readonly score?: number | undefined;
}

/** Everything, besides the weights, that the next step depends on. */
export interface TrainerState {
  readonly step: number;
  readonly tokens: number;
  /** The position of the batch source; plain JSON. */
  readonly sampler: unknown;
  readonly optimizer: OptimizerState;
  readonly evaluations: EvaluationRecord;
  readonly guard?: GuardState;
  /** Where products are in float16. */
  readonly lossScale?: LossScaleState;
}

export interface StepEvent {
  readonly type: 'step';
  /** Steps so far, including this one. */
  readonly step: number;
  readonly epoch: number;
  /** Mean loss of this step's tokens before its update, in nats. */
  readonly loss: number;
  readonly learningRate: number;
  /** Before clipping; null if the step was skipped before it was computed. */
  readonly gradientNorm: number | null;
  /** Tokens trained in this run. */
  readonly tokens: number;
  /** Set if the batch was bad and nothing was updated: by how many standard deviations its loss was too high. */
  readonly skipped?: number;
  /** Set if gradients were not finite in float16 and were not used: the loss scale, which the next step halves. */
  readonly overflowed?: number;
  /** Trained tokens per second. */
  readonly tokensPerSecond: number;
  /** Average of recent steps. */
  readonly secondsPerStep: number;
  readonly secondsLeft: number;
  /** The share of the engine's peak speed, if measured: 1 would be bare matrix products. */
  readonly engineShare?: number;
}

export interface EvaluationEvent {
  readonly type: 'evaluation';
  readonly step: number;
  /** Mean over the counted held-out tokens, in nats. */
  readonly loss: number;
  readonly perplexity: number;
  readonly tokens: number;
  /** Whether these are the best weights of the run so far, including those before the first step. */
  readonly best: boolean;
  /** Whether they are the best after any step: these weights are kept, even if the model was better before training. */
  readonly bestTrained: boolean;
  /** The loss before the first step; null if it was not evaluated. */
  readonly base: number | null;
  /** What decides which weights are the best, if it is not the loss; lower is better. */
  readonly score?: number;
}

/** The moment to save: until the next event is requested, the state is that after `step`. */
export interface CheckpointEvent {
  readonly type: 'checkpoint';
  readonly step: number;
  readonly state: TrainerState;
  readonly last: boolean;
}

/** The held-out loss, or the score, has not improved for too long: no steps remain. */
export interface StoppedEvent {
  readonly type: 'stopped';
  readonly step: number;
  readonly best: BestWeights;
}

export type TrainEvent = StepEvent | EvaluationEvent | StoppedEvent | CheckpointEvent;

/** The median; 0 for an empty list. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}
