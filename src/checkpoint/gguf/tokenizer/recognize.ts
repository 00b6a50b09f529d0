import { CHAR_TO_BYTE } from '../../../tokenizer/byte-alphabet.ts';

/** The form of a published pre-tokenizer's words, and what only a vocabulary of such words contains. */
interface Words {
  /** llama.cpp's name. */
  readonly name: string;
  /** Matches any part of one word. */
  readonly part: RegExp;
  /** Each must match a token: forms that other pre-tokenizers split. */
  readonly shows: readonly RegExp[];
  /** Whether it is also recognized by what is missing, which requires a large vocabulary. */
  readonly large?: boolean;
}

/** The number of merges from which missing forms are significant. */
const LARGE = 1000;

/**
 * The pre-tokenizers of files that name none: llama.cpp has had names since April 2024. Numbers: any in GPT-2's words,
 * up to three digits in Llama 3's, one in Qwen 2's and StarCoder's (SmolLM's).
 */
const PUBLISHED: readonly Words[] = [
  {
    name: 'gpt-2',
    part: /^(?:'\p{L}{0,2}| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+)$/u,
    shows: [/^ ?\p{N}{4}/u, /^ [^\s\p{L}\p{N}]/u],
  },
  {
    name: 'smollm',
    part: /^(?:'\p{L}{0,2}| ?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s+)$/u,
    shows: [/^ [^\s\p{L}\p{N}]/u],
    large: true,
  },
  {
    name: 'llama-bpe',
    part: /^(?:[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s+)$/u,
    shows: [/^\p{N}{3}$/u, /^[^\s\p{L}\p{N}]+[\r\n]+$/u, /^[^\s\p{L}\p{N}']\p{L}/u],
  },
  {
    name: 'qwen2',
    part: /^(?:[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s+)$/u,
    shows: [/^[^\s\p{L}\p{N}]+[\r\n]+$/u, /^[^\s\p{L}\p{N}']\p{L}/u],
    large: true,
  },
];

/**
 * The pre-tokenizer that a byte-level vocabulary was trained with, by llama.cpp's name. Merges never cross word
 * boundaries, so each merged token rules out the pre-tokenizers that would split it.
 *
 * @returns undefined if the vocabulary leaves more than one possibility
 */
export function recognizePreTokenizer(merges: readonly string[]): string | undefined {
  const candidates = PUBLISHED.filter(({ large }) => !large || merges.length >= LARGE).map((words) => ({
    ...words,
    missing: new Set(words.shows),
    refuted: false,
  }));
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  for (const merge of merges) {
    let text: string;
    try {
      text = decoder.decode(bytesOf(merge));
    } catch {
      continue; // Part of a character.
    }
    for (const candidate of candidates) {
      if (candidate.refuted) continue;
      candidate.refuted = !candidate.part.test(text);
      for (const shape of candidate.missing) if (shape.test(text)) candidate.missing.delete(shape);
    }
  }
  const fitting = candidates.filter(({ refuted, missing }) => !refuted && missing.size === 0);
  return fitting.length === 1 ? fitting[0]!.name : undefined;
}

/** The bytes of a merged token, given as its two parts separated by a space. */
function bytesOf(merge: string): Uint8Array {
  return Uint8Array.from([...merge].flatMap((char) => CHAR_TO_BYTE.get(char) ?? []));
}
