/**
 * Constrains a text during generation, token by token: `mask` excludes tokens before one is chosen, and `accept`
 * receives the chosen one.
 */
export interface TokenConstraint {
  /**
   * Sets the logits of excluded tokens to −Infinity; at least one stays finite. Must not be called when `finished`.
   *
   * @param logits `[vocab]`, changed in place; finite or −Infinity.
   */
  mask(logits: Float32Array): void;
  /** Receives the chosen token. @throws RopewalkError if the mask had excluded it. */
  accept(id: number): void;
  /** Whether the text is complete: only a token that ends it may follow. */
  readonly finished: boolean;
}
