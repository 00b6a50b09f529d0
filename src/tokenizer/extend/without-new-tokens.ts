import { Tokenizer } from '../tokenizer.ts';
import type { JsonObject } from '../tokenizer-schema.ts';

/**
 * The tokenizer before it was extended: without the tokens in a range of ids, and without their merges, the last ones.
 */
export function withoutNewTokens(
  tokenizer: Tokenizer,
  { first, count, merges }: { readonly first: number; readonly count: number; readonly merges: number },
): Tokenizer {
  const json = tokenizer.toJSON();
  const { model } = json;
  const isNew = (id: unknown) => typeof id === 'number' && id >= first && id < first + count;
  const vocab = Object.entries(model.vocab as JsonObject).filter(([, id]) => !isNew(id));
  const all = model.merges as readonly unknown[];
  return Tokenizer.fromJSON(
    {
      ...json,
      model: { ...model, vocab: Object.fromEntries(vocab), merges: all.slice(0, all.length - merges) },
    },
    tokenizer.config,
    'the tokenizer without its new tokens',
  );
}
