import { expect, it } from 'vitest';
import { caseVariants } from './case-folding.ts';

it('finds for each letter the characters that Unicode folds to the same', () => {
  const characters = Array.from({ length: 0xac00 }, (_, code) => String.fromCharCode(code)).join('');
  for (const letter of "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZéÉσΣя0_~@'") {
    const variants = new RegExp(`[${caseVariants(letter)}]`, 'gu');
    const folded = new RegExp(letter, 'giu');
    expect(characters.match(variants), letter).toEqual(characters.match(folded));
  }
});
