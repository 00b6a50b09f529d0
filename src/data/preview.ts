import { StreamDecoder } from '../tokenizer/stream.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import type { Example } from './view.ts';

/** Tokens that belong together, all trained or none, with the text that they give; a special token is a run of its own. */
export interface PreviewRun {
  readonly text: string;
  readonly trained: boolean;
  /** Set where the text is the name of a special token, rather than letters that spell it. */
  readonly special?: true;
}

/**
 * The text of an example in runs of tokens that are trained, and that are not, and of single special tokens. Characters that
 * several tokens make up belong to the run of the last of them.
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
