import { RopewalkError } from '../errors.ts';
import { BPE_FIELDS } from './bpe-fields.ts';
import { BYTE_TO_CHAR } from './byte-alphabet.ts';
import { pausingSteps } from './pauses.ts';
import type { JsonObject, TokenizerJson } from './tokenizer-schema.ts';
import { escapePattern } from './unicode/text.ts';
import { WordTable } from './word-table.ts';

/** A learned merge. */
export interface BpeMerge {
  /** The two pieces, in the byte alphabet (`Ġ` is a space). */
  left: string;
  right: string;
  /** How often they were adjacent just before the merge. */
  frequency: number;
  /** Vocabulary size after the merge, and the target. */
  size: number;
  target: number;
}

export interface BpeTrainerOptions {
  /** Tokens in the result: special tokens, 256 bytes, merges. Fewer when the text has no more pairs. */
  vocabSize: number;
  /** Special tokens, with ids from 0. The first begins and ends documents. */
  specialTokens?: readonly string[];
  /** Pairs that occur less often are not merged; default 2. */
  minFrequency?: number;
  /** Called after every merge. */
  onProgress?: (merge: BpeMerge) => void;
}

const WORDS_BETWEEN_PAUSES = 10_000;

const END_OF_TEXT = '<|endoftext|>';

/**
 * GPT-2's pre-tokenizer (Radford et al. 2019), for Hugging Face's `Split`. A Split rather than `ByteLevel` with
 * `use_regex`, because JavaScript loaders interpret `\s` in the latter as JavaScript does; and not Llama 3's
 * pattern, because its `(?i:'s)` matches U+017F in one engine and not in the other.
 */
export const PRE_TOKENIZER_PATTERN =
  "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/** The same pattern in JavaScript, with `\s` as the Unicode property that the Rust library uses. */
const wordPattern = () =>
  new RegExp(
    PRE_TOKENIZER_PATTERN.replace('[^\\s', '[^\\p{White_Space}')
      .replaceAll('\\s', '\\p{White_Space}')
      .replaceAll('\\S', '\\P{White_Space}'),
    'gu',
  );

/**
 * Trains a byte-level BPE tokenizer (Sennrich et al. 2016; over bytes as in GPT-2) and returns the object of a
 * tokenizer.json that Hugging Face's libraries load.
 *
 * Each step merges the most frequent pair of adjacent pieces within words; ties go to the smallest left id, then
 * right id. Ids: special tokens, the 256 bytes in the order of their characters, merges in order. These are the rules
 * of Hugging Face's BpeTrainer, so the merges are the same. Special tokens inside the texts are removed before
 * counting.
 *
 * Words are stored once with their counts, and a merge visits only the words that contain its pair, so the time grows
 * with the number of distinct words rather than with the text.
 *
 * @throws RopewalkError if the vocabulary has no room for the bytes and special tokens
 */
export function trainBpe(texts: Iterable<string>, options: BpeTrainerOptions): TokenizerJson {
  const work = trainingSteps(texts, options);
  let step = work.next();
  while (!step.done) step = work.next();
  return step.value;
}

/**
 * The same, with pauses that let the event loop run.
 *
 * @throws the signal's reason once it is aborted
 */
export async function trainBpeAsync(
  texts: Iterable<string>,
  options: BpeTrainerOptions & { readonly signal?: AbortSignal | undefined },
): Promise<TokenizerJson> {
  return pausingSteps(trainingSteps(texts, options), options.signal);
}

