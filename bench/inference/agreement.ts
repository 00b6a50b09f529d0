import type { Contender } from './contender.ts';

/** How closely two contenders agree. */
export interface Agreement {
  /** Root mean square of the difference of the logits, relative to their standard deviation. */
  readonly difference: number;
  /** The number of identical greedy tokens from the start. */
  readonly sameTokens: number;
  readonly tokens: number;
  /**
   * At the first different token: how far the other contender's choice is below ours in our own logits, relative to
   * their standard deviation.
   */
  readonly gap: number;
}

const PROMPT = 32;
const TOKENS = 8;

/** Compares the logits after a prompt, and the tokens of greedy decoding. */
export async function compare(ours: Contender, theirs: Contender): Promise<Agreement> {
  const [a, b] = [await logitsOf(ours), await logitsOf(theirs)];
  const [idsA, idsB] = [await greedy(ours), await greedy(theirs)];
  const firstDifference = idsA.findIndex((id, i) => id !== idsB[i]);
  // A constant added to all logits changes nothing.
  const shift = mean(b) - mean(a);
  let square = 0;
  for (let i = 0; i < a.length; i++) square += (b[i]! - a[i]! - shift) ** 2;
  const spread = deviation(a);
  return {
    difference: Math.sqrt(square / a.length) / spread,
    sameTokens: firstDifference < 0 ? TOKENS : firstDifference,
    tokens: TOKENS,
    gap: (a[idsA[0]!]! - a[idsB[0]!]!) / spread,
  };
}

async function logitsOf(contender: Contender): Promise<Float32Array> {
  const { logits } = await contender.ask<{ logits: string }>(`logits ${PROMPT}`);
  return new Float32Array(new Uint8Array(Buffer.from(logits, 'base64')).buffer);
}

async function greedy(contender: Contender): Promise<number[]> {
  return (await contender.ask<{ ids: number[] }>(`greedy ${PROMPT} ${TOKENS}`)).ids;
}

function mean(values: Float32Array): number {
  return values.reduce((sum, x) => sum + x, 0) / values.length;
}

function deviation(values: Float32Array): number {
  const middle = mean(values);
  return Math.sqrt(values.reduce((sum, x) => sum + (x - middle) ** 2, 0) / values.length);
}
