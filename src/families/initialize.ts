import type { Parameter } from '../nn/module.ts';

/** A source of standard normal deviates. */
export interface GaussianSource {
  nextGaussian(): number;
}

/**
 * Fills weights with the family's initial values: normal deviates of `initializer_range` for matrices, constants for
 * norms and biases. The order is that of the parameters, so that a seed gives the same weights everywhere.
 */
export function initializeWeights(
  parameters: ReadonlyMap<string, Parameter>,
  values: ReadonlyMap<string, Float32Array>,
  random: GaussianSource,
): void {
  for (const [path, { initializer }] of parameters) {
    const target = values.get(path)!;
    if ('fill' in initializer) target.fill(initializer.fill);
    else for (let i = 0; i < target.length; i++) target[i] = initializer.normal * random.nextGaussian();
  }
}
