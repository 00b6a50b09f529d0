import type { GgufMetadata } from '../reading/metadata.ts';

/** Keys of token ids, between `tokenizer.ggml.` and `_token_id`. */
const KEYS = ['bos', 'eos', 'eot', 'eom', 'unknown', 'padding', 'fim_pre', 'fim_suf', 'fim_mid'] as const;
const MORE = ['fim_pad', 'fim_rep', 'fim_sep'] as const;

export type SpecialName = (typeof KEYS)[number] | (typeof MORE)[number];

/** llama.cpp's default ids for SentencePiece-style vocabularies. */
const SENTENCEPIECE_DEFAULTS: SpecialIds = { unknown: 0, bos: 1, eos: 2 };

export type SpecialIds = Readonly<Partial<Record<SpecialName, number>>>;

/**
 * The ids of special tokens that a file's metadata name. As in llama.cpp, ids outside the vocabulary are dropped, with
 * a warning.
 *
 * @param count the number of tokens
 * @throws RopewalkError for a value that is not a number
 */
export function specialIds(
  metadata: GgufMetadata,
  count: number,
  sentencePiece = false,
): { readonly ids: SpecialIds; readonly warnings: readonly string[] } {
  const ids: Partial<Record<SpecialName, number>> = {};
  const warnings: string[] = [];
  for (const name of [...KEYS, ...MORE]) {
    const key = `tokenizer.ggml.${name}_token_id`;
    const standard = sentencePiece ? SENTENCEPIECE_DEFAULTS[name] : undefined;
    const value = metadata.value(key);
    if (value !== undefined && typeof value !== 'number') throw metadata.wrong(key, 'a token id');
    const fits = value !== undefined && Number.isInteger(value) && value >= 0 && value < count;
    if (value !== undefined && !fits) {
      warnings.push(
        `${metadata.name}: the key "${key}" is ${value}, but there are only ${count} tokens; it is ignored.`,
      );
    }
    if (fits) ids[name] = value;
    else if (standard !== undefined && standard < count) ids[name] = standard;
  }
  return { ids, warnings };
}
