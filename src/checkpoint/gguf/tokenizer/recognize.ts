import { CHAR_TO_BYTE } from '../../../tokenizer/byte-alphabet.ts';

/** How words of a published pre-tokenizer look, and what only a vocabulary of such words has. */
interface Words {
  /** llama.cpp's name. */
  readonly name: string;
  /** Matches what can be a part of one word. */
  readonly part: RegExp;
  /** Each must match a token: shapes that other pre-tokenizers cut. */
  readonly shows: readonly RegExp[];
  /** Whether it is told by what is missing too, which only a large vocabulary can tell. */
  readonly large?: boolean;
}

/** Merges from which on what is missing is missing on purpose. */
const LARGE = 1000;

/**
 * The pre-tokenizers that files without a name can have: llama.cpp has had names since April 2024. Numbers: any in
 * GPT-2's words, up to three digits in Llama 3's, one in Qwen 2's and StarCoder's (SmolLM's).
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
 * The pre-tokenizer that a byte-level vocabulary was trained with, by llama.cpp's name. Merges never cross the border of
 * a word, so that each merged token refutes the pre-tokenizers that would cut it.
 *
 * @returns undefined where the vocabulary does not tell it for certain
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
      continue; // A part of a character.
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

/** The bytes of a merged token; its parts stand with a space between them. */
function bytesOf(merge: string): Uint8Array {
  return Uint8Array.from([...merge].flatMap((char) => CHAR_TO_BYTE.get(char) ?? []));
}
