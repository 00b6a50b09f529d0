import { RopewalkError } from '../errors.ts';
import type { Tokenizer } from '../text/tokenizer.ts';

/**
 * Refuses a draft model whose ids mean other texts: its guesses would never stand.
 *
 * @throws RopewalkError naming the first id that differs.
 */
export function checkDraftTokenizer(tokenizer: Tokenizer, draft: Tokenizer): void {
  const count = Math.max(tokenizer.vocabSize, draft.vocabSize);
  for (let id = 0; id < count; id++) {
    const [wanted, actual] = [tokenizer.idToToken(id), draft.idToToken(id)];
    if (wanted === actual) continue;
    const text = (token: string | undefined) => (token === undefined ? 'nothing' : JSON.stringify(token));
    throw new RopewalkError(
      `the draft model has another tokenizer: id ${id} is ${text(actual)} there, but ${text(wanted)} here; take a draft model of the same family.`,
    );
  }
}
