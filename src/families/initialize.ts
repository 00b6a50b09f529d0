import type { Parameter } from '../nn/module.ts';

/** Where random numbers come from: standard normal deviates. */
export interface GaussianSource {
  nextGaussian(): number;
}

/**
 * Fills weights as the family starts them: normal deviates of `initializer_range` for matrices, constants for norms
 * and biases. Filled in the order of the parameters, so that a seed means the same weights everywhere.
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
