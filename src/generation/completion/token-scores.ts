import type { Tokenizer } from '../../tokenizer/tokenizer.ts';

/** A token and its log-probability. */
export interface LikelyToken {
  readonly id: number;
  /** The natural logarithm of its probability, from the model's logits before penalties, temperature and truncation. */
  readonly logprob: number;
}

/** The generated token, and the most likely ones in its place. */
export interface ScoredToken extends LikelyToken {
  readonly top: readonly LikelyToken[];
}

/**
 * The log-probability of a token and of the most likely ones, in float64.
 *
 * @param logits `[vocab]`.
 * @param count the number of most likely tokens; of equally likely ones, the smaller id comes first.
 */
export function scoreToken(logits: Float32Array, id: number, count: number): ScoredToken {
  let max = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < logits.length; i++) if (logits[i]! > max) max = logits[i]!;
  let sum = 0;
  for (let i = 0; i < logits.length; i++) sum += Math.exp(logits[i]! - max);
  const total = max + Math.log(sum);
  const top = likeliest(logits, count).map((other) => ({ id: other, logprob: logits[other]! - total }));
  return { id, logprob: logits[id]! - total, top };
}

/** Ids of the largest logits, largest first. */
function likeliest(logits: Float32Array, count: number): number[] {
  const ids: number[] = [];
  if (count === 0) return ids;
  for (let id = 0; id < logits.length; id++) {
    const logit = logits[id]!;
    if (ids.length === count && !(logit > logits[ids[count - 1]!]!)) continue;
    let at = ids.length;
    while (at > 0 && logit > logits[ids[at - 1]!]!) at--;
    ids.splice(at, 0, id);
    if (ids.length > count) ids.pop();
  }
  return ids;
}

/** A token for output: its text, and its bytes if it has any. */
export interface TokenText {
  /** A part of a character becomes U+FFFD. */
  readonly token: string;
  readonly bytes: readonly number[] | null;
}

/** A likely token with its text. */
export type LikelyText = TokenText & LikelyToken;

/** The generated token with its text, and the most likely ones in its place. */
export interface ScoredText extends LikelyText {
  readonly top: readonly LikelyText[];
}

const decoder = new TextDecoder();

/** The text of a special token is its name. */
export function tokenText(tokenizer: Tokenizer, id: number): TokenText {
  const bytes = tokenizer.isSpecial(id) ? undefined : tokenizer.tokenBytes(id);
  if (bytes) return { token: decoder.decode(bytes), bytes: [...bytes] };
  const token = tokenizer.idToToken(id);
  if (token === undefined) return { token: '', bytes: null };
  return { token, bytes: [...new TextEncoder().encode(token)] };
}

export function scoredText(tokenizer: Tokenizer, { top, ...scored }: ScoredToken): ScoredText {
  const withText = (likely: LikelyToken): LikelyText => ({ ...likely, ...tokenText(tokenizer, likely.id) });
  return { ...withText(scored), top: top.map(withText) };
}
