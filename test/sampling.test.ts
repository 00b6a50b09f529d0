import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { distribution, Sampler, type SamplingOptions } from '../src/generation/sampler.ts';

describe('the sampler', () => {
  interface Case {
    options: SamplingOptions;
    seen: number[];
    logits: number[];
    probabilities: number[];
  }
  const { cases } = JSON.parse(
    readFileSync(new URL('./reference/sampling.json', import.meta.url), 'utf8'),
  ) as { cases: Case[] };

  /** Probability of each id. */
  function probabilitiesOf(logits: Float32Array, options: SamplingOptions): Float64Array {
    const { ids, probabilities } = distribution(logits, options);
    const all = new Float64Array(logits.length);
    probabilities.forEach((probability, i) => {
      all[ids[i]!] = probability;
    });
    return all;
  }

  it.each(cases)(
    'keeps the tokens that transformers keeps: $options',
    ({ options, seen, logits, probabilities }) => {
      const sampler = new Sampler(options);
      sampler.observe(seen);
      const processed = Float32Array.from(logits);
      const id = sampler.next(processed); // applies the repetition penalty in place
      expect(probabilities[id]).toBeGreaterThan(0);
      const actual = probabilitiesOf(processed, options);
      for (const [i, wanted] of probabilities.entries()) {
        expect(actual[i]).toBeCloseTo(wanted, 5);
        expect(actual[i]! > 0, `id ${i}`).toBe(wanted > 0);
      }
    },
  );

  /** The same by the definitions, step by step: temperature, top-k, top-p, min-p. */
  function byDefinition(logits: readonly number[], options: SamplingOptions): number[] {
    const softmax = (scores: readonly number[]) => {
      const max = Math.max(...scores);
      const powers = scores.map((score) => Math.exp(score - max));
      const sum = powers.reduce((a, b) => a + b, 0);
      return powers.map((power) => power / sum);
    };
    const drop = (scores: readonly number[], keeps: (i: number) => boolean) =>
      scores.map((score, i) => (keeps(i) ? score : Number.NEGATIVE_INFINITY));
    let scores = logits.map((logit) => logit / (options.temperature ?? 1));
    if (options.topK !== undefined) {
      const { topK } = options;
      // The number of tokens that are likelier, or as likely and earlier.
      const rank = (i: number) =>
        scores.filter((score, j) => score > scores[i]! || (score === scores[i] && j < i)).length;
      scores = drop(scores, (i) => rank(i) < topK);
    }
    if (options.topP !== undefined) {
      const { topP } = options;
      const probabilities = softmax(scores);
      const likelier = (i: number) =>
        probabilities.reduce((sum, p, j) => (scores[j]! > scores[i]! ? sum + p : sum), 0);
      scores = drop(scores, (i) => likelier(i) < topP);
    }
    if (options.minP !== undefined) {
      const { minP } = options;
      const probabilities = softmax(scores);
      const most = Math.max(...probabilities);
      scores = drop(scores, (i) => probabilities[i]! >= minP * most);
    }
    return softmax(scores);
  }

  it('keeps the tokens that the definitions keep', () => {
    const optional = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });
    const share = fc.integer({ min: 1, max: 999 }).map((n) => n / 1000 + 1e-7);
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.integer({ min: -400, max: 400 }), { minLength: 1, maxLength: 30 }),
        fc.record({
          temperature: optional(fc.constantFrom(0.3, 0.9, 1, 2.5)),
          topK: optional(fc.integer({ min: 1, max: 40 })),
          topP: optional(share),
          minP: optional(share),
        }),
        (hundredths, options) => {
          const logits = Float32Array.from(hundredths, (n) => n / 64);
          const given = Object.fromEntries(
            Object.entries(options).filter(([, value]) => value !== undefined),
          );
          const actual = probabilitiesOf(logits, given);
          const wanted = byDefinition(Array.from(logits), given);
          for (const [i, probability] of wanted.entries()) {
            expect(Math.abs(actual[i]! - probability)).toBeLessThan(1e-9);
          }
        },
      ),
      { seed: 3, numRuns: 2000 },
    );
  });

  it('keeps exactly the first k of equally likely tokens', () => {
    expect(Array.from(probabilitiesOf(Float32Array.of(1, 2, 2, 2), { topK: 2 }))).toEqual([0, 0.5, 0.5, 0]);
  });

  it.each<SamplingOptions>([{}, { topK: 4 }, { topP: 0.8 }, { minP: 0.1, temperature: 1.3 }])(
    'draws tokens as often as they are likely: %o',
    (options) => {
      const logits = Float32Array.of(0.3, -1, 2, 1.1, 0, 1.7);
      const wanted = byDefinition(Array.from(logits), options);
      const sampler = new Sampler({ ...options, seed: 17 });
      const draws = 30_000;
      const counts = new Array<number>(6).fill(0);
      for (let i = 0; i < draws; i++) counts[sampler.next(logits)]!++;
      const possible = wanted.flatMap((p, i) => (p > 0 ? [{ p, count: counts[i]! }] : []));
      expect(possible.reduce((sum, { count }) => sum + count, 0)).toBe(draws);
      const chiSquare = possible.reduce(
        (sum, { p, count }) => sum + (count - draws * p) ** 2 / (draws * p),
        0,
      );
      // The 99.9 % quantile of chi-square with 1 … 5 degrees of freedom.
      expect(chiSquare).toBeLessThan([0, 10.83, 13.82, 16.27, 18.47, 20.52][possible.length - 1]!);
    },
  );

  it('counts drawn tokens in its penalties', () => {
    const sampler = new Sampler({ greedy: true, repetitionPenalty: 3 });
    const drawn = Array.from({ length: 4 }, () => sampler.next(Float32Array.of(4, 3, 2, -1)));
    expect(drawn).toEqual([0, 1, 2, 0]); // 4 → 4/3, 3 → 1, 2 → 2/3: the fourth time the first is likeliest again
  });

  it('is greedy at temperature 0, whatever the other options', () => {
    for (const rest of [{}, { topK: 3 }, { topP: 0.9, seed: 7 }, { repetitionPenalty: 3 }]) {
      const [zero, greedy] = [
        new Sampler({ temperature: 0, ...rest }),
        new Sampler({ greedy: true, ...rest }),
      ];
      for (let i = 0; i < 5; i++) {
        const logits = () => Float32Array.of(1, 4, 3.9, 2);
        expect(zero.next(logits())).toBe(greedy.next(logits()));
      }
    }
  });

  it.each<[SamplingOptions, RegExp]>([
    [{ temperature: -1 }, /temperature must be at least 0 \(which is greedy\), but is -1/],
    [{ temperature: Number.NaN }, /temperature/],
    [{ topK: 0 }, /top-k/],
    [{ topK: 1.5 }, /top-k/],
    [{ topP: 0 }, /top-p/],
    [{ minP: 1.1 }, /min-p/],
    [{ repetitionPenalty: -1 }, /repetition penalty/],
  ])('refuses %o', (options, message) => {
    expect(() => new Sampler(options)).toThrow(message);
  });
});
