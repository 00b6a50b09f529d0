import type { CommonConfig } from '../../families/config.ts';
import type { Tokenizer } from '../../tokenizer/tokenizer.ts';

/** A config, such as a preset's, with a tokenizer's vocabulary and its tokens that begin and end a text. */
export function configForTokenizer<C extends CommonConfig>(config: C, tokenizer: Tokenizer): C {
  const { vocabSize, bosId: begin, eosId: end } = tokenizer;
  return {
    ...config,
    vocab_size: vocabSize,
    bos_token_id: begin ?? null,
    eos_token_id: end === undefined ? [] : [end],
    pad_token_id: null,
  };
}
