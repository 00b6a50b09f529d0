import { encodeDocuments } from '../../data/encode-documents.ts';
import { spelledNote } from '../../data/report.ts';
import { option, textOrTexts } from '../../options.ts';
import type { Tokenizer } from '../../tokenizer/tokenizer.ts';
import type { Progress } from '../terminal/progress.ts';
import { asFlag } from './spelling.ts';

/** Files of plain text. */
export const textFiles = option(
  textOrTexts,
  'UTF-8 text (also .gz), a pattern such as "texts/*.txt", or a folder of .txt and .md',
  { value: 'file' },
);

/**
 * Prepares training texts, with a progress bar on stderr, and a note if they contain special tokens. @returns
 * Int32Array [tokens]
 */
export async function encodeTexts(
  tokenizer: Tokenizer,
  documents: readonly string[],
  {
    specialTokens,
    progress,
    signal,
  }: { specialTokens: 'special' | 'text'; progress: Progress; signal?: AbortSignal | undefined },
): Promise<Int32Array> {
  const { tokens, spelled } = await encodeDocuments(tokenizer, documents, {
    specialTokensInText: specialTokens === 'special',
    ...(signal && { signal }),
    onProgress: (done, total) => progress.update('encoding', done, total, ''),
  });
  progress.end();
  if (spelled) progress.note(spelledNote(spelled, asFlag));
  return tokens;
}
