/**
 * What a text must be while it is generated, token by token: before a token is chosen `mask` rules out those that may
 * not come, afterwards `accept` is told which one did.
 */
export interface TokenConstraint {
  /**
   * Sets the logits of tokens that may not come next to −Infinity; at least one stays finite. Not to be called when
   * `finished`.
   *
   * @param logits `[vocab]`, changed in place; finite or −Infinity.
   */
  mask(logits: Float32Array): void;
  /** Takes the token that was chosen. @throws RopewalkError when the mask had ruled it out. */
  accept(id: number): void;
  /** The text is complete: only a token that ends it may follow. */
  readonly finished: boolean;
}
