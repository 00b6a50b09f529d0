import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Random } from '../random.ts';
import { largest, sampled } from './choose.ts';

/** Distributions of a few entries, some of them equal, some nothing. */
const distributions = fc
  .array(fc.integer({ min: 0, max: 6 }), { minLength: 1, maxLength: 40 })
  .filter((shares) => shares.some((share) => share > 0))
  .map((shares) => {
    const sum = shares.reduce((a, b) => a + b, 0);
    return Float32Array.from(shares, (share) => share / sum);
  });

const sum = (values: ArrayLike<number>) => Array.from(values).reduce((a, b) => a + b, 0);

describe('choosing the largest entries', () => {
  it('gives those that sorting gives, renormalized', () => {
    fc.assert(
      fc.property(distributions, fc.integer({ min: 1, max: 50 }), (distribution, k) => {
        const { ids, probabilities, covered } = largest(distribution, k);
        const sorted = [...distribution.keys()]
          .sort((a, b) => distribution[b]! - distribution[a]! || a - b)
          .slice(0, k);
        expect([...ids.subarray(0, sorted.length)]).toEqual(sorted);
        const mass = sum(sorted.map((id) => distribution[id]!));
        expect(covered).toBeCloseTo(mass, 12);
        sorted.forEach((id, place) => {
          expect(probabilities[place]).toBeCloseTo(distribution[id]! / mass, 12);
        });
        expect(ids.length).toBe(k);
        expect(sum(probabilities.subarray(sorted.length))).toBe(0);
      }),
    );
  });
});

describe('sampling entries', () => {
  it('gives distinct, possible entries that add up to 1', () => {
    fc.assert(
      fc.property(distributions, fc.integer({ min: 1, max: 50 }), fc.integer(), (distribution, k, seed) => {
        const { ids, probabilities } = sampled(distribution, k, new Random(seed));
        const used = [...ids].filter((_, place) => probabilities[place]! > 0);
        expect(new Set(used).size).toBe(used.length);
        for (const id of used) expect(distribution[id]).toBeGreaterThan(0);
        expect(sum(probabilities)).toBeCloseTo(1, 12);
      }),
    );
  });

  it('gives the distribution on average', () => {
    const distribution = Float32Array.of(0.5, 0, 0.3, 0.15, 0.04, 0.01);
    const [k, times] = [8, 4000];
    const random = new Random(5);
    const mean = new Float64Array(distribution.length);
    for (let i = 0; i < times; i++) {
      const { ids, probabilities } = sampled(distribution, k, random);
      for (let place = 0; place < k; place++) mean[ids[place]!]! += probabilities[place]! / times;
    }
    distribution.forEach((p, id) => {
      // Five standard errors of a share of k · times draws.
      expect(Math.abs(mean[id]! - p)).toBeLessThanOrEqual(5 * Math.sqrt((p * (1 - p)) / (k * times)) + 1e-7);
    });
  });

  it('gives the same entries for the same seed', () => {
    const distribution = Float32Array.of(0.4, 0.3, 0.2, 0.1);
    expect(sampled(distribution, 5, new Random(1))).toEqual(sampled(distribution, 5, new Random(1)));
  });
});
