import { RopewalkError } from '../../errors.ts';
import type { JsonObject } from '../tokenizer-schema.ts';
import { ModelFields, quoted } from './fields.ts';
import type { TokenModel } from './model.ts';
import { Trie } from './trie.ts';
import { readVocabulary, type Vocabulary } from './vocabulary.ts';

/**
 * BERT's WordPiece: greedily the longest token from the left; tokens inside a word have a prefix. A word that cannot
 * be segmented becomes the unknown token as a whole.
 */
export class WordPiece implements TokenModel {
  readonly #vocabulary: Vocabulary;
  /** The tokens as stored, and those inside a word without their prefix. */
  readonly #initial = new Trie();
  readonly #continuing = new Trie();
  readonly #unkToken: string;
  readonly #maxCharacters: number;
  readonly #source: string;

  private constructor(
    vocabulary: Vocabulary,
    prefix: string,
    unkToken: string,
    maxCharacters: number,
    source: string,
  ) {
    for (const [token, id] of vocabulary.entries()) {
      this.#initial.set(token, id);
      if (token.startsWith(prefix)) this.#continuing.set(token.slice(prefix.length), id);
    }
    this.#vocabulary = vocabulary;
    this.#unkToken = unkToken;
    this.#maxCharacters = maxCharacters;
    this.#source = source;
  }

  /** @throws RopewalkError naming the field that makes this an invalid WordPiece model */
  static read(json: JsonObject, source: string): WordPiece {
    const fields = new ModelFields(json, source);
    const most = fields.optionalCount('max_input_chars_per_word');
    return new WordPiece(
      readVocabulary(fields),
      fields.text('continuing_subword_prefix'),
      fields.text('unk_token'),
      most ?? fields.fail('max_input_chars_per_word', 'is missing'),
      source,
    );
  }

  encode(piece: string, ids: number[]): void {
    const before = ids.length;
    let at = isLonger(piece, this.#maxCharacters) ? -1 : 0;
    while (at >= 0 && at < piece.length) at = this.#longest(piece, at, ids);
    if (at >= 0) return;
    ids.length = before;
    ids.push(this.#unknownId());
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

  /** Appends the longest token that begins at a position and returns its end; -1 if there is none. */
  #longest(piece: string, start: number, ids: number[]): number {
    const trie = start === 0 ? this.#initial : this.#continuing;
    let longest = -1;
    let end = -1;
    let node = 0;
    for (let at = start; at < piece.length; ) {
      node = trie.child(node, piece.charCodeAt(at++));
      if (node === 0) break;
      const id = trie.value(node);
      if (id >= 0) [longest, end] = [id, at];
    }
    if (end >= 0) ids.push(longest);
    return end;
  }

  #unknownId(): number {
    const id = this.#vocabulary.id(this.#unkToken);
    if (id !== undefined) return id;
    throw new RopewalkError(
      `${this.#source}: the text has a word without tokens, and "model.unk_token" (${quoted(this.#unkToken)}) is not in the vocabulary`,
    );
  }
}

/** Whether a text has more than a number of code points. */
function isLonger(text: string, most: number): boolean {
  if (text.length <= most) return false;
  let count = 0;
  for (let at = 0; at < text.length && count <= most; count++) at += text.codePointAt(at)! > 0xffff ? 2 : 1;
  return count > most;
}
