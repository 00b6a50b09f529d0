import type { Decoding } from './decoders/decoder.ts';
import type { Tokenizer } from './tokenizer.ts';

/**
 * Decodes a stream of token ids. `push` returns only text that no later token can change, so never half a character:
 * bytes of an incomplete character wait for the next token. All results joined equal `tokenizer.decode` of all the
 * ids. Constant time per token.
 */
export class StreamDecoder {
  readonly #tokenizer: Tokenizer;
  readonly #skipSpecialTokens: boolean;
  #decoding: Decoding;

  /** @param options.skipSpecialTokens leave special tokens (bos, eos …) out; default false, as in `decode` */
  constructor(tokenizer: Tokenizer, options: { skipSpecialTokens?: boolean } = {}) {
    this.#tokenizer = tokenizer;
    this.#skipSpecialTokens = options.skipSpecialTokens ?? false;
    this.#decoding = tokenizer.startDecoding();
  }

  /** Adds the next token and returns the text that is now certain, often ''. */
  push(id: number): string {
    const spelling = this.#tokenizer.decodedSpelling(id, this.#skipSpecialTokens);
    if (spelling === undefined) return '';
    this.#decoding.push(spelling);
    return this.#decoding.take();
  }

  /** The rest: unfinished bytes become U+FFFD. Afterwards the decoder is ready for a new text. */
  flush(): string {
    const text = this.#decoding.end();
    this.#decoding = this.#tokenizer.startDecoding();
    return text;
  }
}
