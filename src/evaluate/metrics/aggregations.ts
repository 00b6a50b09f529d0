import { RopewalkError } from '../../errors.ts';
import { editRate } from './edit-rate.ts';
import { bleu, chrf } from './translation.ts';

export const AGGREGATIONS = [
  ...(['mean', 'median', 'nanmean', 'perplexity', 'weighted_perplexity', 'bits_per_byte'] as const),
  ...(['f1', 'matthews_corrcoef', 'brier_score', 'bleu', 'chrf', 'chrf++', 'ter'] as const),
] as const;
export type Aggregation = (typeof AGGREGATIONS)[number];

/**
 * A metric's value for an item: a number; a log-likelihood with its words or bytes; the right choice and the chosen
 * one; the right choice and the probabilities of all; or counts to add up.
 */
export type ItemValue = number | readonly [number, number] | readonly [number, readonly number[]] | Counts;

/** Counts for a text and its reference: see `bleuCounts`, `chrfCounts` and `editCounts`. */
export interface Counts {
  readonly counts: readonly number[];
}

export function isCounts(value: ItemValue): value is Counts {
  return typeof value === 'object' && 'counts' in value;
}

/**
 * Aggregates a metric over all items, in the order and with the formulas of the harness.
 *
 * @throws RopewalkError for values of the wrong kind.
 */
export function aggregate(aggregation: Aggregation, values: readonly ItemValue[]): number {
  switch (aggregation) {
    case 'mean':
      return mean(numbers(values));
    case 'median':
      return [...numbers(values)].sort((a, b) => a - b)[Math.floor(values.length / 2)]!;
    case 'nanmean': {
      const known = numbers(values).filter((value) => !Number.isNaN(value));
      return known.length === 0 ? Number.NaN : mean(known);
    }
    case 'perplexity':
      return Math.exp(-mean(numbers(values)));
    case 'weighted_perplexity':
      return Math.exp(-weightedMean(pairs(values)));
    case 'bits_per_byte':
      return -weightedMean(pairs(values)) / Math.LN2;
    case 'f1':
      return f1(pairs(values));
    case 'matthews_corrcoef':
      return matthews(pairs(values));
    case 'brier_score':
      return brier(values as readonly (readonly [number, readonly number[]])[]);
    case 'bleu':
      return bleu(added(values));
    case 'chrf':
    case 'chrf++':
      return chrf(added(values));
    case 'ter':
      return editRate(added(values));
  }
}

export function mean(values: readonly number[]): number {
  let sum = 0;
  for (const value of values) sum += value;
  return sum / values.length;
}

function numbers(values: readonly ItemValue[]): readonly number[] {
  if (values.every((value) => typeof value === 'number')) return values as readonly number[];
  throw new RopewalkError('the aggregation is for one number of each item, but the metric has pairs');
}

function pairs(values: readonly ItemValue[]): readonly (readonly [number, number])[] {
  const isPair = (value: ItemValue) =>
    typeof value !== 'number' && !isCounts(value) && typeof value[1] === 'number';
  if (values.every(isPair)) {
    return values as readonly (readonly [number, number])[];
  }
  throw new RopewalkError('the aggregation is for pairs of numbers, which the metric does not have');
}

function added(values: readonly ItemValue[]): number[] {
  const sums: number[] = [];
  for (const value of values) {
    if (!isCounts(value)) {
      throw new RopewalkError(
        'the aggregation is for texts that are compared, which the metric does not have',
      );
    }
    value.counts.forEach((count, i) => {
      sums[i] = (sums[i] ?? 0) + count;
    });
  }
  return sums;
}

function weightedMean(values: readonly (readonly [number, number])[]): number {
  let [sum, weight] = [0, 0];
  for (const [value, by] of values) {
    sum += value;
    weight += by;
  }
  return sum / weight;
}

/** F1 of class 1, like scikit-learn's `f1_score` for two classes. */
function f1(values: readonly (readonly [number, number])[]): number {
  let [both, right, chosen] = [0, 0, 0];
  for (const [gold, prediction] of values) {
    if (!isBinary(gold) || !isBinary(prediction)) {
      throw new RopewalkError('f1 is for two choices, numbered 0 and 1; use acc for more');
    }
    if (gold === 1) right++;
    if (prediction === 1) chosen++;
    if (gold === 1 && prediction === 1) both++;
  }
  return right + chosen === 0 ? 0 : (2 * both) / (right + chosen);
}

const isBinary = (label: number) => label === 0 || label === 1;

/** Matthews' correlation for any number of classes (Gorodkin 2004), 0 if undefined. */
function matthews(values: readonly (readonly [number, number])[]): number {
  const gold = new Map<number, number>();
  const chosen = new Map<number, number>();
  let same = 0;
  for (const [a, b] of values) {
    gold.set(a, (gold.get(a) ?? 0) + 1);
    chosen.set(b, (chosen.get(b) ?? 0) + 1);
    if (a === b) same++;
  }
  const { length } = values;
  const squares = (counts: ReadonlyMap<number, number>) => {
    let sum = 0;
    for (const count of counts.values()) sum += count * count;
    return length * length - sum;
  };
  let crossed = 0;
  for (const [label, count] of gold) crossed += count * (chosen.get(label) ?? 0);
  const spread = squares(gold) * squares(chosen);
  return spread === 0 ? 0 : (same * length - crossed) / Math.sqrt(spread);
}

function brier(values: readonly (readonly [number, readonly number[]])[]): number {
  const classes = values[0]![1].length;
  let sum = 0;
  for (const [gold, probabilities] of values) {
    if (probabilities.length !== classes || gold < 0 || gold >= classes) {
      throw new RopewalkError('brier_score is for items with the same number of choices');
    }
    probabilities.forEach((probability, i) => {
      sum += (probability - (i === gold ? 1 : 0)) ** 2;
    });
  }
  return sum / values.length;
}
