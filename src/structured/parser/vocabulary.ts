import { RopewalkError } from '../../errors.ts';
import type { Tokenizer } from '../../tokenizer/tokenizer.ts';
import { anyString, type StringDfa } from '../automata/dfa.ts';

/**
 * Byte strings as a trie with its nodes in preorder, so that a traversal is one pass over arrays that skips excluded
 * subtrees.
 */
export class ByteTrie {
  /** The byte that leads to node i. */
  readonly bytes: Uint8Array;
  /** The depth of node i. */
  readonly depths: Uint16Array;
  /** The node after the subtree of node i. */
  readonly ends: Int32Array;
  /** Index of the word that ends at node i, or −1. */
  readonly words: Int32Array;

  /** @param words distinct byte strings, one character per byte, none empty, in ascending order. */
  constructor(words: readonly string[]) {
    let nodes = 0;
    for (let i = 0; i < words.length; i++) nodes += words[i]!.length - shared(words[i - 1] ?? '', words[i]!);
    this.bytes = new Uint8Array(nodes);
    this.depths = new Uint16Array(nodes);
    this.ends = new Int32Array(nodes);
    this.words = new Int32Array(nodes).fill(-1);
    const open: number[] = [];
    let next = 0;
    for (let i = 0; i < words.length; i++) {
      const word = words[i]!;
      for (const keep = shared(words[i - 1] ?? '', word); open.length > keep; ) this.ends[open.pop()!] = next;
      for (let at = open.length; at < word.length; at++) {
        this.bytes[next] = word.charCodeAt(at);
        this.depths[next] = at;
        open.push(next++);
      }
      this.words[next - 1] = i;
    }
    for (const node of open) this.ends[node] = next;
  }
}

/** Length of the common prefix of two strings. */
function shared(a: string, b: string): number {
  let length = 0;
  while (length < a.length && a.charCodeAt(length) === b.charCodeAt(length)) length++;
  return length;
}

/** Bytes as a string of one character each: cheap to compare, to sort and to use as a key. */
export function byteString(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}

/** Longer tokens, which no vocabulary has, are ignored. */
const MOST_BYTES = 4096;
const vocabularies = new WeakMap<Tokenizer, Vocabulary>();

/** The bytes of a tokenizer's tokens, without special ones, which produce no text. */
export class Vocabulary {
  /** Distinct byte strings in ascending order. */
  readonly words: readonly string[];
  /** The tokens for words[i]: SentencePiece has `{` and `<0x7B>`. */
  readonly ids: readonly Int32Array[];
  readonly trie: ByteTrie;
  /** The number of 32-bit words in a bit set of all tokens. */
  readonly bitWords: number;
  /** The number of tokens that produce bytes, and the most bytes of one. */
  readonly tokens: number;
  readonly longest: number;
  /** Whether one token produces exactly this byte. */
  readonly single: Uint8Array = new Uint8Array(256);
  /** Tokens with different bytes at the beginning of a text (Metaspace drops its mark there): id → bytes. */
  readonly atStart = new Map<number, string>();
  /** Any JSON string; kept with the vocabulary, as are the results cached in it. */
  readonly strings: StringDfa;
  readonly #texts: (string | undefined)[];

  private constructor(tokenizer: Tokenizer) {
    const byText = new Map<string, number[]>();
    this.#texts = new Array(tokenizer.vocabSize);
    this.bitWords = Math.ceil(tokenizer.vocabSize / 32);
    for (let id = 0; id < tokenizer.vocabSize; id++) {
      if (tokenizer.isSpecial(id)) continue;
      const bytes = tokenizer.tokenBytes(id);
      if (!bytes || bytes.length > MOST_BYTES) continue;
      const text = byteString(bytes);
      const first = byteString(tokenizer.tokenBytes(id, true)!);
      if (first !== text) this.atStart.set(id, first);
      if (text === '') continue;
      this.#texts[id] = text;
      const same = byText.get(text);
      if (same) same.push(id);
      else byText.set(text, [id]);
    }
    this.words = [...byText.keys()].sort();
    this.ids = this.words.map((word) => Int32Array.from(byText.get(word)!));
    this.trie = new ByteTrie(this.words);
    this.tokens = this.ids.reduce((sum, same) => sum + same.length, 0);
    this.longest = this.words.reduce((most, word) => Math.max(most, word.length), 0);
    for (const word of this.words) if (word.length === 1) this.single[word.charCodeAt(0)] = 1;
    const missing = REQUIRED_BYTES.find((byte) => !this.single[byte]);
    if (missing !== undefined) {
      throw new RopewalkError(
        `this tokenizer cannot write every JSON text: it has no token for the single byte 0x${missing.toString(16)}. Use a model with a byte-level or byte-fallback tokenizer.`,
      );
    }
    this.strings = anyString(this.single);
    const { strip } = tokenizer.detokenizer;
    if (strip && strip.content.trim() !== '') {
      throw new RopewalkError(
        `this tokenizer strips ${JSON.stringify(strip.content)} from the ends of a text, which could damage JSON.`,
      );
    }
  }

  /** A tokenizer's vocabulary; created once. @throws RopewalkError if it lacks tokens for single bytes. */
  static of(tokenizer: Tokenizer): Vocabulary {
    const known = vocabularies.get(tokenizer);
    if (known) return known;
    const vocabulary = new Vocabulary(tokenizer);
    vocabularies.set(tokenizer, vocabulary);
    return vocabulary;
  }

  /** The text that a token adds; undefined for special tokens and those without text. */
  text(id: number, first: boolean): string | undefined {
    return first && this.atStart.has(id) ? this.atStart.get(id) : this.#texts[id];
  }
}

/** With these, every JSON text can be completed from any point: printable ASCII, and UTF-8's continuation bytes. */
const REQUIRED_BYTES = [
  ...Array.from({ length: 0x7f - 0x20 }, (_, i) => 0x20 + i),
  ...Array.from({ length: 0x40 }, (_, i) => 0x80 + i),
];
