import type { TrainEvent } from '../train-event.ts';
import type { RunPlan } from './plan.ts';

/** A prompt and its continuation. */
export interface Sample {
  readonly prompt: string;
  readonly text: string;
}

/** Prompts continued with the weights after a step. */
export interface SamplesEvent {
  readonly type: 'samples';
  readonly step: number;
  readonly samples: readonly Sample[];
}

/** A task's metrics with the weights after a step, and the values of its items. */
export interface TaskScores {
  readonly task: string;
  readonly items: number;
  readonly metrics: readonly {
    readonly metric: string;
    readonly filter: string;
    readonly value: number;
    readonly standardError: number | null;
  }[];
  /** Everything that a comparison with another step needs. Plain JSON. */
  readonly details: unknown;
}

/** Tasks evaluated with the weights after a step. */
export interface TasksEvent {
  readonly type: 'tasks';
  readonly step: number;
  readonly tasks: readonly TaskScores[];
}

/** The run resumes from a checkpoint. */
export interface ResumedEvent {
  readonly type: 'resumed';
  readonly step: number;
  /** Differences from the original settings, and their effects: a sentence each. */
  readonly changes: readonly string[];
}

/** The model is in the run's folder. */
export interface FinishedEvent {
  readonly type: 'finished';
  /** Steps so far. */
  readonly step: number;
  /** The step of the result's weights. */
  readonly resultStep: number;
  /** The held-out loss of the result, and of the model before the first step; absent if nothing was held out. */
  readonly loss?: number;
  readonly base?: number | null;
  readonly out: string;
  /** The HTML report of the run, if there is one. */
  readonly report?: string;
}

/** The events of a run, in order. */
export type RunEvent =
  /** A statement of the model's files that is wrong or not followed; before all other events. */
  | { readonly type: 'warning'; readonly message: string }
  | { readonly type: 'plan'; readonly plan: RunPlan }
  | ResumedEvent
  | TrainEvent
  | SamplesEvent
  | TasksEvent
  | FinishedEvent;
