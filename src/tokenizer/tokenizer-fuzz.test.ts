import { describe, expect, it } from 'vitest';
import { cpuSeconds } from '../../test/helpers/work.node.ts';
import { RopewalkError } from '../errors.ts';
import { Random } from '../random.ts';
import { bpeTokenizerConfig, trainBpe } from './bpe-trainer.ts';
import { Tokenizer } from './tokenizer.ts';

/**
 * Tokenizer files are untrusted. Whatever is changed in one, it is refused with a RopewalkError, or it is a tokenizer
 * that turns texts into ids and back, or says with a RopewalkError that it cannot; never another error and never a hang.
 */
const MUTATIONS = 7000;

const byteLevel = trainBpe(['a rope is laid of three strands, and a rope of ropes is a cable. '.repeat(4)], {
  vocabSize: 300,
});

const letters = ['<unk>', '<s>', '</s>', '▁', 'a', 'b', 'c', '▁a', 'ab', 'abc', '▁abc', '<0x41>', '<0xE1>'];
const sentencePiece = {
  version: '1.0',
  added_tokens: [0, 1, 2].map((id) => ({ id, content: letters[id]!, special: true, normalized: false })),
  normalizer: {
    type: 'Sequence',
    normalizers: [
      { type: 'Prepend', prepend: '▁' },
      { type: 'Replace', pattern: { String: ' ' }, content: '▁' },
    ],
  },
  pre_tokenizer: null,
  post_processor: {
    type: 'TemplateProcessing',
    single: [{ SpecialToken: { id: '<s>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
    pair: [{ Sequence: { id: 'A', type_id: 0 } }, { Sequence: { id: 'B', type_id: 0 } }],
    special_tokens: { '<s>': { id: '<s>', ids: [1], tokens: ['<s>'] } },
  },
  decoder: {
    type: 'Sequence',
    decoders: [
      { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
      { type: 'ByteFallback' },
      { type: 'Fuse' },
      { type: 'Strip', content: ' ', start: 1, stop: 0 },
    ],
  },
  model: {
    type: 'BPE',
    unk_token: '<unk>',
    fuse_unk: true,
    byte_fallback: true,
    vocab: Object.fromEntries(letters.map((letter, id) => [letter, id])),
    merges: ['▁ a', 'a b', 'ab c', '▁ abc'],
  },
};

const unigram = {
  version: '1.0',
  added_tokens: [{ id: 0, content: '<unk>', special: true }],
  normalizer: null,
  pre_tokenizer: {
    type: 'Sequence',
    pretokenizers: [
      { type: 'Split', pattern: { Regex: '\\s+' }, behavior: 'Isolated', invert: false },
      { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: true },
    ],
  },
  post_processor: null,
  decoder: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: true },
  model: {
    type: 'Unigram',
    unk_id: 0,
    vocab: letters
      .filter((letter) => !letter.startsWith('<') || letter === '<unk>')
      .map((letter, i) => [letter, -i]),
  },
};

const TEXTS = ['', 'abc a\tb', '밧줄 rope 🪢', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa b', '<s>a</s><unk>'];

const STRANGE: readonly unknown[] = [
  null,
  true,
  0,
  -1,
  1.5,
  4294967295,
  1e15,
  1e308,
  '',
  'a',
  '▁',
  '\u0000',
  'a'.repeat(5000),
  '(a+)+b',
  '[',
  '__proto__',
  'constructor',
  [],
  {},
  [[]],
  [null, 1, 'a'],
  { type: 'Sequence' },
  { type: 'Replace', pattern: { Regex: '(a|a)*b' }, content: 'x' },
  { type: 'Lowercase' },
  { type: 'NFKC' },
  { type: 'Precompiled', precompiled_charsmap: 'AAAA' },
  { type: 'ByteLevel' },
  { type: 'Digits' },
  { type: 'Whitespace' },
  { type: 'BertPreTokenizer' },
  { type: 'WordPiece' },
  { type: 'Nonsense' },
];

/** Changes one or two places of a file. */
function mutate(json: unknown, random: Random): unknown {
  const copy = structuredClone(json);
  for (let i = 0; i <= random.nextInt(2); i++) {
    let holder = copy as Record<string, unknown>;
    for (;;) {
      const keys = Object.keys(holder);
      if (keys.length === 0) break;
      const key = keys[random.nextInt(keys.length)]!;
      const value = holder[key];
      if (typeof value === 'object' && value !== null && random.nextInt(4) > 0) {
        holder = value as Record<string, unknown>;
        continue;
      }
      change(holder, key, random);
      break;
    }
  }
  return copy;
}

function change(holder: Record<string, unknown>, key: string, random: Random): void {
  const strange = STRANGE[random.nextInt(STRANGE.length)];
  const kind = random.nextInt(5);
  if (kind === 0) delete holder[key];
  else if (kind === 1) holder[`${key}x`] = holder[key];
  else if (kind === 2) holder[key] = deep(random.nextInt(3000), strange);
  else holder[key] = structuredClone(strange);
}

function deep(levels: number, value: unknown): unknown {
  let result = value;
  for (let i = 0; i < levels; i++)
    result = i % 2 === 0 ? [result] : { type: 'Sequence', normalizers: result };
  return result;
}

describe.each([
  ['byte-level BPE', byteLevel, bpeTokenizerConfig(byteLevel)],
  ['SentencePiece-style BPE', sentencePiece, { bos_token: '<s>' }],
  ['Unigram', unigram, {}],
])('a damaged tokenizer of %s', (_name, json, config) => {
  it(`is refused by name or encodes text, in ${MUTATIONS} mutations`, () => {
    const random = new Random(11);
    let refused = 0;
    let slowest = 0;
    for (let i = 0; i < MUTATIONS; i++) {
      const [changed, settings] =
        random.nextInt(8) === 0 ? [json, mutate(config, random)] : [mutate(json, random), config];
      const seconds = cpuSeconds(() => {
        try {
          const tokenizer = Tokenizer.fromJSON(changed, settings);
          for (const text of TEXTS) {
            const ids = tokenizer.encode(text);
            expect(ids.every((id) => Number.isSafeInteger(id) && id >= 0)).toBe(true);
            expect(typeof tokenizer.decode(ids)).toBe('string');
          }
        } catch (error) {
          if (!(error instanceof RopewalkError)) throw error;
          refused++;
        }
      });
      slowest = Math.max(slowest, seconds);
    }
    expect(refused).toBeGreaterThan(MUTATIONS / 10);
    expect(refused).toBeLessThan(MUTATIONS);
    expect(slowest).toBeLessThan(3);
  });
});
