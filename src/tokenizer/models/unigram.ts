import { RopewalkError } from '../../errors.ts';
import type { JsonObject } from '../tokenizer-schema.ts';
import { byteTokens } from './byte-tokens.ts';
import { isText, ModelFields, quoted } from './fields.ts';
import type { TokenModel } from './model.ts';
import { Trie } from './trie.ts';
import { MAX_TOKEN_ID } from './vocabulary.ts';

/** How much less probable an unknown character is than the least probable token (SentencePiece). */
const UNKNOWN_PENALTY = 10;

const encoder = new TextEncoder();

/**
 * SentencePiece's Unigram model (Kudo 2018): the most probable segmentation of a piece into tokens, found by
 * Viterbi's algorithm; ties go to the one whose last token begins earliest, as in Rust.
 */
export class Unigram implements TokenModel {
  readonly #tokens: readonly string[];
  readonly #scores: Float64Array;
  readonly #ids: ReadonlyMap<string, number>;
  readonly #trie: Trie;
  readonly #unknownScore: number;
  readonly #unknownId: number | undefined;
  readonly #byteIds: readonly (number | undefined)[] | undefined;
  readonly #source: string;
  /** For each position of the current piece: the best score, where its last token begins, and that token. */
  #best = new Float64Array(0);
  #start = new Int32Array(0);
  #last = new Int32Array(0);

  private constructor(
    tokens: readonly string[],
    scores: Float64Array,
    unknownId: number | undefined,
    byteFallback: boolean,
    source: string,
  ) {
    const ids = new Map<string, number>();
    this.#trie = new Trie();
    let lowest = Number.POSITIVE_INFINITY;
    // A duplicate token has its second id, as in Rust.
    for (let id = 0; id < tokens.length; id++) {
      ids.set(tokens[id]!, id);
      this.#trie.set(tokens[id]!, id);
      if (scores[id]! < lowest) lowest = scores[id]!;
    }
    this.#tokens = tokens;
    this.#scores = scores;
    this.#ids = ids;
    this.#unknownScore = lowest - UNKNOWN_PENALTY;
    this.#unknownId = unknownId;
    this.#byteIds = byteFallback ? byteTokens((token) => ids.get(token)) : undefined;
    this.#source = source;
  }

  /** @throws RopewalkError naming the field that makes this an invalid Unigram model */
  static read(json: JsonObject, source: string): Unigram {
    const fields = new ModelFields(json, source);
    const vocab = fields.array('vocab');
    if (vocab.length > MAX_TOKEN_ID) fields.fail('vocab', `has more than ${MAX_TOKEN_ID} tokens`);
    const tokens: string[] = [];
    const scores = new Float64Array(vocab.length);
    for (let id = 0; id < vocab.length; id++) {
      const entry = vocab[id];
      const [token, score] = Array.isArray(entry) && entry.length === 2 ? entry : [];
      if (!isText(token) || typeof score !== 'number' || !Number.isFinite(score)) {
        fields.fail('vocab', `has no token with a score at ${id}: ${quoted(entry)}`);
      }
      tokens.push(token);
      scores[id] = score;
    }
    const unknownId = fields.optionalCount('unk_id');
    if (unknownId !== undefined && unknownId >= tokens.length) {
      fields.fail('unk_id', `is ${unknownId}, and the vocabulary has ${tokens.length} tokens`);
    }
    if (json.byte_fallback === null) fields.fail('byte_fallback', 'must be true or false');
    return new Unigram(tokens, scores, unknownId, fields.flag('byte_fallback'), source);
  }

  encode(piece: string, ids: number[]): void {
    if (piece === '') return;
    this.#findBestWay(piece);
    const starts = this.#start;
    // From the end to the beginning: `#last` is overwritten from its end with the ends of the tokens, in order.
    const ends = this.#last;
    let first = piece.length + 1;
    for (let end = piece.length; end > 0; ) {
      const start = starts[end]!;
      // The position of a token that has been read is free: at most one is written per token read.
      const unknown = this.#last[end] === this.#unknownId;
      ends[--first] = unknown ? -end : end;
      end = start;
    }
    let start = 0;
    for (let at = first; at <= piece.length; at++) {
      let end = ends[at]!;
      if (end < 0) {
        // A run of unknown tokens is joined, and may then be a token after all.
        while (at < piece.length && ends[at + 1]! < 0) at++;
        end = -ends[at]!;
      }
      this.#append(piece.slice(start, end), ids);
      start = end;
    }
  }

  tokenToId(token: string): number | undefined {
    return this.#ids.get(token);
  }

  idToToken(id: number): string | undefined {
    return this.#tokens[id];
  }

  get highestId(): number {
    let highest = -1;
    for (const id of this.#ids.values()) if (id > highest) highest = id;
    return highest;
  }

  /** Viterbi's forward pass. */
  #findBestWay(piece: string): void {
    const { length } = piece;
    if (this.#best.length <= length) {
      this.#best = new Float64Array(2 * length + 64);
      this.#start = new Int32Array(2 * length + 64);
      this.#last = new Int32Array(2 * length + 64);
    }
    const best = this.#best;
    const starts = this.#start;
    const last = this.#last;
    const trie = this.#trie;
    const scores = this.#scores;
    best[0] = 0;
    starts.fill(-1, 0, length + 1);
    for (let start = 0; start < length; ) {
      const size = piece.codePointAt(start)! > 0xffff ? 2 : 1;
      const here = best[start]!;
      let single = false;
      let node = 0;
      for (let end = start; end < length; ) {
        node = trie.child(node, piece.charCodeAt(end++));
        if (node === 0) break;
        const id = trie.value(node);
        if (id < 0) continue;
        const score = scores[id]! + here;
        if (starts[end]! < 0 || score > best[end]!) {
          best[end] = score;
          starts[end] = start;
          last[end] = id;
        }
        if (end - start === size) single = true;
      }
      if (!single) {
        const end = start + size;
        const score = this.#unknownScore + here;
        if (starts[end]! < 0 || score > best[end]!) {
          best[end] = score;
          starts[end] = start;
          last[end] = this.#unknownId ?? this.#failUnknown();
        }
      }
      start += size;
    }
  }

  /** Appends the id of a token or of a run of unknown characters, or the ids of its bytes. */
  #append(text: string, ids: number[]): void {
    const id = this.#ids.get(text);
    if (id !== undefined) {
      ids.push(id);
      return;
    }
    const byteIds = this.#byteIds;
    if (byteIds !== undefined) {
      const bytes = encoder.encode(text);
      if (bytes.every((byte) => byteIds[byte] !== undefined)) {
        for (const byte of bytes) ids.push(byteIds[byte]!);
        return;
      }
    }
    ids.push(this.#unknownId ?? this.#failUnknown());
  }

  #failUnknown(): never {
    throw new RopewalkError(
      `${this.#source}: the text has a character without a token, and "model.unk_id" names no token for it`,
    );
  }
}
