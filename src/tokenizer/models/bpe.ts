import { RopewalkError } from '../../errors.ts';
import type { JsonObject } from '../tokenizer-schema.ts';
import { byteTokens } from './byte-tokens.ts';
import { ModelFields, quoted } from './fields.ts';
import { Merges } from './merges.ts';
import type { TokenModel } from './model.ts';
import { PieceCutter } from './piece-cutter.ts';
import { readVocabulary, type Vocabulary } from './vocabulary.ts';
import { WordMerger } from './word-merger.ts';

/** Pieces of at most this length are words, merged as a whole; longer ones are cut and their parts cached. */
const WORD_LENGTH = 64;
/** Enough for the frequent words of any corpus; when full, the table is cleared. */
const MAX_PARTS = 200_000;

/** Values in the table of characters for one not yet looked up, and for one without a token. */
const UNSEEN = -2;
const UNKNOWN = -1;

const encoder = new TextEncoder();

interface BpeOptions {
  /** The token for unknown characters; without it they are dropped, as in Rust. */
  unkToken: string | undefined;
  /** Whether a run of unknown characters becomes one unknown token. */
  fuseUnk: boolean;
  /** The ids of `<0x00>` … `<0xFF>`, if `byte_fallback` spells characters without a token in bytes. */
  byteIds: readonly (number | undefined)[] | undefined;
  /** Whether a piece that is a token is encoded as that token, without merges. */
  ignoreMerges: boolean;
  /** The prefix in the vocabulary of a piece's characters other than the first. */
  prefix: string;
  /** The suffix in the vocabulary of a piece's last character. */
  suffix: string;
}

/** Byte-pair encoding (Sennrich et al. 2016): starts from characters and merges the pairs with the lowest rank. */
export class Bpe implements TokenModel {
  readonly #vocabulary: Vocabulary;
  readonly #merger: WordMerger;
  readonly #merges: Merges;
  readonly #options: BpeOptions;
  readonly #source: string;
  /** The ids of the characters of the basic multilingual plane that have been looked up. */
  readonly #characters = new Int32Array(0x10000).fill(UNSEEN);
  /** The symbols of the current word. */
  #symbols = new Int32Array(256);
  #count = 0;
  #cutter: PieceCutter | undefined;
  readonly #parts = new Map<string, readonly number[]>();

  private constructor(vocabulary: Vocabulary, merges: Merges, options: BpeOptions, source: string) {
    this.#vocabulary = vocabulary;
    this.#merges = merges;
    this.#merger = new WordMerger(merges);
    this.#options = options;
    this.#source = source;
  }

  /**
   * @throws RopewalkError naming the field that makes this an invalid BPE model, or one without deterministic ids
   *   (`dropout`)
   */
  static read(json: JsonObject, source: string): Bpe {
    const fields = new ModelFields(json, source);
    if ((json.dropout ?? 0) !== 0) {
      fields.fail('dropout', 'skips merges at random; set it to null for deterministic ids');
    }
    const vocabulary = readVocabulary(fields);
    const prefix = fields.optionalText('continuing_subword_prefix') ?? '';
    const options = {
      unkToken: fields.optionalText('unk_token'),
      fuseUnk: fields.flag('fuse_unk'),
      byteIds: fields.flag('byte_fallback') ? byteTokens((token) => vocabulary.id(token)) : undefined,
      ignoreMerges: fields.flag('ignore_merges'),
      prefix,
      suffix: fields.optionalText('end_of_word_suffix') ?? '',
    };
    return new Bpe(vocabulary, Merges.read(fields, vocabulary, prefix), options, source);
  }

  encode(piece: string, ids: number[]): void {
    if (this.#options.ignoreMerges) {
      const id = this.#vocabulary.id(piece);
      if (id !== undefined && piece !== '') {
        ids.push(id);
        return;
      }
    }
    const { prefix, suffix } = this.#options;
    if (piece.length <= WORD_LENGTH || prefix !== '' || suffix !== '' || !this.#vocabulary.unique) {
      this.#encodeWord(piece);
      this.#appendTo(ids);
    } else this.#encodeLong(piece, ids);
  }

  tokenToId(token: string): number | undefined {
    return this.#vocabulary.id(token);
  }

  idToToken(id: number): string | undefined {
    return this.#vocabulary.token(id);
  }

