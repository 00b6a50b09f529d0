/**
 * What ranks divide among themselves, instead of each holding all of it. `none`: nothing. `states`: the optimizer's
 * states (Rajbhandari et al. 2019, arXiv:1910.02054, stage 1). `all`: weights and gradients too (stage 3).
 */
export const SHARDS = ['none', 'states', 'all'] as const;
export type Shard = (typeof SHARDS)[number];

/** The type of gradients on their way between ranks. */
export const WIRES = ['float32', 'bfloat16'] as const;
export type Wire = (typeof WIRES)[number];

/**
 * The bytes that a rank sends in one step, on average over the ranks.
 *
 * @param sizes numbers of elements: weights that are gathered, and gradients.
 */
export function stepBytes(
  shard: Shard,
  ranks: number,
  { weights, gradients }: { readonly weights: number; readonly gradients: number },
  wire: Wire = 'float32',
): number {
  const share = (ranks - 1) / ranks;
  const gradientBytes = (wire === 'bfloat16' ? 2 : 4) * gradients;
  switch (shard) {
    case 'none':
      return 2 * share * gradientBytes;
    case 'states':
      return share * (gradientBytes + 4 * weights);
    case 'all':
      return share * (gradientBytes + 2 * 4 * weights);
  }
}
