/**
 * What turns the pieces of a text into token ids: the field `model` of tokenizer.json. Ids are those of the Rust library
 * `tokenizers` 0.23. Pieces are well-formed UTF-16: a lone surrogate has become U+FFFD before it comes here.
 */
export interface TokenModel {
  /**
   * Appends the ids of one pre-tokenized piece.
   *
   * @throws RopewalkError where the piece has something that the vocabulary cannot write and no unknown token stands for
   */
  encode(piece: string, ids: number[]): void;
  /** The id of a token by its spelling in the vocabulary. */
  tokenToId(token: string): number | undefined;
  /** The spelling in the vocabulary of an id. */
  idToToken(id: number): string | undefined;
  /** Every token and its id, each token once. */
  entries(): Iterable<[string, number]>;
}
