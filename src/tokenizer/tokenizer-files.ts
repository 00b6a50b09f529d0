import type { Tokenizer } from './tokenizer.ts';

/**
 * A tokenizer's files in a model directory: tokenizer.json and tokenizer_config.json. The configuration is created if
 * there is none.
 *
 * @param chatTemplate saved in place of the tokenizer's own.
 */
export function tokenizerFiles(
  tokenizer: Tokenizer,
  { chatTemplate }: { readonly chatTemplate?: string | undefined } = {},
): { readonly name: string; readonly data: string }[] {
  const token = (id: number | undefined) => (id === undefined ? null : (tokenizer.idToToken(id) ?? null));
  const own =
    Object.keys(tokenizer.config).length > 0
      ? tokenizer.config
      : {
          tokenizer_class: 'PreTrainedTokenizerFast',
          bos_token: token(tokenizer.bosId),
          eos_token: token(tokenizer.eosId),
          clean_up_tokenization_spaces: false,
        };
  const config = chatTemplate === undefined ? own : { ...own, chat_template: chatTemplate };
  return [
    { name: 'tokenizer.json', data: JSON.stringify(tokenizer.toJSON()) },
    { name: 'tokenizer_config.json', data: `${JSON.stringify(config, null, 2)}\n` },
  ];
}
