import { spelledSpecialToken } from '../../data/encode-text.ts';
import { spelledNote } from '../../data/report.ts';
import { option, textOrTexts } from '../../options.ts';
import { encodeCorpusAsync } from '../../text/corpus.ts';
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
 * The tokens of texts one after another, as `train`, `distill` and `teach` want them: each with the tokens that begin and end
 * a text.
 *
 * @param options.specialTokens what special tokens that texts spell become.
 * @returns Int32Array [tokens]
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
  const { bosId: begin, eosId: end } = tokenizer;
  const special = specialTokens === 'special';
  const spelled = documents
    .map((text) => spelledSpecialToken(text, tokenizer))
    .filter((one) => one !== undefined);
  if (spelled.length > 0)
    progress.note(spelledNote({ rows: spelled.length, token: spelled[0]!, special }, asFlag));
  const tokens = await encodeCorpusAsync(tokenizer, documents, {
    // Where a prompt will begin with this token, a document must have done so too.
    ...(begin !== undefined && tokenizer.encode('')[0] === begin && { beginOfDocument: begin }),
    ...(end !== undefined && { endOfDocument: end }),
    specialTokensInText: special,
    ...(signal && { signal }),
    onProgress: (done, total) => progress.update('encoding', done, total, ''),
  });
  progress.end();
  return tokens;
}
