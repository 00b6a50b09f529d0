import { StreamDecoder } from '../tokenizer/stream.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import type { Example } from './view.ts';

/** Tokens that belong together: all trained or none, with the text that they give. */
export interface PreviewRun {
  readonly text: string;
  readonly trained: boolean;
}

/**
 * The text of an example in runs of tokens that are trained, and that are not. Characters that several tokens make up
 * belong to the run of the last of them.
 */
export function previewRuns(tokenizer: Tokenizer, { ids, trained }: Example): PreviewRun[] {
  const decoder = new StreamDecoder(tokenizer);
  const runs: { text: string; trained: boolean }[] = [];
  const add = (text: string, isTrained: boolean) => {
    if (text === '') return;
    const last = runs.at(-1);
    if (last?.trained === isTrained) last.text += text;
    else runs.push({ text, trained: isTrained });
  };
  for (const [i, id] of ids.entries()) add(decoder.push(id), trained[i] === 1);
  add(decoder.flush(), trained.at(-1) === 1);
  return runs;
}
