import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fixture } from '../../test/helpers/fixtures.node.ts';
import { trainBpe } from '../tokenizer/bpe-trainer.ts';
import { Tokenizer } from '../tokenizer/tokenizer.ts';
import { encodeCorpus, encodeCorpusAsync, splitCorpus } from './corpus.ts';
import { mobyDick } from './moby-dick.node.ts';

const SAMPLE =
  `It's 1851; the whale's 90 feet long.\n\nAhab: "THE WHALE!"  he said ...  \r\n\tand off they went.
고래가 온다! 바다는 넓고, 고래는 크다.\n\n\n   그리고 🐋🐳 "둘"이 왔다 (1,234 마리).\n`.repeat(3);

const learned = trainBpe([SAMPLE], { vocabSize: 420 });

/**
 * The trained tokenizer with merges that cross whatever some expression keeps apart, so that other words show as
 * other ids: spaces, line ends and punctuation, in the byte alphabet (Ġ is a space, Ċ a newline, č a return).
 */
const trained = (() => {
  const merges = [...(learned.model.merges as [string, string][])];
  const vocab = { ...(learned.model.vocab as Record<string, number>) };
  for (const left of ['Ġ', 'Ċ', 'č', '!', '.', 'a', '1']) {
    for (const right of ['Ġ', 'Ċ', 'č', '!', '.', 'a', '1']) {
      if (left + right in vocab) continue;
      vocab[left + right] = Object.keys(vocab).length;
      merges.push([left, right]);
    }
  }
  return { ...learned, model: { ...learned.model, vocab, merges } };
})();
const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false };
const split = (Regex: string) => ({ type: 'Split', pattern: { Regex }, behavior: 'Isolated', invert: false });
const withPreTokenizers = (...pretokenizers: object[]) =>
  Tokenizer.fromJSON({ ...trained, pre_tokenizer: { type: 'Sequence', pretokenizers } });

const LLAMA3 =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

const GPT4 =
  "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+";
const GPT2_SHORTER = "'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/** As Gemma's: no pre-tokenizer to speak of, spaces written as ▁, newlines in tokens, bytes for the rest. */
function gemmaLike(changes: object = {}): Tokenizer {
  const bytes = Array.from({ length: 256 }, (_, i) => `<0x${i.toString(16).toUpperCase().padStart(2, '0')}>`);
  const merges = ['▁ ▁', '▁ t', '▁t h', '▁th e', 'a \n', 'e \n', '. \n'].map((merge) => merge.split(' '));
  merges.push(['\n', '\n'], ['\n\n', '\n'], ['\n', 'I']);
  const characters = [...new Set(`▁\n${SAMPLE.replaceAll(' ', '').slice(0, 200)}`)];
  const tokens = new Set(['<pad>', '<bos>', ...bytes, ...characters, ...merges.map((pair) => pair.join(''))]);
  return Tokenizer.fromJSON({
    added_tokens: [{ id: 1, content: '<bos>', special: true, normalized: false }],
    normalizer: { type: 'Replace', pattern: { String: ' ' }, content: '▁' },
    pre_tokenizer: { type: 'Split', pattern: { String: ' ' }, behavior: 'MergedWithPrevious', invert: false },
    decoder: { type: 'Sequence', decoders: [{ type: 'ByteFallback' }, { type: 'Fuse' }] },
    model: {
      type: 'BPE',
      byte_fallback: true,
      vocab: Object.fromEntries([...tokens].map((token, id) => [token, id])),
      merges,
    },
    ...changes,
  });
}

const TOKENIZERS: [string, Tokenizer][] = [
  ["this project's", Tokenizer.fromJSON(trained)],
  ["Llama 3's expression", withPreTokenizers(split(LLAMA3), byteLevel)],
  ["GPT-4's expression", withPreTokenizers(split(GPT4), byteLevel)],
  ["GPT-2's, written shorter", withPreTokenizers(split(GPT2_SHORTER), byteLevel)],
  ['ByteLevel with its own expression', withPreTokenizers({ ...byteLevel, use_regex: true })],
  [
    'digits apart',
    withPreTokenizers({ type: 'Digits', individual_digits: true }, { ...byteLevel, use_regex: true }),
  ],
  ["one like Gemma's", gemmaLike()],
];

const pieces = fc.oneof(
  fc.constantFrom(
    ' ',
    '  ',
    '\n',
    '\n\n',
    '\r\n',
    '\t',
    '\u0085',
    '\ufeff',
    '\u00a0',
    "'s",
    "'LL",
    'a',
    'I',
    'the',
  ),
  fc.constantFrom(
    '고래',
    '12',
    '3456',
    '...',
    '!\n',
    '🐋',
    '👩‍🚀',
    'é',
    'e\u0301',
    '<|endoftext|>',
    '<bos>',
    '▁',
  ),
);
const messy = fc.array(pieces, { maxLength: 60 }).map((parts) => parts.join(''));

const parts = (tokenizer: Tokenizer, text: string) => {
  let count = 0;
  encodeCorpus(tokenizer, text, { chunkSize: 1, onProgress: () => count++ });
  return count;
};

