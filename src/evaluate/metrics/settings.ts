import type { OutputType } from '../tasks/config.ts';
import { FieldReader } from '../tasks/field-reader.ts';
import { AGGREGATIONS, type Aggregation } from './aggregations.ts';
import { type ExactMatchSettings, readExactMatch } from './exact-match.ts';

/** A metric of a task. */
export interface MetricSettings {
  readonly name: string;
  readonly aggregation: Aggregation;
  readonly higherIsBetter: boolean;
  readonly exactMatch: ExactMatchSettings;
}

interface Known {
  readonly aggregation: Aggregation;
  readonly higherIsBetter: boolean;
  readonly of: readonly OutputType[];
}

const CHOICE = ['multiple_choice'] as const;
const GENERATED = ['generate_until'] as const;
const ROLLING = ['loglikelihood_rolling'] as const;

/** The supported metrics of the harness: what they apply to, and their default aggregation. */
const METRICS: Readonly<Record<string, Known>> = {
  acc: { aggregation: 'mean', higherIsBetter: true, of: ['loglikelihood', 'multiple_choice'] },
  acc_norm: { aggregation: 'mean', higherIsBetter: true, of: CHOICE },
  acc_bytes: { aggregation: 'mean', higherIsBetter: true, of: CHOICE },
  acc_mutual_info: { aggregation: 'mean', higherIsBetter: true, of: CHOICE },
  exact_match: { aggregation: 'mean', higherIsBetter: true, of: ['multiple_choice', 'generate_until'] },
  f1: { aggregation: 'f1', higherIsBetter: true, of: CHOICE },
  mcc: { aggregation: 'matthews_corrcoef', higherIsBetter: true, of: CHOICE },
  brier_score: { aggregation: 'brier_score', higherIsBetter: false, of: CHOICE },
  bleu: { aggregation: 'bleu', higherIsBetter: true, of: GENERATED },
  chrf: { aggregation: 'chrf', higherIsBetter: true, of: GENERATED },
  ter: { aggregation: 'ter', higherIsBetter: false, of: GENERATED },
  'chrf++': { aggregation: 'chrf++', higherIsBetter: true, of: GENERATED },
  perplexity: { aggregation: 'perplexity', higherIsBetter: false, of: ['loglikelihood'] },
  word_perplexity: { aggregation: 'weighted_perplexity', higherIsBetter: false, of: ROLLING },
  byte_perplexity: { aggregation: 'weighted_perplexity', higherIsBetter: false, of: ROLLING },
  bits_per_byte: { aggregation: 'bits_per_byte', higherIsBetter: false, of: ROLLING },
};

/** The metrics of a task without `metric_list`. */
const DEFAULTS: Readonly<Record<OutputType, readonly string[]>> = {
  loglikelihood: ['perplexity', 'acc'],
  loglikelihood_rolling: ['word_perplexity', 'byte_perplexity', 'bits_per_byte'],
  multiple_choice: ['acc', 'acc_norm'],
  generate_until: ['exact_match'],
};

/** @throws RopewalkError naming a metric, an aggregation or a setting that is not supported. */
export function readMetrics(fields: FieldReader, outputType: OutputType): readonly MetricSettings[] {
  const list = fields.list('metric_list') ?? DEFAULTS[outputType].map((metric) => ({ metric }));
  if (list.length === 0) fields.refuse('metric_list', 'it is empty; name a metric, or leave it out');
  return list.map((entry, i) => {
    const where = `${fields.where}: "metric_list", entry ${i + 1}`;
    return readMetric(new FieldReader((entry ?? {}) as Record<string, unknown>, where), outputType);
  });
}

function readMetric(entry: FieldReader, outputType: OutputType): MetricSettings {
  const name = entry.text('metric');
  if (name === undefined) entry.refuse('metric', 'it is missing: name a metric');
  const known = Object.hasOwn(METRICS, name) ? METRICS[name] : undefined;
  if (!known)
    entry.refuse('metric', `there is no metric ${name} here; known: ${Object.keys(METRICS).join(', ')}`);
  if (!known.of.includes(outputType)) {
    entry.refuse('metric', `${name} is not for tasks whose output_type is ${outputType}`);
  }
  entry.flag('hf_evaluate');
  const settings = {
    name,
    aggregation: entry.choice('aggregation', AGGREGATIONS, known.aggregation),
    higherIsBetter: entry.flag('higher_is_better') ?? known.higherIsBetter,
    exactMatch: readExactMatch(entry),
  };
  // The harness only passes them to metrics of generated texts.
  entry.end(outputType === 'generate_until' ? [] : ['weight_by_size', 'average']);
  return settings;
}
