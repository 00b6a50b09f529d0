import { StreamDecoder } from '../tokenizer/stream.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import type { Example } from './view.ts';

/** Consecutive tokens, all trained or none, with their text; a special token is a separate run. */
export interface PreviewRun {
  readonly text: string;
  readonly trained: boolean;
  /** Set if the text is the name of a special token, rather than its letters. */
  readonly special?: true;
}

/**
 * The text of an example in runs of trained tokens, untrained tokens, and single special tokens. A character made up
 * of several tokens belongs to the run of the last one.
 */
export function previewRuns(tokenizer: Tokenizer, { ids, trained }: Example): PreviewRun[] {
  const decoder = new StreamDecoder(tokenizer);
  const runs: { text: string; trained: boolean; special?: true }[] = [];
  const add = (text: string, isTrained: boolean) => {
    if (text === '') return;
    const last = runs.at(-1);
    if (last?.trained === isTrained && !last.special) last.text += text;
    else runs.push({ text, trained: isTrained });
  };
  for (const [i, id] of ids.entries()) {
    const isTrained = trained[i] === 1;
    const text = decoder.push(id);
    const name = tokenizer.isSpecial(id) ? tokenizer.idToToken(id) : undefined;
    if (name === undefined || !text.endsWith(name)) {
      add(text, isTrained);
      continue;
    }
    add(text.slice(0, text.length - name.length), isTrained);
    runs.push({ text: name, trained: isTrained, special: true });
  }
  add(decoder.flush(), trained.at(-1) === 1);
  return runs;
}
