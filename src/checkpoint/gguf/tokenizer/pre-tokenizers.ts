import { PRE_TOKENIZER_PATTERN } from '../../../tokenizer/bpe-trainer.ts';

type Json = Record<string, unknown>;

/** How a text is cut into words before byte-level BPE, under llama.cpp's name for it. */
export interface PreTokenizer {
  /** `pre_tokenizer` of tokenizer.json. */
  json(addPrefixSpace: boolean): Json;
  /** Whether a word that is a token is never merged from parts: Llama 3. */
  readonly ignoresMerges: boolean;
  /** Whether such models begin a text with bos unless they say otherwise. */
  readonly addsBos: boolean;
}

const byteLevel = (addPrefixSpace: boolean, useRegex: boolean): Json => ({
  type: 'ByteLevel',
  add_prefix_space: addPrefixSpace,
  trim_offsets: true,
  use_regex: useRegex,
});

/** A split by a pattern, then bytes. */
const splitBy =
  (pattern: string) =>
  (addPrefixSpace: boolean): Json => ({
    type: 'Sequence',
    pretokenizers: [
      { type: 'Split', pattern: { Regex: pattern }, behavior: 'Isolated', invert: false },
      byteLevel(addPrefixSpace, false),
    ],
  });

/** Numbers in groups of up to three digits: Llama 3 and models with its words. */
const LLAMA3 =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
/** The same with one digit at a time. */
const QWEN2 = LLAMA3.replace('{1,3}', '');

const gpt2: PreTokenizer = {
  json: (prefix) => byteLevel(prefix, true),
  ignoresMerges: false,
  addsBos: false,
};
const llama3: PreTokenizer = { json: splitBy(LLAMA3), ignoresMerges: true, addsBos: true };
/** Every number character apart, then GPT-2's words. */
const numbersApart =
  (apart: Json) =>
  (prefix: boolean): Json => ({ type: 'Sequence', pretokenizers: [apart, byteLevel(prefix, true)] });
const smollm: PreTokenizer = {
  // Not as `Digits`, which means ASCII digits alone where this runs and all number characters in the Rust library.
  json: numbersApart({ type: 'Split', pattern: { Regex: '\\p{N}' }, behavior: 'Isolated', invert: false }),
  ignoresMerges: false,
  addsBos: false,
};
const qwen2: PreTokenizer = { json: splitBy(QWEN2), ignoresMerges: false, addsBos: false };

const KNOWN: ReadonlyMap<string, PreTokenizer> = new Map([
  ['gpt-2', gpt2],
  ['llama-bpe', llama3],
  ['llama3', llama3],
  ['llama-v3', llama3],
  ['smollm', smollm],
  ['qwen2', qwen2],
]);

/** By llama.cpp's name, `tokenizer.ggml.pre`; undefined for one that is not known here. */
export function preTokenizerOf(name: string): PreTokenizer | undefined {
  return KNOWN.get(name);
}

/**
 * With other ways to write what has a name: our trained tokenizers have GPT-2's pattern as a split, and SmolLM's own
 * files its numbers as `Digits`.
 */
const SPELLINGS: readonly (readonly [string, PreTokenizer])[] = [
  ...KNOWN,
  ['gpt-2', { ...gpt2, json: splitBy(PRE_TOKENIZER_PATTERN) }],
  ['smollm', { ...smollm, json: numbersApart({ type: 'Digits', individual_digits: true }) }],
];

/** llama.cpp's name for the `pre_tokenizer` and `ignore_merges` of a tokenizer.json; undefined where it has none. */
export function preTokenizerName(json: unknown, ignoresMerges: boolean): string | undefined {
  const wanted = canonical(json);
  for (const [name, known] of SPELLINGS) {
    if (known.ignoresMerges === ignoresMerges && canonical(known.json(false)) === wanted) return name;
  }
  return undefined;
}

/** Fields that do not change how a text is cut are left out, and so is the order of the others. */
function canonical(json: unknown): string {
  return JSON.stringify(json, (_key, value: unknown) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
    const fields = Object.entries(value as Json).filter(([field]) => field !== 'trim_offsets');
    return Object.fromEntries(fields.sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}
