import { PRE_TOKENIZER_PATTERN } from '../../../tokenizer/bpe-trainer.ts';

type Json = Record<string, unknown>;

/** How a text is split into words before byte-level BPE, under llama.cpp's name for it. */
export interface PreTokenizer {
  /** `pre_tokenizer` of tokenizer.json. */
  json(addPrefixSpace: boolean): Json;
  /** Whether a word that is a token is used directly, without merges: Llama 3. */
  readonly ignoresMerges: boolean;
  /** Whether such models begin a text with bos by default. */
  readonly addsBos: boolean;
}

const byteLevel = (addPrefixSpace: boolean, useRegex: boolean): Json => ({
  type: 'ByteLevel',
  add_prefix_space: addPrefixSpace,
  trim_offsets: true,
  use_regex: useRegex,
});

const split = (pattern: string): Json => ({
  type: 'Split',
  pattern: { Regex: pattern },
  behavior: 'Isolated',
  invert: false,
});
/** Successive splits, then bytes. */
const splitBy =
  (...patterns: readonly string[]) =>
  (addPrefixSpace: boolean): Json => ({
    type: 'Sequence',
    pretokenizers: [...patterns.map(split), byteLevel(addPrefixSpace, false)],
  });

const CONTRACTION = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
/** Numbers in groups of up to three digits: Llama 3 and models with the same words. */
const LLAMA3 = `${CONTRACTION}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`;
/** The same with single digits. */
const QWEN2 = LLAMA3.replace('{1,3}', '');
/** The same with accents as part of letters. */
const QWEN35 = QWEN2.replace('\\p{L}+|', '[\\p{L}\\p{M}]+|').replace(
  '[^\\s\\p{L}\\p{N}]',
  '[^\\s\\p{L}\\p{M}\\p{N}]',
);
/** GPT-4o's: a capital begins a word, and a contraction belongs to the preceding word. */
const GPT4O = (() => {
  const [upper, lower] = ['[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]', '[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]'];
  const before = '[^\\r\\n\\p{L}\\p{N}]?';
  const words = [`${upper}*${lower}+`, `${upper}+${lower}*`].map((word) => `${before}${word}${CONTRACTION}?`);
  return `${words.join('|')}|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`;
})();

const words = (json: PreTokenizer['json']): PreTokenizer => ({ json, ignoresMerges: false, addsBos: false });
const gpt2 = words((prefix) => byteLevel(prefix, true));
/** Llama 3's words for models that merge words even if they are tokens. */
const dbrx = words(splitBy(LLAMA3));
const llama3: PreTokenizer = { ...dbrx, ignoresMerges: true, addsBos: true };
/** Isolated number characters, then GPT-2's words. */
const numbersApart = (apart: Json) =>
  words((prefix) => ({ type: 'Sequence', pretokenizers: [apart, byteLevel(prefix, true)] }));
// Not as `Digits`, which means only ASCII digits in some libraries and all number characters in others.
const smollm = numbersApart(split('\\p{N}'));
const qwen2 = words(splitBy(QWEN2));
const gpt4o = words(splitBy(GPT4O));
/**
 * llama.cpp's default for a file that names none: punctuation apart, GPT-2's words, numbers from the left in threes.
 */
const standard = words(splitBy('[\\p{P}$+<=>^~\\|]+', PRE_TOKENIZER_PATTERN, '\\p{N}+', '[0-9][0-9][0-9]'));

/**
 * By llama.cpp's names (llama-vocab.cpp), several of which mean the same. Exported files use the first of those.
 * Korean models: exaone, exaone4 (LG), midm-2.0 (KT), kanana2 (Kakao), trillion (Trillion Labs), a.x-4.0 (SKT),
 * solar-open (Upstage), kormo.
 */
const KNOWN: ReadonlyMap<string, PreTokenizer> = new Map(
  (
    [
      [gpt2, 'gpt-2 exaone4 trillion a.x-4.0 phi-2 gigachat mellum mpt olmo jais granite-docling'],
      [llama3, 'llama-bpe llama3 llama-v3 midm-2.0 falcon3 falcon-h1 pixtral lfm2'],
      [dbrx, 'dbrx smaug-bpe'],
      [smollm, 'smollm exaone starcoder refact command-r codeshell minerva-7b mellum2'],
      [qwen2, 'qwen2 kormo solar-open deepseek-r1-qwen f2llmv2 megrez hunyuan stablelm2 grok-2'],
      [words(splitBy(QWEN35)), 'qwen35'],
      [gpt4o, 'gpt-4o kanana2 llama4 talkie'],
      [standard, 'default'],
    ] as const
  ).flatMap(([pre, names]) => names.split(' ').map((name): [string, PreTokenizer] => [name, pre])),
);

/** By llama.cpp's name, `tokenizer.ggml.pre`; undefined for an unknown one. */
export function preTokenizerOf(name: string): PreTokenizer | undefined {
  return KNOWN.get(name);
}

/**
 * Alternative spellings of named pre-tokenizers: our trained tokenizers have GPT-2's pattern as a Split, and SmolLM's
 * own files split numbers with `Digits`.
 */
const SPELLINGS: readonly (readonly [string, PreTokenizer])[] = [
  ...KNOWN,
  ['gpt-2', words(splitBy(PRE_TOKENIZER_PATTERN))],
  ['smollm', numbersApart({ type: 'Digits', individual_digits: true })],
];

/** llama.cpp's name for the `pre_tokenizer` and `ignore_merges` of a tokenizer.json; undefined if it has none. */
export function preTokenizerName(json: unknown, ignoresMerges: boolean): string | undefined {
  const wanted = canonical(json);
  for (const [name, known] of SPELLINGS) {
    if (known.ignoresMerges === ignoresMerges && canonical(known.json(false)) === wanted) return name;
  }
  return undefined;
}

/** Removes fields that do not affect splitting, and normalizes the order of the others. */
function canonical(json: unknown): string {
  return JSON.stringify(json, (_key, value: unknown) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
    const same = keepsMatches(value as Json) ? { ...value, behavior: 'Isolated', invert: false } : value;
    const fields = Object.entries(same as Json).filter(([field]) => field !== 'trim_offsets');
    return Object.fromEntries(fields.sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}

/** Removing non-matches is the same as isolating matches if a pattern matches every text. */
function keepsMatches({ type, pattern, behavior, invert }: Json): boolean {
  if (type !== 'Split' || behavior !== 'Removed' || invert !== true) return false;
  const regex = (pattern as Json | undefined)?.Regex;
  return typeof regex === 'string' && regex.endsWith('|\\s+(?!\\S)|\\s+');
}
