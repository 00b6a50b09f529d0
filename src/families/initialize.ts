import type { Parameter } from '../nn/module.ts';

/** A source of standard normal deviates. */
export interface GaussianSource {
  nextGaussian(): number;
}

/**
 * Fills weights with the family's initial values: normal deviates of `initializer_range` for matrices, constants for
 * norms and biases. The order is that of the parameters, so that a seed gives the same weights everywhere.
 *
 * @param startOf where an array begins in its weight, if it is a part of it.
 */
export function initializeWeights(
  parameters: ReadonlyMap<string, Parameter>,
  values: ReadonlyMap<string, Float32Array>,
  random: GaussianSource,
  startOf: (path: string) => number = () => 0,
): void {
  for (const [path, { initializer, size }] of parameters) {
    const target = values.get(path)!;
    if ('fill' in initializer) {
      target.fill(initializer.fill);
      continue;
    }
    const start = startOf(path);
    for (let i = 0; i < size; i++) {
      const value = initializer.normal * random.nextGaussian();
      if (i >= start && i < start + target.length) target[i - start] = value;
    }
  }
}
