import type { TrainEvent } from '../train-event.ts';
import type { RunPlan } from './plan.ts';

/** A prompt, and how it is continued. */
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

/** The run resumes from a checkpoint. */
export interface ResumedEvent {
  readonly type: 'resumed';
  readonly step: number;
  /** What differs from how it was started, and what becomes of it: each a sentence. */
  readonly changes: readonly string[];
}

/** The model stands in the run's folder. */
export interface FinishedEvent {
  readonly type: 'finished';
  /** Steps made. */
  readonly step: number;
  /** The step whose weights the result has. */
  readonly resultStep: number;
  /** The held-out loss of the result, and of the model before its first step; absent where nothing was held out. */
  readonly loss?: number;
  readonly base?: number | null;
  readonly out: string;
  /** The HTML page about the run, where there is one. */
  readonly report?: string;
}

/** What happens in a run, in order. */
export type RunEvent =
  /** What the model's files say that is not so, or not done; before all others. */
  | { readonly type: 'warning'; readonly message: string }
  | { readonly type: 'plan'; readonly plan: RunPlan }
  | ResumedEvent
  | TrainEvent
  | SamplesEvent
  | FinishedEvent;
