import type { GuardState } from './guard.ts';
import type { OptimizerState } from './optimizers/optimizer.ts';

/** What evaluations have shown so far; plain JSON. */
export interface EvaluationRecord {
  /** The step of the last one; −1 before there is one. */
  readonly last: number;
  /** The lowest held-out loss of those after a step, and its step. */
  readonly best: { readonly step: number; readonly loss: number } | null;
  /** Evaluations since then. */
  readonly since: number;
  /** The loss before the first step; null where that was not evaluated. */
  readonly base: number | null;
}

/** Everything, besides the weights, that the next step depends on. */
export interface TrainerState {
  readonly step: number;
  readonly tokens: number;
  /** Where the source of batches is; plain JSON. */
  readonly sampler: unknown;
  readonly optimizer: OptimizerState;
  readonly evaluations: EvaluationRecord;
  readonly guard?: GuardState;
}

export interface StepEvent {
  readonly type: 'step';
  /** Steps made, this one included. */
  readonly step: number;
  readonly epoch: number;
  /** Mean loss of this step's tokens before its update, in nats. */
  readonly loss: number;
  readonly learningRate: number;
  /** Before clipping; null where the step was skipped before there was one. */
  readonly gradientNorm: number | null;
  /** Trained tokens of this run. */
  readonly tokens: number;
  /** Set where the batch was bad and nothing was updated: by how many standard deviations its loss was too high. */
  readonly skipped?: number;
  /** Trained tokens. */
  readonly tokensPerSecond: number;
  /** Of recent steps. */
  readonly secondsPerStep: number;
  readonly secondsLeft: number;
  /** How much of what the engine can do at most it does, where that was measured: 1 would be bare matrix products. */
  readonly engineShare?: number;
}

export interface EvaluationEvent {
  readonly type: 'evaluation';
  readonly step: number;
  /** Mean over the held-out tokens that count, in nats. */
  readonly loss: number;
  readonly perplexity: number;
  readonly tokens: number;
  /** Whether this is the lowest loss of the run so far, the one before the first step included. */
  readonly best: boolean;
  /** Whether it is the lowest of those after a step: the weights to keep, even where the model was better before. */
  readonly bestTrained: boolean;
  /** The loss before the first step; null where that was not evaluated. */
  readonly base: number | null;
}

/** The moment to save: the state is that after `step`, until the next event is asked for. */
export interface CheckpointEvent {
  readonly type: 'checkpoint';
  readonly step: number;
  readonly state: TrainerState;
  readonly last: boolean;
}

/** The held-out loss has not fallen for too long: no step follows. */
export interface StoppedEvent {
  readonly type: 'stopped';
  readonly step: number;
  readonly best: { readonly step: number; readonly loss: number };
}

export type TrainEvent = StepEvent | EvaluationEvent | StoppedEvent | CheckpointEvent;

/** The middle of what was measured of many steps; 0 of none. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}
