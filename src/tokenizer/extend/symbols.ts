import { byteTokens } from '../models/byte-tokens.ts';
import type { Tokenizer } from '../tokenizer.ts';

/** The first symbol for characters without a token; no vocabulary has ids that high. */
export const VIRTUAL = 2 ** 23;

const decoder = new TextDecoder('utf-8', { fatal: true });

/** A character that a model spells in the tokens of its bytes. */
export interface MissingCharacter {
  readonly character: string;
  /** The ids of its bytes. */
  readonly bytes: readonly number[];
  /** How often it occurs. */
  count: number;
  /** Indices of the words that contain it. */
  readonly words: Set<number>;
}

/**
 * The ids of a SentencePiece-style model as symbols that merges can join: the bytes of a character become one symbol,
 * starting at {@link VIRTUAL}.
 */
export class CharacterSymbols {
  readonly #byteOf = new Map<number, number>();
  readonly #ids = new Map<string, number>();
  /** By symbol minus {@link VIRTUAL}. */
  readonly missing: MissingCharacter[] = [];

  constructor(tokenizer: Tokenizer) {
    byteTokens((token) => tokenizer.tokenToId(token)).forEach((id, byte) => {
      if (id !== undefined) this.#byteOf.set(id, byte);
    });
  }

  /** Whether an id is a byte token, which never merges. */
  isByte(id: number): boolean {
    return this.#byteOf.has(id);
  }

  /** The same ids with symbols for characters spelled in bytes. */
  symbols(ids: readonly number[]): number[] {
    const symbols: number[] = [];
    for (let start = 0; start < ids.length; ) {
      let end = start;
      while (end < ids.length && this.#byteOf.has(ids[end]!)) end++;
      if (end === start) symbols.push(ids[start++]!);
      else {
        this.#pushCharacters(ids.slice(start, end), symbols);
        start = end;
      }
    }
    return symbols;
  }

  /** Counts the characters of a word. */
  count(word: readonly number[], index: number, count: number): void {
    for (const symbol of word) {
      if (symbol < VIRTUAL) continue;
      const character = this.missing[symbol - VIRTUAL]!;
      character.count += count;
      character.words.add(index);
    }
  }

  #pushCharacters(ids: readonly number[], symbols: number[]): void {
    const bytes = Uint8Array.from(ids, (id) => this.#byteOf.get(id)!);
    let text: string;
    try {
      text = decoder.decode(bytes);
    } catch {
      // Not bytes of characters: the text itself spells such tokens.
      for (const id of ids) symbols.push(id);
      return;
    }
    let at = 0;
    for (const character of text) {
      const length = new TextEncoder().encode(character).length;
      symbols.push(this.#symbolOf(character, ids.slice(at, at + length)));
      at += length;
    }
  }

  #symbolOf(character: string, bytes: readonly number[]): number {
    let symbol = this.#ids.get(character);
    if (symbol === undefined) {
      symbol = VIRTUAL + this.missing.push({ character, bytes, count: 0, words: new Set() }) - 1;
      this.#ids.set(character, symbol);
    }
    return symbol;
  }
}
