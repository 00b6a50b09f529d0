import { type EncodeCorpusOptions, encodeCorpusAsync } from '../text/corpus.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { spelledSpecialToken } from './encode-text.ts';
import type { DataReport } from './report.ts';

/** How documents become tokens. */
export type EncodeDocumentsOptions = Pick<
  EncodeCorpusOptions,
  'specialTokensInText' | 'signal' | 'onProgress'
>;

/**
 * Prepares texts to train on: their tokens one after another, each text with the tokens that begin and end one.
 *
 * @returns tokens `[tokens]`, and which texts spell special tokens, as `spelledNote` says it.
 */
export async function encodeDocuments(
  tokenizer: Tokenizer,
  documents: readonly string[],
  { specialTokensInText: special = true, signal, onProgress }: EncodeDocumentsOptions = {},
): Promise<{ readonly tokens: Int32Array; readonly spelled: DataReport['spelled'] }> {
  const { bosId: begin, eosId: end } = tokenizer;
  const [token, ...others] = documents.flatMap((text) => spelledSpecialToken(text, tokenizer) ?? []);
  const tokens = await encodeCorpusAsync(tokenizer, documents, {
    // Where a prompt will begin with this token, a document must have done so too.
    ...(begin !== undefined && tokenizer.encode('')[0] === begin && { beginOfDocument: begin }),
    ...(end !== undefined && { endOfDocument: end }),
    ...{ specialTokensInText: special, signal, onProgress },
  });
  const spelled = token === undefined ? null : { rows: 1 + others.length, token, special };
  return { tokens, spelled };
}
