import type { Tokenizer } from './tokenizer.ts';

/** An id with different meanings in two tokenizers; undefined where it has none. */
export interface DifferingToken {
  readonly id: number;
  readonly first: string | undefined;
  readonly second: string | undefined;
}

/** The first id that differs between two tokenizers; undefined if all ids agree. */
export function differingToken(a: Tokenizer, b: Tokenizer): DifferingToken | undefined {
  const count = Math.max(a.vocabSize, b.vocabSize);
  for (let id = 0; id < count; id++) {
    const [first, second] = [a.idToToken(id), b.idToToken(id)];
    if (first !== second) return { id, first, second };
  }
  return undefined;
}

/** A token for a message: quoted, or "nothing". */
export function tokenText(token: string | undefined): string {
  return token === undefined ? 'nothing' : JSON.stringify(token);
}
