import type { JsonObject } from '../../../src/tokenizer/tokenizer-schema.ts';
import charsmaps from './charsmaps.json' with { type: 'json' };
import type { Chooser } from './chooser.ts';
import { CHARACTERS } from './texts.ts';

/** Expressions of published tokenizers, and others as people write them. */
const EXPRESSIONS = [
  "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
  "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+",
  "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
  ' ?[^(\\s|[.,!?…。，、।۔،])]+',
  '\\s?\\p{L}+',
  '\\s?\\p{P}+',
  '[一-龥ࠀ-一가-퟿]+',
  '[\\r\\n]',
  '\\p{N}{1,3}',
  '\\p{N}+',
  '\\p{L}+',
  '\\d',
  '\\d{3}(?=(?:\\d{3})*\\b)',
  '\\w+|[^\\w\\s]+',
  '\\W',
  '\\s+',
  '\\s',
  '\\S+',
  '\\s+$',
  '^\\s+',
  ' {2,}',
  '.',
  '[^a-z]',
  '(?i)the|AB',
  '[[:alpha:]]+',
  '[[:punct:]]',
  '[a-zA-Z&&[^b]]+',
  '\\h+',
  '\\p{Han}',
  '\\p{Hangul}+',
  '\\bthe\\b',
  '(?<=[.!?])\\s+',
  '(?<!\\S)a',
  'a|b|ab',
  '\\x20',
  '\\x{AC00}|\\uAC01',
  '(?:\\r\\n|\\n)+',
];

const BEHAVIORS = ['Removed', 'Isolated', 'MergedWithPrevious', 'MergedWithNext', 'Contiguous'] as const;

function randomPattern(choose: Chooser): JsonObject {
  if (choose.flag()) return { Regex: choose.pick(EXPRESSIONS) };
  return { String: choose.pick([' ', '  ', '▁', 'a', 'ab', '\n', '.', choose.pick(CHARACTERS)]) };
}

function randomMetaspace(choose: Chooser): JsonObject {
  return {
    type: 'Metaspace',
    replacement: choose.once(6) ? choose.pick(['_', 'Ġ', 'a']) : '▁',
    prepend_scheme: choose.pick(['always', 'never', 'first']),
    split: choose.flag(),
  };
}

function randomByteLevel(choose: Chooser): JsonObject {
  return {
    type: 'ByteLevel',
    add_prefix_space: choose.flag(),
    trim_offsets: choose.flag(),
    use_regex: choose.flag(),
  };
}

/** A random normalizer, of any type. */
export function randomNormalizer(choose: Chooser, depth = 0): JsonObject {
  const make: (() => JsonObject)[] = [
    () => ({
      type: 'BertNormalizer',
      clean_text: choose.flag(),
      handle_chinese_chars: choose.flag(),
      strip_accents: choose.pick([null, true, false]),
      lowercase: choose.flag(),
    }),
    () => ({ type: 'Strip', strip_left: choose.flag(), strip_right: choose.flag() }),
    () => ({ type: choose.pick(['StripAccents', 'Lowercase', 'Nmt']) }),
    () => ({ type: choose.pick(['NFC', 'NFD', 'NFKC', 'NFKD']) }),
    () => ({ type: 'Precompiled', precompiled_charsmap: choose.pick(Object.values(charsmaps)) }),
    () => ({
      type: 'Replace',
      pattern: randomPattern(choose),
      content: choose.pick(['', ' ', '▁', 'a', 'ab', choose.pick(CHARACTERS)]),
    }),
    () => ({ type: 'Prepend', prepend: choose.pick(['▁', ' ', 'ab', choose.pick(CHARACTERS)]) }),
    () => ({ type: 'ByteLevel' }),
  ];
  if (depth < 2 && choose.once(3)) {
    return { type: 'Sequence', normalizers: choose.several(0, 3, () => randomNormalizer(choose, depth + 1)) };
  }
  return choose.pick(make)();
}

