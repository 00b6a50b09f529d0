import type { RunRanks } from './ranks.ts';
import type { Shard, Wire } from './shard.ts';

/** How a learner trains together with those of other processes. */
export interface Parallel {
  readonly ranks: RunRanks;
  /** Micro-batches of a step of all ranks. */
  readonly accumulate: number;
  readonly shard: Shard;
  readonly wire: Wire;
  /** Whether the optimizer needs all elements of a weight at once: slices are then whole weights. */
  readonly wholeWeights: boolean;
}
