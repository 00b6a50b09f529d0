import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Sampler, type SamplingOptions } from './sampler.ts';

const logits = fc
  .array(fc.oneof(fc.double({ min: -1e30, max: 1e30, noNaN: true }), fc.constant(Number.NEGATIVE_INFINITY)), {
    minLength: 1,
    maxLength: 20,
  })
  .filter((values) => values.some((value) => Math.fround(value) > Number.NEGATIVE_INFINITY));

const options: fc.Arbitrary<SamplingOptions> = fc.oneof(
  fc.constant({ greedy: true }),
  fc.record(
    {
      temperature: fc.double({ min: 1e-3, max: 1e3, noNaN: true }),
      topK: fc.integer({ min: 1, max: 30 }),
      topP: fc.double({ min: 1e-3, max: 1, noNaN: true }),
      minP: fc.double({ min: 0, max: 1, noNaN: true }),
      repetitionPenalty: fc.double({ min: 0.5, max: 2, noNaN: true }),
      seed: fc.nat(),
    },
    { requiredKeys: [] },
  ),
);

describe('Sampler', () => {
  it('never draws a token whose logit is −Infinity', () => {
    fc.assert(
      fc.property(logits, options, (values, settings) => {
        const sampler = new Sampler(settings);
        sampler.observe(values.keys());
        for (let i = 0; i < 20; i++) {
          const id = sampler.next(Float32Array.from(values));
          expect(values[id]).toBeGreaterThan(Number.NEGATIVE_INFINITY);
        }
      }),
      { numRuns: 500 },
    );
  });

  it('consults the constraint after checking the logits and applying the repetition penalty', () => {
    const seen: number[][] = [];
    const constraint = {
      mask: (given: Float32Array) => {
        seen.push([...given]);
        given[0] = Number.NEGATIVE_INFINITY;
      },
      accept: () => {},
      finished: false,
    };
    const sampler = new Sampler({ greedy: true, repetitionPenalty: 2 });
    sampler.observe([0]);
    expect(sampler.next(Float32Array.of(8, 1, 3), constraint)).toBe(2);
    expect(seen).toEqual([[4, 1, 3]]);
    for (const damaged of [Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(() => sampler.next(Float32Array.of(damaged, 1, 3), constraint)).toThrow(/weights are damaged/);
    }
    expect(seen).toHaveLength(1);
  });
});
