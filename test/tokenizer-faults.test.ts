import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Tokenizer as NativeTokenizer } from 'tokenizers';
import { describe, expect, it } from 'vitest';
import { loadTokenizer } from '../src/tokenizer/tokenizer.node.ts';
import { Tokenizer } from '../src/tokenizer/tokenizer.ts';

/**
 * Tokenizers that others get wrong: the ids and texts in each folder are those of the Rust library (tokenizers 0.23.3).
 * Beside each stand siblings, one option changed, which are held against the library's npm package.
 */
const FOLDERS = fileURLToPath(new URL('faults', import.meta.url));
const json = (name: string) => JSON.parse(readFileSync(join(FOLDERS, name, 'tokenizer.json'), 'utf8'));

const NAMES = [
  'digits-beyond-ascii',
  'whitespace-not-unicode',
  'split-isolated-invert',
  'split-merged_with_next',
  'punctuation-merged_with_previous',
  'precompiled-nfkc',
  'added-single-word',
  'added-normalized-loses-space',
  'slow-tokenizer-fields',
  'unigram-byte-fallback',
];

describe.each(NAMES)('the tokenizer of the fault %s', (name) => {
  it('gives the ids and texts of the Rust library', () => {
    const tokenizer = loadTokenizer(join(FOLDERS, name));
    for (const { text, ids, decoded } of JSON.parse(
      readFileSync(join(FOLDERS, name, 'expected.json'), 'utf8'),
    )) {
      expect(tokenizer.encode(text), text).toEqual(ids);
      expect(tokenizer.decode(ids), text).toBe(decoded);
    }
  });
});

const TEXTS = [
  'wait... what?! (a), b;c «d» ¿e? $5 ½ ² ① ٣ 12',
  ' 한국 한국어 대한민국\u00853월 4일\u3000AI가\ufeff좋다 \u200bz',
  'line1\nline2\r\nＨＥＬＬＯ ﬁ Ǆ \u1100\u1161 e\u0301 😀👩‍👩‍👧',
  'met Deniz  a met\n\nDENIZ b ',
  '',
];

const BEHAVIORS = ['Removed', 'Isolated', 'MergedWithPrevious', 'MergedWithNext', 'Contiguous'];
type Json = ReturnType<typeof json>;
const withPreTokenizer = (name: string, first: object): Json => ({
  ...json(name),
  pre_tokenizer: {
    type: 'Sequence',
    pretokenizers: [
      first,
      { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
    ],
  },
});
const withAdded = (name: string, flags: object): Json => {
  const all = json(name);
  return { ...all, added_tokens: all.added_tokens.map((token: object) => ({ ...token, ...flags })) };
};

const SIBLINGS: [name: string, json: Json][] = [
  ...[true, false].map((individual_digits): [string, Json] => [
    `digits, individual ${individual_digits}`,
    withPreTokenizer('digits-beyond-ascii', { type: 'Digits', individual_digits }),
  ]),
  ...['Whitespace', 'WhitespaceSplit', 'BertPreTokenizer', 'UnicodeScripts'].flatMap(
    (type): [string, Json][] => [
      [type, { ...json('whitespace-not-unicode'), pre_tokenizer: { type } }],
      [`${type} and bytes`, withPreTokenizer('digits-beyond-ascii', { type })],
    ],
  ),
  ...BEHAVIORS.flatMap((behavior): [string, Json][] => [
    [
      `punctuation ${behavior}`,
      withPreTokenizer('punctuation-merged_with_previous', { type: 'Punctuation', behavior }),
    ],
    ...[true, false].map((invert): [string, Json] => [
      `split ${behavior}, invert ${invert}`,
      withPreTokenizer('split-isolated-invert', {
        type: 'Split',
        pattern: { Regex: '\\p{L}+|\\s' },
        behavior,
        invert,
      }),
    ]),
  ]),
  ...['NFC', 'NFD', 'NFKC', 'NFKD', 'Nmt', 'Lowercase', 'StripAccents'].map((type): [string, Json] => [
    `precompiled after ${type}`,
    {
      ...json('precompiled-nfkc'),
      normalizer: { type: 'Sequence', normalizers: [{ type }, json('precompiled-nfkc').normalizer] },
    },
  ]),
  ...['single_word', 'lstrip', 'rstrip', 'normalized', 'special'].flatMap((flag): [string, Json][] =>
    [true, false].flatMap((value): [string, Json][] => [
      [`added tokens, ${flag} ${value}`, withAdded('added-single-word', { [flag]: value })],
      [
        `normalized added tokens, ${flag} ${value}`,
        withAdded('added-normalized-loses-space', { [flag]: value }),
      ],
    ]),
  ),
  ...[true, false].map((byte_fallback): [string, Json] => {
    const all = json('unigram-byte-fallback');
    return [`Unigram, byte fallback ${byte_fallback}`, { ...all, model: { ...all.model, byte_fallback } }];
  }),
];

it.each(SIBLINGS)('%s: gives the ids and texts of the Rust library', async (_name, changed) => {
  const ours = Tokenizer.fromJSON(changed);
  const native = NativeTokenizer.fromString(JSON.stringify(changed));
  for (const text of TEXTS) {
    const ids = ours.encode(text);
    expect(ids, text).toEqual([...(await native.encode(text)).getIds()]);
    for (const skipSpecialTokens of [true, false]) {
      expect(ours.decode(ids, { skipSpecialTokens }), text).toBe(await native.decode(ids, skipSpecialTokens));
    }
  }
});

it('the tokenizer takes only bos and eos from tokenizer_config.json', () => {
  const all = json('slow-tokenizer-fields');
  const plain = Tokenizer.fromJSON(all);
  for (const config of [
    { do_lower_case: true, strip_accents: true, remove_space: true },
    { add_prefix_space: true, legacy: false, keep_accents: false },
    { clean_up_tokenization_spaces: true, split_special_tokens: true, padding_side: 'left' },
  ]) {
    const configured = Tokenizer.fromJSON(all, config);
    for (const text of TEXTS) expect(configured.encode(text)).toEqual(plain.encode(text));
  }
});

it('the tokenizer encodes more tokens than a function call takes arguments', () => {
  const tokenizer = loadTokenizer(join(FOLDERS, 'unigram-byte-fallback'));
  const text = '\n!?'.repeat(60_000);
  const ids = tokenizer.encode(text, { addSpecialTokens: false });
  expect(ids.length).toBeGreaterThan(120_000);
  expect(tokenizer.decode(ids).endsWith('\n!?\n!?')).toBe(true);
});
