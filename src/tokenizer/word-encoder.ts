import {
  ByteLevelPreTokenizer,
  type Tokenizer as HuggingFaceTokenizer,
  SequencePreTokenizer,
  SplitPreTokenizer,
} from '@huggingface/tokenizers';
import { BYTE_TO_CHAR } from './byte-alphabet.ts';
import type { TokenizerJson } from './tokenizer-schema.ts';

/** Enough for the frequent words of any corpus; beyond it the table starts anew. */
const MAX_WORDS = 200_000;
const MAX_WORD_LENGTH = 64;

const encoder = new TextEncoder();

/** How a kind of tokenizer splits normalised text into words, and the spelling that its merges work on. */
interface Words {
  pattern: RegExp;
  spell: (word: string) => string;
}

/**
 * Encodes with a BPE model word by word and remembers each word's ids. Where no merge can cross the words' ends,
 * a word has the same ids wherever it stands, and texts repeat their words, so this is several times as fast as
 * the library's general path and gives the same ids.
 */
export class WordEncoder {
  readonly #library: HuggingFaceTokenizer;
  readonly #kind: Words;
  readonly #addedPattern: RegExp | undefined;
  readonly #addedIds: ReadonlyMap<string, number>;
  readonly #words = new Map<string, readonly number[]>();

  private constructor(library: HuggingFaceTokenizer, json: TokenizerJson, kind: Words) {
    this.#library = library;
    this.#kind = kind;
    this.#addedIds = new Map(json.added_tokens.map((token) => [token.content, token.id] as const));
    // The longest added token wins where several begin at one place.
    const contents = [...this.#addedIds.keys()].sort((a, b) => b.length - a.length);
    if (contents.length > 0)
      this.#addedPattern = new RegExp(`(${contents.map(escapePattern).join('|')})`, 'u');
  }

  /** @returns undefined when the tokenizer is not of a kind for which words are known to be independent */
  static for(library: HuggingFaceTokenizer, json: TokenizerJson): WordEncoder | undefined {
    if (json.model.type !== 'BPE') return undefined;
    const plain = json.added_tokens.every(
      ({ content, lstrip, rstrip, single_word, normalized, special }) =>
        content !== '' &&
        !lstrip &&
        !rstrip &&
        !single_word &&
        !(json.normalizer && (normalized ?? !special)),
    );
    const kind = plain ? (byteLevelWords(library) ?? sentencePieceWords(json)) : undefined;
    return kind && new WordEncoder(library, json, kind);
  }

  /** The ids of a text, without what the post-processor adds. */
  encode(text: string): number[] {
    const ids: number[] = [];
    const sections = this.#addedPattern ? text.split(this.#addedPattern) : [text];
    for (const [index, section] of sections.entries()) {
      // Splitting by a captured group puts the added tokens at the odd places.
      if (index % 2 === 1) ids.push(this.#addedIds.get(section)!);
      else this.#encodeText(section, ids);
    }
    return ids;
  }

  /** The ids of a text in which no added token is recognised. */
  encodeText(text: string): number[] {
    const ids: number[] = [];
    this.#encodeText(text, ids);
    return ids;
  }

  #encodeText(text: string, ids: number[]): void {
    if (text !== '') this.#encodeSection(this.#library.normalizer?.(text) ?? text, ids);
  }

  #encodeSection(section: string, ids: number[]): void {
    const { pattern } = this.#kind;
    pattern.lastIndex = 0;
    let end = 0;
    while (end < section.length) {
      const match = pattern.exec(section);
      const start = match ? match.index : section.length;
      if (start > end) this.#encodeWord(section.slice(end, start), ids); // what the pattern leaves out is a word
      if (!match) break;
      this.#encodeWord(match[0], ids);
      end = start + match[0].length;
      if (match[0] === '') pattern.lastIndex++;
    }
  }

  #encodeWord(word: string, ids: number[]): void {
    let known = this.#words.get(word);
    if (known === undefined) {
      const tokens = this.#library.model!([this.#kind.spell(word)]);
      known = tokens.map((token) => this.#library.token_to_id(token)!);
      if (this.#words.size >= MAX_WORDS) this.#words.clear();
      if (word.length <= MAX_WORD_LENGTH) this.#words.set(word, known);
    }
    for (const id of known) ids.push(id);
  }
}

function spellBytes(word: string): string {
  let characters = '';
  for (const byte of encoder.encode(word)) characters += BYTE_TO_CHAR[byte];
  return characters;
}

/** GPT-2's and Llama 3's kind: the pre-tokenizer is `ByteLevel`, or a `Split` and `ByteLevel`. */
function byteLevelWords(library: HuggingFaceTokenizer): Words | undefined {
  const pattern = byteLevelPattern(library);
  // A byte without a token could become an unknown token, and those fuse across words.
  const complete = BYTE_TO_CHAR.every((char) => library.token_to_id(char) !== undefined);
  return pattern && complete ? { pattern, spell: spellBytes } : undefined;
}

function byteLevelPattern(library: HuggingFaceTokenizer): RegExp | undefined {
  const { pre_tokenizer: whole } = library;
  if (whole instanceof ByteLevelPreTokenizer) {
    return whole.use_regex && !whole.add_prefix_space ? whole.pattern : undefined;
  }
  if (!(whole instanceof SequencePreTokenizer) || whole.tokenizers.length !== 2) return undefined;
  const [split, bytes] = whole.tokenizers;
  if (!(split instanceof SplitPreTokenizer) || !(bytes instanceof ByteLevelPreTokenizer)) return undefined;
  const { behavior, invert } = split.config;
  if (invert || behavior?.toLowerCase() !== 'isolated') return undefined;
  if (bytes.use_regex || bytes.add_prefix_space) return undefined;
  return split.pattern ?? undefined;
}

/**
 * SentencePiece's kind, as in Llama 2 and Gemma: the normalizer writes spaces as `▁` and the model sees the whole
 * text. Merges make tokens of the vocabulary only, so where no token has `▁` after another character, none
 * crosses from a word to the `▁` that begins the next. With a token for every byte nothing is unknown.
 */
function sentencePieceWords(json: TokenizerJson): Words | undefined {
  const { model, normalizer, pre_tokenizer: preTokenizer } = json;
  const parts = normalizer?.type === 'Sequence' ? normalizer.normalizers : [normalizer];
  const marksSpaces =
    Array.isArray(parts) &&
    parts.some((part) => part?.type === 'Replace' && part.pattern?.String === ' ' && part.content === '▁');
  // Gemma's pre-tokenizer splits at spaces, of which the normalizer has left none.
  const { String: separator } = (preTokenizer?.pattern ?? {}) as { String?: unknown };
  const splitsAtSpaces = preTokenizer?.type === 'Split' && separator === ' ';
  if (!marksSpaces || (preTokenizer !== null && !splitsAtSpaces)) return undefined;
  if (model.ignore_merges || model.continuing_subword_prefix || model.end_of_word_suffix) return undefined;
  const vocab = model.vocab as Record<string, number>;
  const complete =
    model.byte_fallback === true &&
    BYTE_TO_CHAR.every((_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>` in vocab);
  if (!complete || Object.keys(vocab).some((token) => /[^▁]▁/u.test(token))) return undefined;
  return { pattern: /▁*[^▁]+|▁+/gu, spell: (word) => word };
}

/** Makes a text match itself inside a regular expression with the flag `u`. */
export function escapePattern(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\/-]/g, (char) => `\\u{${char.charCodeAt(0).toString(16)}}`);
}