/** Yields where the work can pause: after batches of words while counting, and after every merge. */
function* trainingSteps(
  texts: Iterable<string>,
  options: BpeTrainerOptions,
): Generator<undefined, TokenizerJson> {
  const specialTokens = options.specialTokens ?? [END_OF_TEXT];
  const { vocabSize, minFrequency = 2 } = options;
  const tokens = checkedAlphabet(specialTokens, vocabSize);
  if (!(minFrequency >= 1))
    throw new RopewalkError(`minFrequency is ${minFrequency}; it must be at least 1.`);
  const ids = new Map(tokens.map((token, id) => [token, id] as const));
  const words = new WordTable(byteWords(yield* countWords(texts, specialTokens), ids));
  const merges: [string, string][] = [];
  while (tokens.length < vocabSize) {
    const pair = words.heap.pop();
    if (pair === undefined || pair.count < minFrequency) break;
    const { count } = pair;
    const [left, right] = [tokens[pair.left]!, tokens[pair.right]!];
    const joined = left + right;
    // Two merges that form the same string share one id, and both are kept.
    let id = ids.get(joined);
    if (id === undefined) {
      id = tokens.push(joined) - 1;
      ids.set(joined, id);
    }
    merges.push([left, right]);
    words.merge(pair, id);
    options.onProgress?.({ left, right, frequency: count, size: tokens.length, target: vocabSize });
    yield;
  }
  return tokenizerJson(Object.fromEntries(ids), merges, specialTokens);
}

/** Special tokens, then the 256 bytes sorted by the code points of their characters. */
function checkedAlphabet(specialTokens: readonly string[], vocabSize: number): string[] {
  const tokens = [...specialTokens, ...[...BYTE_TO_CHAR].sort()];
  if (new Set(tokens).size !== tokens.length || specialTokens.includes('')) {
    throw new RopewalkError('specialTokens must be different, not empty, and not a single byte character.');
  }
  if (!Number.isInteger(vocabSize) || vocabSize < tokens.length) {
    throw new RopewalkError(
      `vocabSize is ${vocabSize}; it must be a whole number of at least ${tokens.length} ` +
        `(256 bytes and ${specialTokens.length} special tokens).`,
    );
  }
  return tokens;
}

/** How often each pre-tokenized word occurs in the texts. */
function* countWords(
  texts: Iterable<string>,
  specialTokens: readonly string[],
): Generator<undefined, Map<string, number>> {
  const counts = new Map<string, number>();
  let counted = 0;
  const pattern = wordPattern();
  // Longest first, so that a special token that is a prefix of another does not hide it.
  const specials = [...specialTokens].sort((a, b) => b.length - a.length);
  const separator = specials.length ? new RegExp(specials.map(escapePattern).join('|'), 'u') : null;
  for (const text of texts) {
    for (const part of separator ? text.split(separator) : [text]) {
      pattern.lastIndex = 0;
      for (let match = pattern.exec(part); match; match = pattern.exec(part)) {
        counts.set(match[0], (counts.get(match[0]) ?? 0) + 1);
        if (++counted % WORDS_BETWEEN_PAUSES === 0) yield;
      }
    }
  }
  return counts;
}

/** Words as the ids of their bytes, with their counts. */
function* byteWords(
  counts: ReadonlyMap<string, number>,
  ids: ReadonlyMap<string, number>,
): Generator<[number[], number]> {
  const encoder = new TextEncoder();
  const byteIds = BYTE_TO_CHAR.map((char) => ids.get(char)!);
  for (const [word, count] of counts) {
    yield [Array.from(encoder.encode(word), (byte) => byteIds[byte]!), count];
  }
}

function tokenizerJson(
  vocab: Record<string, number>,
  merges: [string, string][],
  specialTokens: readonly string[],
): TokenizerJson {
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: specialTokens.map((content, id) => ({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: null,
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        { type: 'Split', pattern: { Regex: PRE_TOKENIZER_PATTERN }, behavior: 'Isolated', invert: false },
        { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
      ],
    },
    post_processor: null,
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: { ...BPE_FIELDS, vocab, merges },
  };
}

/**
 * The tokenizer_config.json for a tokenizer from `trainBpe`, so that transformers' AutoTokenizer loads the directory.
 * The first special token begins and ends documents.
 *
 * @param options.modelMaxLength the model's context length in tokens, which transformers warns about
 */
export function bpeTokenizerConfig(
  tokenizer: TokenizerJson,
  options: { modelMaxLength?: number } = {},
): JsonObject {
  const boundary = tokenizer.added_tokens.find((token) => token.special)?.content ?? null;
  return {
    tokenizer_class: 'PreTrainedTokenizerFast',
    bos_token: boundary,
    eos_token: boundary,
    add_prefix_space: false,
    clean_up_tokenization_spaces: false,
    ...(options.modelMaxLength === undefined ? {} : { model_max_length: options.modelMaxLength }),
  };
}
