import { RopewalkError } from '../../errors.ts';
import type { Tokenizer } from '../../tokenizer/tokenizer.ts';
import { stripEnd } from '../python/text.ts';
import type { LikelihoodJob } from './likelihoods.ts';

/** Texts as token ids, as in the harness's `hf` model. */
export class RequestTokens {
  /** Used for an empty context: the token that begins texts, otherwise the one that ends them. */
  readonly prefixId: number;
  readonly #prefixText: string;

  /**
   * @param positions of the model.
   * @throws RopewalkError if the tokenizer has neither token.
   */
  constructor(
    readonly tokenizer: Tokenizer,
    readonly positions: number,
  ) {
    const prefix = tokenizer.bosId ?? tokenizer.eosId;
    if (prefix === undefined) {
      throw new RopewalkError(
        'the tokenizer has no token that begins or ends texts; name one as "bos_token" in tokenizer_config.json.',
      );
    }
    this.prefixId = prefix;
    this.#prefixText = tokenizer.decode([prefix]);
  }

  /** A text's ids, with the tokens that the tokenizer adds, unless the text already begins with them. */
  encode(text: string): number[] {
    const begun = this.#prefixText !== '' && text.startsWith(this.#prefixText);
    return this.tokenizer.encode(text, { addSpecialTokens: !begun });
  }

  /**
   * A context and its continuation. White space at the end of the context moves to the continuation, since tokens join
   * it with the text that follows. What is too long for the model loses its beginning.
   *
   * @throws RopewalkError for a context of only white space, and for a continuation without tokens or longer than the
   *   model.
   */
  pair(context: string, continuation: string): LikelihoodJob {
    if (context === '') {
      const ids = this.tokenizer.encode(continuation, { addSpecialTokens: false });
      if (ids[0] === this.prefixId) return this.#fitted(ids.slice(0, 1), ids.slice(1));
      return this.#fitted([this.prefixId], ids);
    }
    const stripped = stripEnd(context);
    const whole = this.encode(context + continuation);
    const before = this.encode(stripped);
    return this.#fitted(before, whole.slice(before.length));
  }

  /** A text as windows in which each token is predicted once, the first from the token that begins texts. */
  windows(text: string): LikelihoodJob[] {
    const ids = this.encode(text);
    const windows: LikelihoodJob[] = [];
    for (let start = 0; start < ids.length; start += this.positions) {
      const end = Math.min(start + this.positions, ids.length);
      if (start === 0) windows.push({ context: [this.prefixId], continuation: ids.slice(0, end) });
      else {
        // The last window has as much context as the model takes.
        const from = Math.max(0, end - this.positions - 1);
        windows.push({ context: ids.slice(from, start), continuation: ids.slice(start, end) });
      }
    }
    return windows;
  }

  #fitted(context: readonly number[], continuation: readonly number[]): LikelihoodJob {
    if (context.length === 0) throw new RopewalkError('the context has no tokens: it is only white space');
    if (continuation.length === 0) {
      throw new RopewalkError('the continuation has no tokens: the tokenizer joins it with the context');
    }
    if (continuation.length > this.positions) {
      throw new RopewalkError(
        `the continuation has ${continuation.length} tokens, more than the model's ${this.positions} positions`,
      );
    }
    const room = this.positions + 1 - continuation.length;
    return { context: context.slice(-room), continuation };
  }
}