/** A random pre-tokenizer, of any type. */
export function randomPreTokenizer(choose: Chooser, depth = 0): JsonObject {
  const make: (() => JsonObject)[] = [
    () => ({ type: choose.pick(['BertPreTokenizer', 'Whitespace', 'WhitespaceSplit', 'UnicodeScripts']) }),
    () => randomByteLevel(choose),
    () => ({ type: 'CharDelimiterSplit', delimiter: choose.pick([' ', 'a', '▁', '가', '\n']) }),
    () => randomMetaspace(choose),
    () => ({
      type: 'Split',
      pattern: randomPattern(choose),
      behavior: choose.pick(BEHAVIORS),
      invert: choose.flag(),
    }),
    () => ({ type: 'Punctuation', behavior: choose.pick(BEHAVIORS) }),
    () => ({ type: 'Digits', individual_digits: choose.flag() }),
    () => ({ type: 'FixedLength', length: 1 + choose.below(7) }),
  ];
  if (depth < 2 && choose.once(3)) {
    return {
      type: 'Sequence',
      pretokenizers: choose.several(0, 3, () => randomPreTokenizer(choose, depth + 1)),
    };
  }
  return choose.pick(make)();
}

/** A random decoder, of any type. */
export function randomDecoder(choose: Chooser, depth = 0): JsonObject {
  const make: (() => JsonObject)[] = [
    () => ({ type: 'BPEDecoder', suffix: choose.pick(['</w>', '', '$', 'a']) }),
    () => randomByteLevel(choose),
    () => ({ type: 'WordPiece', prefix: choose.pick(['##', '', '▁']), cleanup: choose.flag() }),
    () => randomMetaspace(choose),
    () => ({
      type: 'CTC',
      pad_token: choose.pick(['<pad>', 'a']),
      word_delimiter_token: choose.pick(['|', ' ', '▁']),
      cleanup: choose.flag(),
    }),
    () => ({
      type: 'Replace',
      pattern: randomPattern(choose),
      content: choose.pick(['', ' ', choose.pick(CHARACTERS)]),
    }),
    () => ({ type: choose.pick(['Fuse', 'ByteFallback']) }),
    () => ({
      type: 'Strip',
      content: choose.pick([' ', 'a', '▁']),
      start: choose.below(3),
      // The library panics where a token is shorter than this.
      stop: choose.once(8) ? choose.below(3) : 0,
    }),
  ];
  if (depth < 2 && choose.once(2)) {
    return { type: 'Sequence', decoders: choose.several(0, 4, () => randomDecoder(choose, depth + 1)) };
  }
  return choose.pick(make)();
}

/** A random post-processor, of any type; `tokens` are spellings with their ids. */
export function randomProcessor(
  choose: Chooser,
  tokens: readonly (readonly [string, number])[],
  depth = 0,
): JsonObject {
  const token = () => choose.pick(tokens);
  const make: (() => JsonObject)[] = [
    () => ({
      type: 'RobertaProcessing',
      sep: token(),
      cls: token(),
      trim_offsets: choose.flag(),
      add_prefix_space: choose.flag(),
    }),
    () => ({ type: 'BertProcessing', sep: token(), cls: token() }),
    () => randomByteLevel(choose),
    () => randomTemplate(choose, tokens),
    () => randomTemplate(choose, tokens),
  ];
  if (depth < 2 && choose.once(4)) {
    // As a rule ByteLevel and another; the library panics where a template follows one that has added tokens.
    const processors = choose.once(8)
      ? choose.several(0, 2, () => randomProcessor(choose, tokens, depth + 1))
      : [randomByteLevel(choose), ...choose.several(0, 1, () => choose.pick(make.slice(0, -1))())];
    return { type: 'Sequence', processors };
  }
  return choose.pick(make)();
}

function randomTemplate(choose: Chooser, tokens: readonly (readonly [string, number])[]): JsonObject {
  const special_tokens: JsonObject = {};
  const special = () => {
    const [id] = choose.pick(tokens);
    const all = choose.several(1, 2, () => choose.pick(tokens));
    special_tokens[id] ??= { id, ids: all.map(([, number]) => number), tokens: all.map(([text]) => text) };
    return { SpecialToken: { id, type_id: choose.below(2) } };
  };
  const sequence = (id: string) => ({ Sequence: { id, type_id: choose.below(2) } });
  const around = (id: string) => [
    ...choose.several(0, 2, special),
    ...choose.several(1, choose.once(20) ? 2 : 1, () => sequence(id)),
    ...choose.several(0, 2, special),
  ];
  return {
    type: 'TemplateProcessing',
    single: around('A'),
    pair: [...around('A'), ...around('B')],
    special_tokens,
  };
}
