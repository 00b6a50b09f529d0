import type { Batch } from '../batches.ts';
import type { CommonConfig } from '../families/config.ts';
import { exchange } from '../families/exchange.ts';
import type { Family } from '../families/family.ts';
import { initializeWeights } from '../families/initialize.ts';
import { TapRunner } from '../generation/taps/taps.ts';
import { sumOfSquares } from '../kernels/kernels.ts';
import { Random } from '../random.ts';
import type { Engine } from '../runtime/engine.ts';
import type { Weights } from './subject.ts';

export interface GradientSettings {
  readonly family: Family;
  readonly config: CommonConfig;
  readonly weights: Weights;
  readonly batch: Batch;
  /** Sequences in the batch. */
  readonly sequences: number;
  /** Whether to remove the norms inside the layers. */
  readonly withoutNorms?: boolean;
}

/**
 * The gradient of the mean loss with respect to the residual stream before each layer and after the last: the
 * Euclidean norm of ∂loss/∂x over all tokens. `[layers + 1]`; values that float32 cannot represent are Infinity or
 * NaN.
 */
export async function gradientByLayer(engine: Engine, settings: GradientSettings): Promise<number[]> {
  const { family, config, weights, batch, sequences, withoutNorms } = settings;
  const model = (withoutNorms ? exchange(family, { layerNorms: 'none' }) : family).build(config);
  const runner = new TapRunner(engine, model, weights);
  try {
    const last = model.stages.layers.length - 1;
    const names = [...model.stages.layers.keys()].map((layer) => `layers.${layer}.input`);
    const all = [...names, `layers.${last}.output`];
    const { gradients } = await runner.run(batch.inputs, { gradients: all, batch: sequences });
    return all.map((name) => Math.sqrt(sumOfSquares(gradients[name]!.data)));
  } finally {
    await runner.release();
  }
}

/** The initial weights of training. */
export function startingWeights(family: Family, config: CommonConfig, seed: number): Weights {
  const parameters = family.build(config).parameters();
  const values = new Map([...parameters].map(([path, { size }]) => [path, new Float32Array(size)]));
  initializeWeights(parameters, values, new Random(seed));
  return new Map([...values].map(([path, data]) => [path, { data }]));
}