  get highestId(): number {
    return this.#vocabulary.highestId;
  }

  /** Cuts a piece where no merge can join, and caches the parts. */
  #encodeLong(piece: string, ids: number[]): void {
    this.#cutter ??= this.#createCutter();
    const cutter = this.#cutter;
    const parts = this.#parts;
    for (let start = 0; start < piece.length; ) {
      const end = cutter.end(piece, start);
      const part = piece.slice(start, end);
      start = end;
      if (part.length > WORD_LENGTH) {
        this.#encodeWord(part);
        this.#appendTo(ids);
        continue;
      }
      let known = parts.get(part);
      if (known === undefined) {
        this.#encodeWord(part);
        known = Array.from(this.#symbols.subarray(0, this.#count));
        if (parts.size >= MAX_PARTS) parts.clear();
        parts.set(part, known);
      }
      for (let i = 0; i < known.length; i++) ids.push(known[i]!);
    }
  }

  #createCutter(): PieceCutter {
    const { byteIds } = this.#options;
    const complete = byteIds?.every((id) => id !== undefined) ? (byteIds as number[]) : undefined;
    return new PieceCutter(this.#vocabulary, this.#merges, (codePoint) => this.#idOf(codePoint), complete);
  }

  #appendTo(ids: number[]): void {
    for (let i = 0; i < this.#count; i++) ids.push(this.#symbols[i]!);
  }

  /** Writes the ids of a word to the first `#count` symbols. */
  #encodeWord(word: string): void {
    this.#count = 0;
    const { unkToken, fuseUnk, prefix, suffix } = this.#options;
    const affixes = prefix !== '' || suffix !== '';
    /** An unknown token not yet written, as in Rust: bytes that follow it come before it. */
    let unknown = UNKNOWN;
    for (let at = 0; at < word.length; ) {
      const codePoint = word.codePointAt(at)!;
      const length = codePoint > 0xffff ? 2 : 1;
      let spelling: string | undefined;
      let id: number;
      if (affixes) {
        spelling = word.slice(at, at + length);
        if (at > 0) spelling = prefix + spelling;
        if (at + length === word.length) spelling += suffix;
        id = this.#vocabulary.id(spelling) ?? UNKNOWN;
      } else id = this.#idOf(codePoint);
      at += length;
      if (id >= 0) {
        if (unknown >= 0) this.#push(unknown);
        unknown = UNKNOWN;
        this.#push(id);
      } else if (!this.#pushBytes(spelling ?? String.fromCodePoint(codePoint)) && unkToken !== undefined) {
        if (unknown >= 0 && fuseUnk) continue;
        if (unknown >= 0) this.#push(unknown);
        unknown = this.#unknownId(unkToken);
      }
    }
    if (unknown >= 0) this.#push(unknown);
    this.#count = this.#merger.merge(this.#symbols, this.#count);
  }

  #idOf(codePoint: number): number {
    if (codePoint > 0xffff) return this.#vocabulary.id(String.fromCodePoint(codePoint)) ?? UNKNOWN;
    let id = this.#characters[codePoint]!;
    if (id === UNSEEN) {
      id = this.#vocabulary.id(String.fromCharCode(codePoint)) ?? UNKNOWN;
      this.#characters[codePoint] = id;
    }
    return id;
  }

  /** Writes a character as the tokens of its bytes; false if one of them is missing. */
  #pushBytes(spelling: string): boolean {
    const { byteIds } = this.#options;
    if (byteIds === undefined) return false;
    const bytes = encoder.encode(spelling);
    for (const byte of bytes) if (byteIds[byte] === undefined) return false;
    for (const byte of bytes) this.#push(byteIds[byte]!);
    return true;
  }

  #unknownId(token: string): number {
    const id = this.#vocabulary.id(token);
    if (id !== undefined) return id;
    throw new RopewalkError(
      `${this.#source}: the text has a character without a token, and "model.unk_token" (${quoted(token)}) is not in the vocabulary`,
    );
  }

  #push(id: number): void {
    if (this.#count === this.#symbols.length) {
      const grown = new Int32Array(2 * this.#count);
      grown.set(this.#symbols);
      this.#symbols = grown;
    }
    this.#symbols[this.#count++] = id;
  }
}
