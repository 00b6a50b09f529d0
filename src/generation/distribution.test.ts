import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Random } from '../random.ts';
import { distribution } from './distribution.ts';
import type { SamplingOptions } from './sampler.ts';

/** The definition: everything sorted, then cut step by step. */
function sorted(logits: Float32Array, { temperature = 1, topK, topP, minP }: SamplingOptions) {
  let ids = [...logits.keys()].sort((a, b) => logits[b]! - logits[a]! || a - b);
  const max = logits[ids[0]!]!;
  ids = ids.slice(0, topK);
  const normalized = (values: number[]) => {
    const sum = values.reduce((a, b) => a + b, 0);
    return values.map((value) => value / sum);
  };
  let probabilities = normalized(ids.map((id) => Math.exp((logits[id]! - max) / temperature)));
  /** How near a sum of probabilities came to deciding otherwise. */
  let margin = 1;
  if (topP !== undefined && topP < 1) {
    let sum = 0;
    let count = 0;
    while (count < probabilities.length && sum < topP) {
      sum += probabilities[count++]!;
      margin = Math.min(margin, Math.abs(sum - topP));
    }
    probabilities = normalized(probabilities.slice(0, count));
  }
  if (minP !== undefined) {
    const floor = minP * probabilities[0]!;
    for (const p of probabilities) margin = Math.min(margin, Math.abs(p - floor) / floor || 1);
    probabilities = normalized(probabilities.filter((p, i) => i === 0 || p >= floor));
  }
  return { ids: ids.slice(0, probabilities.length), probabilities, margin };
}

const options: fc.Arbitrary<SamplingOptions> = fc.record(
  {
    temperature: fc.constantFrom(0.02, 0.5, 0.8, 1, 1.7, 30),
    topK: fc.oneof(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 1, max: 4000 })),
    topP: fc.oneof(fc.double({ min: 0.001, max: 1, noNaN: true }), fc.constant(1)),
    minP: fc.oneof(fc.double({ min: 0, max: 1, noNaN: true }), fc.constant(0)),
  },
  { requiredKeys: [] },
);

/** Gaussian, a few far above the others, all but equal, rounded to a few values (many ties), with gaps of −Infinity, with both zeros. */
const kinds = ['gaussian', 'peaked', 'flat', 'ties', 'masked', 'zeros', 'huge'] as const;

function draw(kind: (typeof kinds)[number], size: number, seed: number): Float32Array {
  const random = new Random(seed);
  const logits = Float32Array.from({ length: size }, () => {
    const value = random.nextGaussian();
    if (kind === 'flat') return 1e-3 * value;
    if (kind === 'ties') return Math.round(2 * value);
    if (kind === 'masked') return random.nextInt(3) === 0 ? 5 * value : Number.NEGATIVE_INFINITY;
    if (kind === 'zeros') return random.nextInt(2) === 0 ? -0 : Math.round(value);
    if (kind === 'peaked') return random.nextInt(40) === 0 ? 3 * value : value - 30;
    return (kind === 'huge' ? 1e30 : 4) * value;
  });
  logits[random.nextInt(size)] = 0.5;
  return logits;
}

describe('the sampling distribution', () => {
  it('equals what sorting the whole vocabulary gives', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...kinds),
        fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 200, max: 3000 })),
        fc.nat(),
        options,
        (kind, size, seed, settings) => {
          const logits = draw(kind, size, seed);
          const wanted = sorted(logits, settings);
          // Where rounding decides, either is right.
          fc.pre(wanted.margin > 1e-9);
          const { ids, probabilities } = distribution(logits, settings);
          const expected = new Float64Array(size);
          wanted.ids.forEach((id, i) => {
            expected[id] = wanted.probabilities[i]!;
          });
          const actual = new Float64Array(size);
          Array.from(ids).forEach((id, i) => {
            actual[id] = probabilities[i]!;
          });
          expect(Math.max(...actual.map((p, id) => Math.abs(p - expected[id]!)))).toBeLessThan(1e-11);
          expect(actual.findIndex((p, id) => p > 0 !== expected[id]! > 0)).toBe(-1);
          const { topK = size, topP = 1, minP = 0 } = settings;
          if (topK < size || topP < 1 || minP > 0) {
            const drawable = (list: ArrayLike<number>, p: ArrayLike<number>) =>
              Array.from(list).filter((_, i) => p[i]! > 0);
            expect(drawable(ids, probabilities)).toEqual(drawable(wanted.ids, wanted.probabilities));
          }
        },
      ),
      { seed: 11, numRuns: 2000 },
    );
  });
});
