import { TokenCuts } from '../../src/tokenizer/older/token-cuts.ts';
import { CONTROL } from '../../src/tokenizer/older/token-types.ts';

/**
 * Merges for a SentencePiece-style vocabulary, which has only scores: every way to form a token from two others is a
 * merge, the token with the highest score first, as in Hugging Face's conversion. Ties go to the longer left part,
 * then to the longer right part.
 *
 * @returns pairs in order of rank.
 */
export function mergesFromScores(
  tokens: readonly string[],
  types: ArrayLike<number>,
  scores: ArrayLike<number>,
  vocab: ReadonlyMap<string, number>,
): [string, string][] {
  // In columns, sorted through one index array: a vocabulary of 256k tokens has 600k merges.
  const lefts: number[] = [];
  const rights: number[] = [];
  const made: number[] = [];
  const lengths = Uint32Array.from(tokens, characters);
  const cuts = new TokenCuts(vocab);
  tokens.forEach((token, id) => {
    if (types[id] === CONTROL) return;
    const from = lefts.length;
    cuts.of(token, (left, right) => {
      lefts.push(left);
      rights.push(right);
      made.push(id);
    });
    sortByIds(lefts, rights, from);
  });
  const order = Uint32Array.from(lefts, (_, i) => i);
  order.sort((a, b) => {
    const byScore = scores[made[b]!]! - scores[made[a]!]!;
    if (byScore !== 0) return byScore;
    return lengths[lefts[b]!]! - lengths[lefts[a]!]! || lengths[rights[b]!]! - lengths[rights[a]!]! || a - b;
  });
  return Array.from(order, (i) => [tokens[lefts[i]!]!, tokens[rights[i]!]!]);
}

/** Sorts the few pairs from `from` on by their ids. */
function sortByIds(lefts: number[], rights: number[], from: number): void {
  for (let i = from + 1; i < lefts.length; i++) {
    const [left, right] = [lefts[i]!, rights[i]!];
    let at = i;
    for (; at > from && (lefts[at - 1]! - left || rights[at - 1]! - right) > 0; at--) {
      lefts[at] = lefts[at - 1]!;
      rights[at] = rights[at - 1]!;
    }
    lefts[at] = left;
    rights[at] = right;
  }
}

function characters(text: string): number {
  let count = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code < 0xdc00 || code > 0xdfff) count++;
  }
  return count;
}
