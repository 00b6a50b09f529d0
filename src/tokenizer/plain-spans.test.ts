import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { TextSpan } from './plain-spans.ts';
import { Tokenizer } from './tokenizer.ts';

const SPECIAL = ['<s>', '</s>', '<|mark|>', '🪢>', '<|mark|><|more|>'];

/** Characters, and special tokens that the vocabulary could also merge from characters. */
function tokenizer(type: 'BPE' | 'Unigram', flags: { lstrip?: boolean; rstrip?: boolean } = {}): Tokenizer {
  const characters = [...'<>/s|markoe \nab🪢한', '▁'];
  const pieces = ['<unk>', ...SPECIAL, ...new Set(characters), 'ab', '</', 's>', 'a▁'];
  const vocab = Object.fromEntries([...new Set(pieces)].map((piece, id) => [piece, id]));
  const merges = [
    ['a', 'b'],
    ['<', '/'],
    ['s', '>'],
    ['</', 's>'], // makes a special token
  ];
  const model =
    type === 'BPE'
      ? { type, vocab, merges, unk_token: '<unk>' }
      : { type, vocab: Object.keys(vocab).map((piece) => [piece, -piece.length]), unk_id: 0 };
  return Tokenizer.fromJSON({
    added_tokens: ['<unk>', ...SPECIAL].map((content, id) => ({ id, content, special: true, ...flags })),
    normalizer: { type: 'Replace', pattern: { String: ' ' }, content: '▁' },
    pre_tokenizer: null,
    post_processor: null,
    decoder: {
      type: 'Sequence',
      decoders: [{ type: 'Replace', pattern: { String: '▁' }, content: ' ' }, { type: 'Fuse' }],
    },
    model,
  });
}

const plain = { addSpecialTokens: false };
const pieces = fc.array(fc.constantFrom(...SPECIAL, '<', '/s>', 'ab', ' ', '\n', 'mark|>', '한', '<|'), {
  maxLength: 12,
});

describe.each(['BPE', 'Unigram'] as const)('a plain span of user text, with %s', (type) => {
  const byType = tokenizer(type);

  it('contains no special token and decodes to itself', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(pieces, fc.boolean()), { maxLength: 6 }), (parts) => {
        let text = '';
        const plainSpans: TextSpan[] = [];
        const written: string[] = [];
        for (const [words, user] of parts) {
          const part = user ? words.join('') : words.filter((word) => SPECIAL.includes(word)).join('');
          if (user && part) plainSpans.push([text.length, text.length + part.length]);
          if (!user) written.push(...words.filter((word) => SPECIAL.includes(word)));
          text += part;
        }
        const ids = byType.encode(text, { ...plain, plainSpans });
        expect(byType.decode(ids)).toBe(text);
        const special = ids.filter((id) => byType.isSpecial(id)).map((id) => byType.idToToken(id)!);
        expect(special.join('')).toBe(written.join(''));
      }),
      { numRuns: 300 },
    );
  });

  it('has the same ids as without spans when it spells no special token', () => {
    const word = fc.constantFrom('ab', ' ', 'a', 's>', '</', 'mark', '\n', '한', '<');
    fc.assert(
      fc.property(fc.array(word, { maxLength: 20 }), fc.nat(9), fc.nat(9), (words, from, length) => {
        const text = `<s>${words.join('')}</s>`;
        fc.pre(!SPECIAL.some((token) => text.slice(3, -4).includes(token)));
        const plainSpans: TextSpan[] = [[3, Math.min(text.length - 4, 3 + from + length)]];
        expect(byType.encode(text, { ...plain, plainSpans })).toEqual(byType.encode(text, plain));
      }),
    );
  });

  it('keeps special tokens from reaching into it', () => {
    const text = '<|mark|><|more|>ab';
    const ids = byType.encode(text, { ...plain, plainSpans: [[8, 16]] });
    // The longer token is not taken, for it reaches into the user's text; the shorter one is.
    expect(byType.idToToken(ids[0]!)).toBe('<|mark|>');
    expect(ids.slice(1).some((id) => byType.isSpecial(id))).toBe(false);
    expect(byType.decode(ids)).toBe(text);
  });
});

it('a plain span keeps the white space that special tokens would strip', () => {
  const eating = tokenizer('BPE', { lstrip: true, rstrip: true });
  const text = 'a <s> b <s> a';
  const ids = eating.encode(text, { ...plain, plainSpans: [[0, 7]] });
  expect(eating.decode(ids)).toBe('a <s> b<s>a');
  expect(eating.encode('a <s> b', plain)).toEqual(eating.encode('a<s>b', plain));
});

it('a plain span is refused when the vocabulary has only a special token for it', () => {
  const json = tokenizer('BPE').toJSON();
  const only = Tokenizer.fromJSON({
    ...json,
    added_tokens: [...json.added_tokens, { id: 99, content: '\u2693', special: true }],
    model: { ...json.model, vocab: { ...(json.model.vocab as object), '\u2693': 99 } },
  });
  expect(() => only.encode('a\u2693', { ...plain, plainSpans: [[0, 2]] })).toThrow(
    /can write "\u2693" only as a special token/,
  );
});
