import type { Tokenizer } from '../../tokenizer/tokenizer.ts';

/** A token and how likely the model found it. */
export interface LikelyToken {
  readonly id: number;
  /** Natural logarithm of its probability, by the logits as the model gives them: before penalties, temperature and cuts. */
  readonly logprob: number;
}

/** A token that came, and the likeliest in its place. */
export interface ScoredToken extends LikelyToken {
  readonly top: readonly LikelyToken[];
}

/**
 * The log-probability of a token and of the likeliest ones, in float64.
 *
 * @param logits `[vocab]`.
 * @param count how many of the likeliest; of equally likely ones the smaller id first.
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

/** A token as it is told to others: its text, and its bytes where it has any. */
export interface TokenText {
  /** A part of a character is U+FFFD here. */
  readonly token: string;
  readonly bytes: readonly number[] | null;
}

/** A likely token with its text. */
export type LikelyText = TokenText & LikelyToken;

/** A token that came, with its text and the likeliest in its place. */
export interface ScoredText extends LikelyText {
  readonly top: readonly LikelyText[];
}

const decoder = new TextDecoder();

/** Special tokens are their names. */
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
