import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { evaluationBatches } from '../batches.ts';
import { fitBigram, fitUnigram, meanNegativeLogLikelihood } from './ngram.ts';

// Expected values: the formulas of the docstrings in exact fractions (Python's fractions module), where n1 = 9 and
// n2 = 2 give the bigram discount 9/13, and no token follows just one other, so that the other discount is 3/4.
const TOKENS = Int32Array.of(0, 1, 2, 0, 1, 2, 0, 1, 3, 0, 2, 1, 0, 1, 2, 3, 1, 0, 0, 2, 4, 1, 0, 1, 4);
const HELD_OUT = Int32Array.of(1, 2, 0, 5, 1, 1, 3);
const VOCAB = 6;

const texts = fc
  .record({
    vocab: fc.integer({ min: 1, max: 12 }),
    length: fc.integer({ min: 2, max: 200 }),
    seed: fc.nat(),
  })
  .chain(({ vocab, length }) =>
    fc.record({
      vocab: fc.constant(vocab),
      tokens: fc
        .array(fc.nat(vocab - 1), { minLength: length, maxLength: length })
        .map((ids) => Int32Array.from(ids)),
    }),
  );

describe('fitBigram', () => {
  const model = fitBigram(TOKENS, VOCAB);

  it.each([
    [0, 1, 7109 / 11648], // seen often
    [2, 0, 151 / 364],
    [1, 1, 279 / 2912], // both seen, never together
    [3, 5, 45 / 1456], // a token never seen
    [5, 1, 31 / 112], // after a token never seen
    [4, 1, 727 / 1456],
  ])('gives p(%d → %d) by interpolated Kneser–Ney smoothing', (previous, token, expected) => {
    expect(model.probability(token, previous)).toBeCloseTo(expected, 14);
  });

  it('scores held-out tokens', () => {
    expect(meanNegativeLogLikelihood(model, HELD_OUT)).toBeCloseTo(2.088124888022057, 13);
  });

  it('gives probabilities that are positive and sum to 1 after every token', () => {
    fc.assert(
      fc.property(texts, ({ vocab, tokens }) => {
        const fitted = fitBigram(tokens, vocab);
        for (let previous = 0; previous < vocab; previous++) {
          let sum = 0;
          for (let token = 0; token < vocab; token++) {
            const probability = fitted.probability(token, previous);
            expect(probability).toBeGreaterThan(0);
            sum += probability;
          }
          expect(sum).toBeCloseTo(1, 12);
        }
      }),
    );
  });

  it('learns a text in which each token decides the next', () => {
    const cycle = Int32Array.from({ length: 5000 }, (_, i) => i % 50);
    expect(meanNegativeLogLikelihood(fitBigram(cycle, 50), cycle)).toBeLessThan(0.05);
    expect(meanNegativeLogLikelihood(fitUnigram(cycle, 50), cycle)).toBeCloseTo(Math.log(50), 2);
  });
});

describe('fitUnigram', () => {
  it('uses add-one smoothing', () => {
    const model = fitUnigram(TOKENS, VOCAB);
    expect(model.probability(0, 3)).toBeCloseTo(9 / 31, 15); // 0 stands 8 times among 25 tokens
    expect(model.probability(5, 0)).toBeCloseTo(1 / 31, 15);
    expect(meanNegativeLogLikelihood(model, HELD_OUT)).toBeCloseTo(1.853646289501009, 13);
  });
});

describe('meanNegativeLogLikelihood', () => {
  it('averages over the very positions that evaluationBatches gives to a model', () => {
    const model = fitBigram(TOKENS, VOCAB);
    let sum = 0;
    let count = 0;
    for (const batch of evaluationBatches(HELD_OUT, 2, 2)) {
      batch.weights.forEach((weight, i) => {
        sum -= weight * Math.log(model.probability(batch.targets[i]!, batch.inputs[i]!));
      });
      count += batch.count;
    }
    expect(meanNegativeLogLikelihood(model, HELD_OUT)).toBeCloseTo(sum / count, 14);
  });

  it('refuses texts that cannot be fitted or scored', () => {
    expect(() => fitUnigram(Int32Array.of(1, 6), VOCAB)).toThrow('token id 6 is outside the vocabulary of 6');
    expect(() => fitBigram(Int32Array.of(-1, 0), VOCAB)).toThrow('token id -1 is outside');
    expect(() => fitBigram(Int32Array.of(1), VOCAB)).toThrow('at least 2');
    expect(() => meanNegativeLogLikelihood(fitUnigram(TOKENS, VOCAB), Int32Array.of(1))).toThrow(
      'at least 2',
    );
  });
});
