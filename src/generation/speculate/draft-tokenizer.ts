import { RopewalkError } from '../../errors.ts';
import type { Tokenizer } from '../../tokenizer/tokenizer.ts';
import { differingToken, tokenText } from '../../tokenizer/vocabulary.ts';

/**
 * Refuses a draft model whose ids mean different texts: its guesses would never be accepted.
 *
 * @throws RopewalkError naming the first id that differs.
 */
export function checkDraftTokenizer(tokenizer: Tokenizer, draft: Tokenizer): void {
  const difference = differingToken(tokenizer, draft);
  if (!difference) return;
  const { id, first, second } = difference;
  throw new RopewalkError(
    `the draft model has a different tokenizer: id ${id} is ${tokenText(second)} there, but ${tokenText(first)} here; use a draft model of the same family.`,
  );
}
