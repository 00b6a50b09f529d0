import { Tokenizer } from 'tokenizers';

/** What the Rust library is asked about one tokenizer. */
export interface Question {
  json: string;
  texts: readonly string[];
  ids: readonly (readonly number[])[];
}

/** What it makes of one text: ids with and without those of the post-processor, and these decoded. */
export interface TextAnswer {
  ids: number[];
  plain: number[];
  decoded: string;
  decodedWithoutSpecial: string;
}

/** What stands in place of an answer that a panic has prevented. */
export const PANICKED = 'panicked';

/** Undefined where it refuses the tokenizer, a text or a list of ids. */
export type Answer =
  | { texts: (TextAnswer | undefined | typeof PANICKED)[]; decoded: (string | undefined)[] }
  | undefined;

/** Asks the Rust library, in this process: what panics in it ends the process. */
export async function askRust({ json, texts, ids }: Question): Promise<Answer> {
  let tokenizer: Tokenizer;
  try {
    tokenizer = Tokenizer.fromString(json);
  } catch {
    return undefined;
  }
  tokenizer.disableTruncation();
  tokenizer.disablePadding();
  const answer = async (text: string): Promise<TextAnswer> => {
    const all = (await tokenizer.encode(text)).getIds();
    return {
      ids: all,
      plain: (await tokenizer.encode(text, null, { addSpecialTokens: false })).getIds(),
      decoded: await tokenizer.decode(all, false),
      decodedWithoutSpecial: await tokenizer.decode(all, true),
    };
  };
  return {
    texts: await Promise.all(texts.map((text) => answer(text).catch(() => undefined))),
    decoded: await Promise.all(ids.map((list) => tokenizer.decode([...list], false).catch(() => undefined))),
  };
}
