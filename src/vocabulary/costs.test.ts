import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { loadTokenizer } from '../tokenizer/tokenizer.node.ts';
import { Tokenizer } from '../tokenizer/tokenizer.ts';
import { SCRIPTS } from '../tokenizer/unicode/scripts.ts';
import { type TextSize, type TokenCosts, textSize, tokenCosts } from './costs.ts';

const file = (name: string) => new URL(`../../test/${name}`, import.meta.url);

/** Counted in Python, with ids of the Rust library: see make_token_costs.py. */
const reference = JSON.parse(readFileSync(file('reference/token-costs.json'), 'utf8')) as {
  texts: string[];
  size: TextSize;
  byteLevel: { tokenizer: unknown; costs: TokenCosts };
  stories260K: { costs: TokenCosts };
};
const byteLevel = Tokenizer.fromJSON(reference.byteLevel.tokenizer);
const stories = loadTokenizer(fileURLToPath(file('fixtures/stories260K/tokenizer.json')));

describe('what texts cost in tokens', () => {
  it('is counted on texts of the same size as in Python', () => {
    expect(textSize(reference.texts)).toEqual(reference.size);
  });

  it.each([
    ['byte-level', byteLevel, reference.byteLevel.costs],
    ['SentencePiece-style', stories, reference.stories260K.costs],
  ] as const)('equals what Python counts with the ids of the Rust library: %s', (_name, tokenizer, costs) => {
    expect(tokenCosts(tokenizer, reference.texts)).toEqual(costs);
  });

  it('by script adds up to all tokens, in texts longer than a block too', () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.constantFrom(...reference.texts), fc.string({ unit: 'grapheme' })), {
          maxLength: 6,
        }),
        fc.constantFrom(1, 300),
        (texts, times) => {
          const long = texts.map((text) => text.repeat(times));
          for (const tokenizer of [byteLevel, stories]) {
            const { tokens, scripts } = tokenCosts(tokenizer, long, undefined, { words: 0 });
            expect(SCRIPTS.reduce((sum, script) => sum + scripts[script].tokens, 0)).toBe(tokens);
          }
        },
      ),
      { numRuns: 10 },
    );
    const once = tokenCosts(byteLevel, [`${reference.texts[0]}\n`]);
    const often = tokenCosts(byteLevel, [`${reference.texts[0]}\n`.repeat(1000)]);
    for (const script of SCRIPTS)
      expect(often.scripts[script].tokens).toBe(1000 * once.scripts[script].tokens);
  });

  it('counts tokens that stand for what has none', () => {
    const vocab = { '[UNK]': 0, a: 1, rope: 2 };
    const tokenizer = Tokenizer.fromJSON({
      ...{ added_tokens: [], normalizer: null, pre_tokenizer: { type: 'WhitespaceSplit' } },
      ...{ post_processor: null, decoder: null, model: { type: 'WordLevel', vocab, unk_token: '[UNK]' } },
    });
    const { unknown, scripts, byteFallback, tokensPerSyllable } = tokenCosts(tokenizer, ['a rope 밧줄 walk']);
    expect([unknown, scripts.other.tokens, byteFallback]).toEqual([0.5, 2, 0]);
    expect(tokensPerSyllable).toBe(0);
    expect(tokenCosts(tokenizer, ['a rope']).tokensPerSyllable).toBeNull();
  });

  it('of no text is nothing', () => {
    const { tokens, tokensPerByte, worst } = tokenCosts(byteLevel, []);
    expect([tokens, tokensPerByte, worst]).toEqual([0, 0, []]);
  });
});
