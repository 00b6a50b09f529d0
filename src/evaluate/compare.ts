import { confidence } from '../ablate/interval.ts';
import { RopewalkError } from '../errors.ts';
import { type Aggregation, aggregate, type ItemValue, isCounts } from './metrics/aggregations.ts';
import { editRate } from './metrics/edit-rate.ts';
import { bleu, chrf } from './metrics/translation.ts';
import { PythonRandom } from './python/random.ts';
import type { TaskResult } from './results.ts';

/** A metric of a task before and after, over the same items. */
export interface MetricComparison {
  readonly task: string;
  readonly metric: string;
  readonly filter: string;
  readonly before: number;
  readonly after: number;
  /** after − before. */
  readonly difference: number;
  /** 95 % confidence interval of the difference; null for one item. */
  readonly interval: readonly [number, number] | null;
  /** How likely a difference this large is where the models are equally good; two-sided. */
  readonly p: number | null;
  readonly test: 'McNemar' | 'permutation';
  readonly higherIsBetter: boolean;
  /** Numbers of the items that are better after, and worse. */
  readonly won: readonly number[];
  readonly lost: readonly number[];
  readonly items: number;
}

const DRAWS = 10_000;
const SEED = 1;

/** A task with the values of its items, by `metric,filter`. */
export interface ComparedTask {
  readonly result: Pick<TaskResult, 'task' | 'items' | 'metrics'>;
  readonly values: ReadonlyMap<string, readonly ItemValue[]>;
}

/**
 * Compares two evaluations of the same items, in pairs: what is hard for both does not blur the difference.
 *
 * @throws RopewalkError where the items are not the same.
 */
export function compareEvaluations(
  before: readonly ComparedTask[],
  after: readonly ComparedTask[],
): MetricComparison[] {
  return before.flatMap((first, i) => {
    const second = after[i];
    const { task } = first.result;
    if (second?.result.task !== task || second.result.items !== first.result.items) {
      throw new RopewalkError(
        `task "${task}": the evaluations are not of the same items; evaluate both with the same tasks and limit`,
      );
    }
    return first.result.metrics.map(
      ({ metric, filter, value, higherIsBetter, aggregation }): MetricComparison => {
        const key = `${metric},${filter}`;
        const pairs = first.values
          .get(key)!
          .map((one, item) => [one, second.values.get(key)![item]!] as const);
        const worthOf = (one: ItemValue) => worth(one, metric, higherIsBetter);
        const changes = pairs.map(([a, b]) => worthOf(b) - worthOf(a));
        const ids = changes.map((_, item) => item);
        const changed = second.result.metrics.find(
          (one) => one.metric === metric && one.filter === filter,
        )!.value;
        const isBinary = aggregation === 'mean' && pairs.flat().every((one) => one === 0 || one === 1);
        const won = ids.filter((_, item) => changes[item]! > 0);
        const lost = ids.filter((_, item) => changes[item]! < 0);
        return {
          ...{
            task,
            metric,
            filter,
            before: value,
            after: changed,
            difference: changed - value,
            higherIsBetter,
          },
          ...{ won, lost, items: ids.length },
          interval: intervalOf(aggregation, pairs),
          test: isBinary ? 'McNemar' : 'permutation',
          p: isBinary ? mcNemar(won.length, lost.length) : permutation(aggregation, pairs, changed - value),
        };
      },
    );
  });
}

/**
 * How good a model is on an item alone, more is better: its score; its log-likelihood, per word or byte; whether the choice
 * is right; the probability of the right one.
 */
function worth(value: ItemValue, metric: string, higherIsBetter: boolean): number {
  if (typeof value === 'number') return higherIsBetter || metric === 'perplexity' ? value : -value;
  if (isCounts(value)) {
    if (metric === 'ter') return -editRate(value.counts);
    return metric === 'bleu' ? bleu(value.counts) : chrf(value.counts);
  }
  const [first, second] = value;
  if (typeof second !== 'number') return second[first]!;
  return metric === 'f1' || metric === 'mcc' ? Number(first === second) : first / second;
}

type Pairs = readonly (readonly [ItemValue, ItemValue])[];

function intervalOf(aggregation: Aggregation, pairs: Pairs): readonly [number, number] | null {
  if (pairs.length < 2) return null;
  if (aggregation === 'mean') {
    const { mean, margin } = confidence(pairs.map(([a, b]) => (b as number) - (a as number)));
    return [mean - margin!, mean + margin!];
  }
  const random = new PythonRandom(SEED);
  const differences = Array.from({ length: DRAWS / 10 }, () =>
    differenceOf(aggregation, random.resample(pairs)),
  );
  differences.sort((a, b) => a - b);
  return [
    differences[Math.floor(differences.length * 0.025)]!,
    differences[Math.floor(differences.length * 0.975)]!,
  ];
}

function differenceOf(aggregation: Aggregation, pairs: Pairs): number {
  const before = aggregate(
    aggregation,
    pairs.map(([a]) => a),
  );
  return (
    aggregate(
      aggregation,
      pairs.map(([, b]) => b),
    ) - before
  );
}

/** McNemar's test in its exact form: the items on which the models differ, as throws of a coin. */
function mcNemar(won: number, lost: number): number {
  const count = won + lost;
  let probability = 0;
  let logTerm = -count * Math.LN2;
  for (let k = 0; k <= Math.min(won, lost); k++) {
    if (k > 0) logTerm += Math.log((count - k + 1) / k);
    probability += Math.exp(logTerm);
  }
  return Math.min(1, 2 * probability);
}

/** How often the difference is as large where of each item the two models are exchanged by chance. */
function permutation(aggregation: Aggregation, pairs: Pairs, observed: number): number | null {
  if (pairs.length < 2) return null;
  const random = new PythonRandom(SEED);
  let asLarge = 0;
  const draws = DRAWS / 10;
  for (let i = 0; i < draws; i++) {
    const exchanged = pairs.map(([a, b]) => (random.random() < 0.5 ? ([b, a] as const) : ([a, b] as const)));
    if (Math.abs(differenceOf(aggregation, exchanged)) >= Math.abs(observed) - 1e-12) asLarge++;
  }
  return (asLarge + 1) / (draws + 1);
}
