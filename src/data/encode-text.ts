import { endsWithToken } from '../text/corpus.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import type { Example } from './view.ts';

export interface EncodeTextOptions {
  readonly tokenizer: Tokenizer;
  /**
   * Whether special tokens spelled out in the text become tokens. Default true, as in transformers'
   * `tokenizer(text)`.
   */
  readonly specialTokensInText?: boolean | undefined;
}

/**
 * The tokens of a plain text, all trained except the first, which nothing predicts: the tokenizer's special tokens
 * around the text, with exactly one begin token, and the end-of-text token. A text that was rendered with a chat
 * template contains its own begin and end tokens: they are not added again, even if white space follows the end.
 */
export function encodeText(
  text: string,
  { tokenizer, specialTokensInText = true }: EncodeTextOptions,
): Example {
  const plainSpans = specialTokensInText ? [] : [[0, text.length] as const];
  const content = text === '' ? [] : tokenizer.encode(text, { addSpecialTokens: false, plainSpans });
  const { before, after } = tokenizer.idsAround;
  const begins = before.length > 0 && before.every((id, i) => content[i] === id);
  // If the tokenizer adds no bos, texts begin with their own first token, as in pretraining.
  const ids = [...(begins ? [] : before), ...content];
  const { eosId } = tokenizer;
  const ends = eosId !== undefined && endsWithToken(tokenizer, content, eosId);
  if (!ends) ids.push(...after);
  if (!ends && eosId !== undefined && ids.at(-1) !== eosId) ids.push(eosId);
  const trained = new Uint8Array(ids.length).fill(1, Math.max(1, before.length));
  if (content.length === 0) trained.fill(0);
  return { ids: Int32Array.from(ids), trained };
}

/** The name of the first special token spelled out in a text; undefined if there is none. */
export function spelledSpecialToken(text: string, tokenizer: Tokenizer): string | undefined {
  const names = spelled.get(tokenizer) ?? specialNames(tokenizer);
  spelled.set(tokenizer, names);
  return names.find((name) => text.includes(name));
}

const spelled = new WeakMap<Tokenizer, readonly string[]>();

function specialNames(tokenizer: Tokenizer): string[] {
  const { added_tokens: added } = tokenizer.toJSON();
  return added.filter(({ special }) => special).map(({ content }) => content);
}
