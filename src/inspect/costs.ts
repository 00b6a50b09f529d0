import type { CausalLM } from '../families/family.ts';
import { Conv1D, Linear } from '../nn/linear.ts';
import { distinct, partsOf } from './model-parts.ts';

const USUAL_CONTEXTS: readonly number[] = [1024, 4096, 8192, 32768];

/**
 * Context lengths at which costs that depend on them are stated: the longest that all models allow, so that each has a
 * value, and common ones up to the longest that any allows.
 */
export function contextsFor(models: readonly CausalLM[]): number[] {
  const positions = models.map(({ maxPositions }) => maxPositions);
  const usual = USUAL_CONTEXTS.filter((context) => context <= Math.max(...positions));
  return distinct([...usual, Math.min(...positions)]).sort((a, b) => a - b);
}

export const BYTES_PER_NUMBER = { float32: 4, bfloat16: 2, float16: 2 } as const;
export type NumberFormat = keyof typeof BYTES_PER_NUMBER;

/**
 * Floating-point operations (a multiply-add is two) of one token's products with weight matrices, forward, including
 * the head. Embedding lookups, norms and activations are excluded, because they are not matrix products.
 */
export function weightFlopsPerToken(model: CausalLM): number {
  let flops = 0;
  for (const [, module] of model.walk()) {
    if (module instanceof Linear || module instanceof Conv1D) flops += 2 * module.weight.size;
  }
  return flops;
}

/** The number of keys that the last of `context` tokens sees, including its own. */
function keysSeen(window: number | null, context: number): number {
  return window === null ? context : Math.min(window, context);
}

/**
 * Floating-point operations of attention itself (scores and weighted values, over all layers and heads) for the last
 * of `context` tokens: 4 · heads · head_dim for each key it sees.
 */
export function attentionFlopsPerToken(model: CausalLM, context: number): number {
  return partsOf(model).attentions.reduce(
    (sum, { heads, headDim, window }) => sum + 4 * heads * headDim * keysSeen(window, context),
    0,
  );
}

/** Bytes that every further token adds to the caches while no window is full. */
export function cacheBytesPerToken(model: CausalLM, format: NumberFormat): number {
  return partsOf(model).attentions.reduce(
    (sum, { kvHeads, headDim }) => sum + 2 * kvHeads * headDim * BYTES_PER_NUMBER[format],
    0,
  );
}

/**
 * Bytes of keys and values that attention reads for the last of `context` tokens. A local layer's rolling cache keeps
 * window − 1 and the new one.
 */
export function cacheBytes(model: CausalLM, context: number, format: NumberFormat): number {
  return partsOf(model).attentions.reduce(
    (sum, { kvHeads, headDim, window }) =>
      sum + 2 * kvHeads * headDim * keysSeen(window, context) * BYTES_PER_NUMBER[format],
    0,
  );
}
