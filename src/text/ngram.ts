import { RopewalkError } from '../errors.ts';

/** Gives the probability of a token after the previous one; over all tokens it sums to 1. */
export interface NgramModel {
  /** p(token | previous). */
  probability(token: number, previous: number): number;
}

function checkTokens(tokens: Int32Array, vocabSize: number, least: number): void {
  if (tokens.length < least) {
    throw new RopewalkError(
      `${tokens.length} tokens are too few for a baseline; at least ${least} are needed`,
    );
  }
  for (const token of tokens) {
    if (token < 0 || token >= vocabSize) {
      throw new RopewalkError(`token id ${token} is outside the vocabulary of ${vocabSize}`);
    }
  }
}

/**
 * The unigram baseline with add-one smoothing (Laplace): p(w) = (c(w) + 1) / (N + V).
 *
 * @param tokens training tokens [N]
 * @param vocabSize V, the number of ids
 */
export function fitUnigram(tokens: Int32Array, vocabSize: number): NgramModel {
  checkTokens(tokens, vocabSize, 1);
  const counts = new Float64Array(vocabSize);
  for (const token of tokens) counts[token]!++;
  const total = tokens.length + vocabSize;
  return { probability: (token) => (counts[token]! + 1) / total };
}

/** Ney, Essen and Kneser's (1994) discount from the counts of counts; 0.75 if the text is too small to estimate it. */
function discount(counts: Iterable<number>): number {
  let once = 0;
  let twice = 0;
  for (const count of counts) {
    if (count === 1) once++;
    else if (count === 2) twice++;
  }
  return once > 0 && twice > 0 ? once / (once + 2 * twice) : 0.75;
}

/**
 * The bigram baseline: interpolated Kneser–Ney (Kneser and Ney 1995, in the interpolated form of Chen and Goodman
 * 1999, who found it the best of the classic smoothings), the baseline for a model that sees more than one token:
 *
 *   p(w|v) = max(c(v,w) − D, 0) / c(v) + D·N(v,·)/c(v) · q(w)
 *   q(w)   = max(N(·,w) − E, 0) / N(·,·) + E·T/N(·,·) / V
 *
 * where c counts bigrams, N counts distinct bigrams, T counts the tokens that follow any token, and V is the
 * vocabulary size; after a token that nothing ever followed, p is q. The discounts D and E are estimated from the
 * training text, as n₁ / (n₁ + 2 n₂).
 *
 * @param tokens training tokens [N]
 * @param vocabSize V, the number of ids
 */
export function fitBigram(tokens: Int32Array, vocabSize: number): NgramModel {
  checkTokens(tokens, vocabSize, 2);
  const bigrams = new Map<number, number>(); // key: previous · vocabSize + token
  const followed = new Float64Array(vocabSize); // c(v): bigrams that begin with v
  for (let i = 1; i < tokens.length; i++) {
    const key = tokens[i - 1]! * vocabSize + tokens[i]!;
    bigrams.set(key, (bigrams.get(key) ?? 0) + 1);
    followed[tokens[i - 1]!]!++;
  }
  const followers = new Float64Array(vocabSize); // N(v,·)
  const contexts = new Float64Array(vocabSize); // N(·,w)
  for (const key of bigrams.keys()) {
    followers[Math.floor(key / vocabSize)]!++;
    contexts[key % vocabSize]!++;
  }
  const types = bigrams.size;
  const bigramDiscount = discount(bigrams.values());
  const contextDiscount = discount(contexts);
  const seen = contexts.reduce((sum, count) => sum + (count > 0 ? 1 : 0), 0);
  const uniform = (contextDiscount * seen) / types / vocabSize;

  return {
    probability(token, previous) {
      const continuation = Math.max(contexts[token]! - contextDiscount, 0) / types + uniform;
      const total = followed[previous]!;
      if (total === 0) return continuation;
      const count = bigrams.get(previous * vocabSize + token) ?? 0;
      const left = (bigramDiscount * followers[previous]!) / total;
      return Math.max(count - bigramDiscount, 0) / total + left * continuation;
    },
  };
}

/**
 * The mean negative log-likelihood of `tokens` in nats per token, over every token but the first: the positions that
 * `evaluationBatches` gives to a model, so the two numbers are comparable.
 *
 * @throws RopewalkError if there are fewer than two tokens.
 */
export function meanNegativeLogLikelihood(model: NgramModel, tokens: Int32Array): number {
  if (tokens.length < 2)
    throw new RopewalkError(`${tokens.length} tokens are too few to score; at least 2 are needed`);
  let sum = 0;
  for (let i = 1; i < tokens.length; i++) sum -= Math.log(model.probability(tokens[i]!, tokens[i - 1]!));
  return sum / (tokens.length - 1);
}
