import { TokenCuts } from '../../../tokenizer/older/token-cuts.ts';

/** Scores of a SentencePiece-style vocabulary, which determine llama.cpp's merges. */
export interface MergeScores {
  /** By token id; the token that is merged first has the highest. */
  readonly scores: Float32Array;
  /** Pairs that llama.cpp joins but the tokenizer does not: it joins every pair whose text is a token. */
  readonly extraPairs: number;
}

/**
 * Scores that encode the order of merges: the best is 0, and every merged token has one less than the token of the
 * preceding merge. Integers below 2^24 are exact in float32.
 *
 * @param isApart tokens that are matched before any merge
 */
export function scoresFromMerges(
  tokens: readonly string[],
  merges: readonly (readonly [string, string])[],
  vocab: ReadonlyMap<string, number>,
  isApart: (id: number) => boolean,
): MergeScores {
  const known = new Set<number>();
  const scores = new Float32Array(tokens.length).fill(Number.NaN);
  let next = 0;
  for (const [left, right] of merges) {
    const [leftId, rightId, id] = [vocab.get(left), vocab.get(right), vocab.get(left + right)];
    if (leftId === undefined || rightId === undefined || id === undefined) continue;
    known.add(leftId * tokens.length + rightId);
    if (Number.isNaN(scores[id]!)) scores[id] = 0 - next++;
  }
  let extraPairs = 0;
  const cuts = new TokenCuts(vocab);
  tokens.forEach((token, id) => {
    if (Number.isNaN(scores[id]!)) scores[id] = -next;
    if (isApart(id)) return;
    cuts.of(token, (leftId, rightId) => {
      if (!known.has(leftId * tokens.length + rightId)) extraPairs++;
    });
  });
  return { scores, extraPairs };
}
