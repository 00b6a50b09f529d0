import type { Aggregation } from './metrics/aggregations.ts';
import type { OutputType } from './tasks/config.ts';

/** A metric of a task or of a group. */
export interface MetricResult {
  readonly metric: string;
  /** The pipeline of filters that it was taken after; `none` where there is none. */
  readonly filter: string;
  readonly value: number;
  /** Null where there is no formula for it. */
  readonly standardError: number | null;
  readonly higherIsBetter: boolean;
  /** How the values of the items are summed up; of a group, those of the tasks. */
  readonly aggregation: Aggregation;
}

export interface TaskResult {
  readonly task: string;
  readonly alias: string;
  readonly version: string;
  readonly outputType: OutputType;
  /** Items that were evaluated, of those in the split. */
  readonly items: number;
  readonly available: number;
  readonly shots: number;
  readonly metrics: readonly MetricResult[];
}

export interface GroupResult {
  readonly group: string;
  readonly alias: string;
  readonly items: number;
  readonly tasks: readonly string[];
  readonly metrics: readonly MetricResult[];
}

/** What became of an item: a line of its task's file. */
export interface ItemResult {
  readonly task: string;
  readonly item: number;
  readonly doc: unknown;
  readonly target: unknown;
  readonly choices?: readonly string[] | undefined;
  readonly requests: readonly unknown[];
  readonly answers: readonly unknown[];
  /** What each pipeline of filters made of the answers, where they are texts. */
  readonly filtered?: Readonly<Record<string, unknown>> | undefined;
  /** By `metric,filter`. */
  readonly scores: Readonly<Record<string, unknown>>;
}

/** The evaluation of a model. Plain JSON. */
export interface EvaluationResult {
  readonly model: string;
  readonly chat: boolean;
  readonly limit: number | null;
  readonly tasks: readonly TaskResult[];
  readonly groups: readonly GroupResult[];
}
