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

/**
 * Encodes with a byte-level BPE word by word and remembers each word's ids. A word of the pre-tokenizer gets
 * the same ids wherever it stands, and texts repeat their words, so this is several times as fast as the
 * library's general path and gives the same ids.
 */
export class WordEncoder {
  readonly #library: HuggingFaceTokenizer;
  readonly #wordPattern: RegExp;
  readonly #addedPattern: RegExp | undefined;
  readonly #addedIds: ReadonlyMap<string, number>;
  readonly #words = new Map<string, readonly number[]>();

  private constructor(library: HuggingFaceTokenizer, json: TokenizerJson, wordPattern: RegExp) {
    this.#library = library;
    this.#wordPattern = wordPattern;
    this.#addedIds = new Map(json.added_tokens.map((token) => [token.content, token.id] as const));
    // The longest added token wins where several begin at one place.
    const contents = [...this.#addedIds.keys()].sort((a, b) => b.length - a.length);
    if (contents.length > 0)
      this.#addedPattern = new RegExp(`(${contents.map(escapePattern).join('|')})`, 'u');
  }

  /** @returns undefined when the tokenizer is not of the kind for which words are independent */
  static for(library: HuggingFaceTokenizer, json: TokenizerJson): WordEncoder | undefined {
    const wordPattern = byteLevelWordPattern(library);
    // A byte without a token could become an unknown token, and those fuse across words.
    const complete = BYTE_TO_CHAR.every((char) => library.token_to_id(char) !== undefined);
    const plain = json.added_tokens.every(
      ({ content, lstrip, rstrip, single_word }) => content !== '' && !lstrip && !rstrip && !single_word,
    );
    const applies = json.model.type === 'BPE' && json.normalizer === null && complete && plain;
    return wordPattern && applies ? new WordEncoder(library, json, wordPattern) : undefined;
  }

  /** The ids of a text, without what the post-processor adds. */
  encode(text: string): number[] {
    const ids: number[] = [];
    const sections = this.#addedPattern ? text.split(this.#addedPattern) : [text];
    for (const [index, section] of sections.entries()) {
      // Splitting by a captured group puts the added tokens at the odd places.
      if (index % 2 === 1) ids.push(this.#addedIds.get(section)!);
      else this.#encodeSection(section, ids);
    }
    return ids;
  }

  #encodeSection(section: string, ids: number[]): void {
    const pattern = this.#wordPattern;
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
      let characters = '';
      for (const byte of encoder.encode(word)) characters += BYTE_TO_CHAR[byte];
      known = this.#library.model!([characters]).map((token) => this.#library.token_to_id(token)!);
      if (this.#words.size >= MAX_WORDS) this.#words.clear();
      if (word.length <= MAX_WORD_LENGTH) this.#words.set(word, known);
    }
    for (const id of known) ids.push(id);
  }
}

/** The pattern of `ByteLevel` or of `Split, ByteLevel`; undefined for other pre-tokenizers. */
function byteLevelWordPattern(library: HuggingFaceTokenizer): RegExp | undefined {
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

/** Makes a text match itself inside a regular expression with the flag `u`. */
export function escapePattern(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\/-]/g, (char) => `\\u{${char.charCodeAt(0).toString(16)}}`);
}
