import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { type ComparedTask, compareEvaluations } from './compare.ts';
import { type Aggregation, aggregate, type ItemValue } from './metrics/aggregations.ts';
import { editCounts } from './metrics/edit-rate.ts';

interface Case {
  readonly before: readonly number[];
  readonly after: readonly number[];
  readonly interval: readonly [number, number];
  readonly p: number;
}

/** What test/reference/make_evaluate_pairs.py writes. */
const reference = JSON.parse(
  readFileSync(new URL('../../test/reference/evaluate/pairs.json', import.meta.url), 'utf8'),
) as {
  readonly binary: readonly (Case & { readonly won: number; readonly lost: number })[];
  readonly real: readonly Case[];
  readonly perplexity: Omit<Case, 'p'> & { readonly difference: number };
};

function compared(
  metric: string,
  aggregation: Aggregation,
  higherIsBetter: boolean,
  before: readonly ItemValue[],
  after: readonly ItemValue[],
) {
  const task = (values: readonly ItemValue[]): ComparedTask => {
    const value = aggregate(aggregation, values);
    const metrics = [{ metric, filter: 'none', value, standardError: null, higherIsBetter, aggregation }];
    return {
      result: { task: 'a', items: values.length, metrics },
      values: new Map([[`${metric},none`, values]]),
    };
  };
  return compareEvaluations([task(before)], [task(after)])[0]!;
}

describe('the comparison of two evaluations', () => {
  it.each(reference.binary.map((one, i) => [i, one] as const))(
    'of right and wrong answers: McNemar %i',
    (_, one) => {
      const found = compared('acc', 'mean', true, one.before, one.after);
      expect(found.test).toBe('McNemar');
      expect([found.won.length, found.lost.length]).toEqual([one.won, one.lost]);
      expect(found.p).toBeCloseTo(one.p, 12);
      // Beyond 31 items, 1.96 stands for Student's t: at most 4 % narrower.
      const width = one.interval[1] - one.interval[0];
      for (const i of [0, 1])
        expect(Math.abs(found.interval![i]! - one.interval[i]!)).toBeLessThanOrEqual(0.02 * width);
    },
  );

  it.each(reference.real.map((one, i) => [i, one] as const))('of numbers: permutations %i', (_, one) => {
    const found = compared('acc', 'mean', true, one.before, one.after);
    expect(found.test).toBe('permutation');
    // A thousand draws of all 2^n exchanges.
    expect(Math.abs(found.p! - one.p)).toBeLessThan(0.001 + 3 * Math.sqrt((one.p * (1 - one.p)) / 1000));
    expect(found.interval![0]).toBeCloseTo(one.interval[0], 3);
    expect(found.interval![1]).toBeCloseTo(one.interval[1], 3);
  });

  it('of perplexities: a paired bootstrap', () => {
    const { before, after, difference, interval } = reference.perplexity;
    const found = compared('perplexity', 'perplexity', false, before, after);
    expect(found.difference).toBeCloseTo(difference, 10);
    const width = interval[1] - interval[0];
    for (const i of [0, 1]) expect(Math.abs(found.interval![i]! - interval[i]!)).toBeLessThan(0.08 * width);
  });

  it('counts an item as won where the model is better on it, whichever way a metric points', () => {
    const won = (
      metric: string,
      aggregation: Aggregation,
      isHigher: boolean,
      worse: ItemValue,
      better: ItemValue,
    ) => {
      const { won, lost } = compared(
        metric,
        aggregation,
        isHigher,
        [worse, worse, better],
        [better, worse, worse],
      );
      return [won, lost];
    };
    const counts = (text: string) => ({ counts: editCounts(text, 'a b c d') });
    for (const found of [
      won('acc', 'mean', true, 0, 1),
      won('mine', 'mean', false, 3, 1),
      won('perplexity', 'perplexity', false, -3, -1),
      won('byte_perplexity', 'weighted_perplexity', false, [-30, 10], [-10, 10]),
      won('brier_score', 'brier_score', false, [1, [0.8, 0.2]], [1, [0.3, 0.7]]),
      won('f1', 'f1', true, [1, 0], [1, 1]),
      won('ter', 'ter', false, counts('a x y z'), counts('a b c')),
    ])
      expect(found).toEqual([[0], [2]]);
  });
});
