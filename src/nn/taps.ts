import type { Tensor } from '../graph/tensor.ts';

/**
 * Captures or replaces values while a model is being recorded. The modules offer their values under names such as
 * `layers.3.attention.scores`; the recorder decides what to do with them.
 *
 * | name | shape |
 * |---|---|
 * | `embedding` | `[rows, width]`: what the first layer gets |
 * | `layers.N.input`, `layers.N.output` | `[rows, width]`: the residual stream before and after a layer |
 * | `layers.N.attention.input`, `.output` | `[rows, width]`: what the projections get, and what the branch gives before a norm behind it |
 * | `layers.N.attention.queries`, `.keys`, `.values` | `[batch, heads, time, head_dim]`, rotated where the model rotates |
 * | `layers.N.attention.scores`, `.capped_scores`, `.probabilities` | `[batch, heads, time, time]`; scaled, not yet masked |
 * | `layers.N.mlp.input`, `.output` | `[rows, width]` |
 * | `layers.N.mlp.hidden` | `[rows, hidden]`: what the activation function gets |
 * | `norm` | `[rows, width]`: what the head gets, before logits are scaled |
 * | `logits_before_cap`, `logits` | `[rows, vocab]`; scaled where the model scales them |
 */
export interface Taps {
  /** Whether this value is wanted; asked where offering it has a cost. */
  wants(name: string): boolean;
  /** @returns the value to continue with: the same one, or its replacement. */
  tap(name: string, value: Tensor): Tensor;
}
