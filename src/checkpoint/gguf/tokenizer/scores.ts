import { TokenCuts } from '../../../tokenizer/older/token-cuts.ts';

/** Scores for a SentencePiece-style vocabulary, which llama.cpp merges by. */
export interface MergeScores {
  /** By token id; the token whose merge comes first has the highest. */
  readonly scores: Float32Array;
  /** Pairs that llama.cpp joins and the tokenizer does not: it takes every pair whose text is a token. */
  readonly extraPairs: number;
}

/**
 * Scores that stand for the order of merges: the best is 0, and every token that merges make has the one below that of
 * the token whose merge comes before. Whole numbers below 2^24 are exact in float32.
 *
 * @param isApart tokens that are found in a text before any merge
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
