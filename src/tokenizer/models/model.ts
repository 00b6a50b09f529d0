/**
 * Turns the pieces of a text into token ids: the field `model` of tokenizer.json. Ids are those of the Rust library
 * `tokenizers` 0.23. Pieces are well-formed UTF-16: lone surrogates have already become U+FFFD.
 */
export interface TokenModel {
  /**
   * Appends the ids of one pre-tokenized piece.
   *
   * @throws RopewalkError if the vocabulary cannot encode the piece and there is no unknown token
   */
  encode(piece: string, ids: number[]): void;
  /** The id of a token by its spelling in the vocabulary. */
  tokenToId(token: string): number | undefined;
  /** The vocabulary spelling of an id. */
  idToToken(id: number): string | undefined;
  /** The highest id of a token; -1 if there are none. */
  readonly highestId: number;
}
