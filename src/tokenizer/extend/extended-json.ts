import type { Tokenizer } from '../tokenizer.ts';
import type { JsonObject, TokenizerJson } from '../tokenizer-schema.ts';
import { hiddenTokens } from './extendable.ts';
import type { LearnedTokens } from './learn.ts';

/**
 * The tokenizer.json with learned tokens: they get the next ids in its model's vocabulary, and their merges follow all
 * others. Added tokens that are only in `added_tokens` are also added to the vocabulary, with their ids: otherwise the
 * Rust library would renumber them from the size of the vocabulary on.
 */
export function extendedJson(tokenizer: Tokenizer, { tokens, merges }: LearnedTokens): TokenizerJson {
  const json = tokenizer.toJSON();
  const { model } = json;
  const hidden = hiddenTokens(json).map((content) => [content, tokenizer.tokenToId(content)!] as const);
  const entries = [
    ...Object.entries(model.vocab as JsonObject),
    ...hidden,
    ...tokens.map(({ token, id }) => [token, id] as const),
  ];
  return {
    ...json,
    added_tokens: json.added_tokens.map((token) =>
      token.content === '' ? token : { ...token, id: tokenizer.tokenToId(token.content)! },
    ),
    model: {
      ...model,
      vocab: Object.fromEntries(entries),
      merges: joinMerges(model.merges as readonly unknown[], merges),
    },
  };
}

/** Older files write a merge as one string, which cannot express a token with a space. */
function joinMerges(
  own: readonly unknown[],
  merges: readonly (readonly [string, string])[],
): readonly unknown[] {
  const areTexts = typeof own[0] === 'string';
  if (!areTexts) return [...own, ...merges];
  if (!merges.flat().some((token) => token.includes(' '))) {
    return [...own, ...merges.map(([left, right]) => `${left} ${right}`)];
  }
  const pairs = (own as readonly string[])
    .filter((text) => !text.startsWith('#version'))
    .map((text) => text.split(' '));
  return [...pairs, ...merges];
}
