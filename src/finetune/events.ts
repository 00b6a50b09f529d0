import type { TrainEvent } from '../training/train-event.ts';
import type { FinetunePlan } from './plan.ts';
import type { Sample } from './samples.ts';

/** Prompts continued with the weights after a step. */
export interface SamplesEvent {
  readonly type: 'samples';
  readonly step: number;
  readonly samples: readonly Sample[];
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
  /** The HTML page about the run. */
  readonly report: string;
}

/** What happens while a model is fine-tuned, in order. */
export type FinetuneEvent =
  /** What the model's files say that is not so, or not done; before all others. */
  | { readonly type: 'warning'; readonly message: string }
  | { readonly type: 'plan'; readonly plan: FinetunePlan }
  | { readonly type: 'resumed'; readonly step: number }
  | WithEngineShare<TrainEvent>
  | SamplesEvent
  | FinishedEvent;

/** Steps say beside how much of what the engine can do at most they do: 1 would be bare matrix products. */
export type WithEngineShare<E> = E extends { readonly type: 'step' }
  ? E & { readonly engineShare: number }
  : E;
