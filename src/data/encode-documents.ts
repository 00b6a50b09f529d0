import { type EncodeCorpusOptions, encodeCorpusAsync } from '../text/corpus.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { spelledSpecialToken } from './encode-text.ts';
import type { DataReport } from './report.ts';

/** Options for encoding documents. */
export type EncodeDocumentsOptions = Pick<
  EncodeCorpusOptions,
  'specialTokensInText' | 'signal' | 'onProgress'
>;

/**
 * Prepares training texts: their tokens in order, each text with its begin and end tokens.
 *
 * @returns tokens `[tokens]`, and a note from `spelledNote` if texts contain special tokens.
 */
export async function encodeDocuments(
  tokenizer: Tokenizer,
  documents: readonly string[],
  { specialTokensInText: special = true, signal, onProgress }: EncodeDocumentsOptions = {},
): Promise<{ readonly tokens: Int32Array; readonly spelled: DataReport['spelled'] }> {
  const { bosId: begin, eosId: end } = tokenizer;
  const [token, ...others] = documents.flatMap((text) => spelledSpecialToken(text, tokenizer) ?? []);
  const tokens = await encodeCorpusAsync(tokenizer, documents, {
    // If prompts will begin with this token, documents must begin with it in training.
    ...(begin !== undefined && tokenizer.encode('')[0] === begin && { beginOfDocument: begin }),
    ...(end !== undefined && { endOfDocument: end }),
    ...{ specialTokensInText: special, signal, onProgress },
  });
  const spelled = token === undefined ? null : { rows: 1 + others.length, token, special };
  return { tokens, spelled };
}