describe('encodeCorpus', () => {
  it.each(TOKENIZERS)('gives the same ids in parts as for the whole text: %s', (_, tokenizer) => {
    fc.assert(
      fc.property(messy, fc.integer({ min: 1, max: 12 }), (text, chunkSize) => {
        const ids = [...encodeCorpus(tokenizer, text, { chunkSize })];
        expect(ids).toEqual(tokenizer.encode(text, { addSpecialTokens: false }));
      }),
      { numRuns: 300 },
    );
    expect([...encodeCorpus(tokenizer, SAMPLE, { chunkSize: 1 })]).toEqual(
      tokenizer.encode(SAMPLE, { addSpecialTokens: false }),
    );
    // Not for want of parts:
    expect(parts(tokenizer, SAMPLE)).toBeGreaterThan(6);
  });

  it.each<[string, Tokenizer]>([
    ['a ▁ before every text', gemmaLike({ normalizer: { type: 'Prepend', prepend: '▁' } })],
    ['an unknown expression', withPreTokenizers(split('\\p{L}+ ?'), byteLevel)],
    [
      'a space before every text',
      withPreTokenizers({ ...byteLevel, add_prefix_space: true, use_regex: true }),
    ],
    [
      'an added token with a space in it',
      Tokenizer.fromJSON({ ...trained, added_tokens: [{ id: 500, content: '<a b>', special: true }] }),
    ],
    [
      'an added token that eats spaces',
      Tokenizer.fromJSON({ ...trained, added_tokens: [{ id: 500, content: '<m>', lstrip: true }] }),
    ],
  ])('encodes at once where parts might differ: %s', (_, tokenizer) => {
    expect(parts(tokenizer, SAMPLE)).toBe(1);
    expect([...encodeCorpus(tokenizer, SAMPLE, { chunkSize: 1 })]).toEqual(
      tokenizer.encode(SAMPLE, { addSpecialTokens: false }),
    );
  });

  it('puts the requested tokens around documents, and reports progress to the end', () => {
    const tokenizer = Tokenizer.fromJSON(trained);
    const end = tokenizer.eosId!;
    const progress: [number, number][] = [];
    const tokens = encodeCorpus(tokenizer, ['The whale', '고래'], {
      beginOfDocument: 7,
      endOfDocument: end,
      onProgress: (done, total) => progress.push([done, total]),
    });
    expect([...tokens]).toEqual([
      7,
      ...tokenizer.encode('The whale'),
      end,
      7,
      ...tokenizer.encode('고래'),
      end,
    ]);
    expect(progress).toEqual([
      [9, 11],
      [11, 11],
    ]);
    expect(() => encodeCorpus(tokenizer, 'x', { chunkSize: 0 })).toThrow('chunkSize must be');
  });

  it('lets the event loop run between parts when asynchronous', async () => {
    let turns = 0;
    const timer = setInterval(() => turns++, 1);
    // Each report takes longer than the time after which a pause is due.
    const onProgress = () => {
      for (const end = performance.now() + 60; performance.now() < end; );
    };
    const tokenizer = Tokenizer.fromJSON(trained);
    const tokens = await encodeCorpusAsync(tokenizer, SAMPLE, { chunkSize: 20, onProgress });
    clearInterval(timer);
    expect(turns).toBeGreaterThan(0);
    expect([...tokens]).toEqual(tokenizer.encode(SAMPLE, { addSpecialTokens: false }));
    await expect(encodeCorpusAsync(tokenizer, 'x', { chunkSize: 0 })).rejects.toThrow('chunkSize must be');
  });

  it('keeps the ids of a real text', async () => {
    const text = (await mobyDick()).slice(0, 200_000);
    const ours = Tokenizer.fromJSON(trained);
    expect(encodeCorpus(ours, text, { chunkSize: 1000 })).toEqual(Int32Array.from(ours.encode(text)));
    const llama = Tokenizer.fromJSON(JSON.parse(readFileSync(fixture('stories260K/tokenizer.json'), 'utf8')));
    const part = text.slice(0, 20_000);
    expect([...encodeCorpus(llama, part, { beginOfDocument: 1 })]).toEqual(llama.encode(part));
  });
});

describe('splitCorpus', () => {
  it('holds out the tail, in one piece, without a copy', () => {
    const tokens = Int32Array.from({ length: 1000 }, (_, i) => i);
    const { training, validation } = splitCorpus(tokens, 0.05);
    expect([training.length, validation.length]).toEqual([950, 50]);
    expect([training[949], validation[0], validation[49]]).toEqual([949, 950, 999]);
    expect(validation.buffer).toBe(tokens.buffer);
  });

  it('refuses fractions and texts that leave a side empty', () => {
    const tokens = Int32Array.of(1, 2, 3);
    for (const wrong of [-1, 1.5, Number.NaN])
      expect(() => splitCorpus(tokens, wrong)).toThrow('give a share below 1 or a number of tokens');
    expect(() => splitCorpus(tokens, 2)).toThrow('too few');
    expect(() => splitCorpus(tokens, 0.3)).toThrow('too few');
  });
});
