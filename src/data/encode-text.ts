import { endsWithToken } from '../text/corpus.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import type { Example } from './view.ts';

export interface EncodeTextOptions {
  readonly tokenizer: Tokenizer;
  /** Whether special tokens that the text spells are special. Default true, as in transformers' `tokenizer(text)`. */
  readonly specialTokensInText?: boolean | undefined;
}

/**
 * The tokens of a plain text, all of which are trained but the first one, which nothing predicts: what the tokenizer puts
 * around a text, with exactly one beginning, and the end of text. A text that was rendered with a chat template spells its
 * own beginning and end: they are not put a second time, also where white space follows the end.
 */
export function encodeText(
  text: string,
  { tokenizer, specialTokensInText = true }: EncodeTextOptions,
): Example {
  const plainSpans = specialTokensInText ? [] : [[0, text.length] as const];
  const content = text === '' ? [] : tokenizer.encode(text, { addSpecialTokens: false, plainSpans });
  const { before, after } = tokenizer.idsAround;
  const begins = before.length > 0 && before.every((id, i) => content[i] === id);
  // Where the tokenizer puts no bos, texts begin with the first of their own tokens, as in pretraining.
  const ids = [...(begins ? [] : before), ...content];
  const { eosId } = tokenizer;
  const ends = eosId !== undefined && endsWithToken(tokenizer, content, eosId);
  if (!ends) ids.push(...after);
  if (!ends && eosId !== undefined && ids.at(-1) !== eosId) ids.push(eosId);
  const trained = new Uint8Array(ids.length).fill(1, Math.max(1, before.length));
  if (content.length === 0) trained.fill(0);
  return { ids: Int32Array.from(ids), trained };
}

/** The first special token that a text spells, by its name; undefined where it spells none. */
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
