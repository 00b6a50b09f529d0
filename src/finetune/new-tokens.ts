import { OptionError } from '../options.ts';
import { isObject, type JsonObject, type TokenizerJson } from '../tokenizer/tokenizer-schema.ts';

/** A tokenizer's two files as parsed JSON. */
export interface TokenizerFiles {
  readonly tokenizer: TokenizerJson;
  readonly config: JsonObject;
}

export interface AddedTokens {
  readonly files: TokenizerFiles;
  /** The ids of the new tokens, in the order given. */
  readonly ids: readonly number[];
}

/**
 * Adds special tokens to a tokenizer's files, like transformers' `add_special_tokens({additional_special_tokens})`:
 * each gets the next id after all others.
 *
 * @param nextId the number of tokens before: the highest id plus one.
 * @throws RopewalkError naming a token that already exists, is listed twice or is empty.
 */
export function addSpecialTokens(
  { tokenizer, config }: TokenizerFiles,
  tokens: readonly string[],
  nextId: number,
): AddedTokens {
  const known = new Set([
    ...vocabularyOf(tokenizer),
    ...tokenizer.added_tokens.map(({ content }) => content),
  ]);
  const added = tokens.map((content, i) => {
    if (content === '')
      throw new OptionError('addToken', 'it is empty; give the text of a token such as "<|user|>".');
    if (known.has(content)) {
      throw new OptionError(
        'addToken',
        `${JSON.stringify(content)}: the tokenizer already has this token, or it is listed twice; leave it out.`,
      );
    }
    known.add(content);
    const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
    return { id: nextId + i, content, ...flags };
  });
  const more = Array.isArray(config.additional_special_tokens) ? config.additional_special_tokens : [];
  const decoder = isObject(config.added_tokens_decoder) ? config.added_tokens_decoder : undefined;
  const entries = added.map(({ id, ...token }) => [String(id), token]);
  return {
    ids: added.map(({ id }) => id),
    files: {
      tokenizer: { ...tokenizer, added_tokens: [...tokenizer.added_tokens, ...added] },
      config: {
        ...config,
        additional_special_tokens: [...more, ...tokens],
        // transformers reads the added tokens from here if it exists, and from tokenizer.json otherwise.
        ...(decoder && { added_tokens_decoder: { ...decoder, ...Object.fromEntries(entries) } }),
      },
    },
  };
}

/** Unigram models list pairs of token and score, BPE models map tokens to ids. */
function* vocabularyOf({ model }: TokenizerJson): Generator<string> {
  const { vocab } = model;
  if (Array.isArray(vocab)) {
    for (const entry of vocab) if (Array.isArray(entry)) yield String(entry[0]);
  } else if (isObject(vocab)) yield* Object.keys(vocab);
}

/**
 * Copies weights of a model to the same model with a larger vocabulary. New rows, and existing rows of the new tokens
 * (an embedding may be larger than its tokenizer), become the mean of the tokenizer's rows: the logits of new tokens
 * then start near the middle of the others' (Hewitt 2021, "Initializing New Word Embeddings").
 *
 * @param target of the larger shape, for one weight.
 * @param known number of trained rows: the tokenizer's before the new tokens.
 */
export function growRows(
  source: Float32Array,
  target: Float32Array,
  { width, known, ids }: { readonly width: number; readonly known: number; readonly ids: readonly number[] },
): void {
  target.set(source);
  const mean = new Float64Array(width);
  for (let row = 0; row < known; row++) {
    for (let i = 0; i < width; i++) mean[i] = mean[i]! + source[row * width + i]! / known;
  }
  const fresh = new Set(ids);
  for (let row = source.length / width; row < target.length / width; row++) fresh.add(row);
  for (const row of fresh) target.set(mean, row * width);
}
