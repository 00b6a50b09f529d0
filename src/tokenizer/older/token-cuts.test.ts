import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cutsOf, TokenCuts } from './token-cuts.ts';

describe('the cuts of tokens into two others', () => {
  it('are those that looking the texts up finds, in the same order', () => {
    const text = fc.oneof(
      fc.string({ unit: fc.constantFrom('a', 'b'), maxLength: 12 }),
      fc.string({ unit: 'grapheme', maxLength: 6 }),
      fc.string({ unit: fc.constantFrom('한', '😀', '\ud83d', '\ude00', 'z'), maxLength: 5 }),
      fc.integer({ min: 60, max: 200 }).map((length) => 'a'.repeat(length)),
    );
    fc.assert(
      fc.property(fc.uniqueArray(text, { maxLength: 60 }), (texts) => {
        const vocab = new Map(texts.map((each, i) => [each, 3 * i + 1]));
        const cuts = new TokenCuts(vocab);
        for (const token of [...texts, 'aab', '']) {
          const found: [number, number][] = [];
          cuts.of(token, (left, right) => found.push([left, right]));
          expect(found).toEqual([...cutsOf(token, vocab)]);
        }
      }),
    );
  });
});
