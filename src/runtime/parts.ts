import { sizeOf } from '../graph/dims.ts';
import { parameterName } from '../graph/operators/sources.ts';
import type { Tensor } from '../graph/tensor.ts';
import { topologicalOrder } from '../graph/traverse.ts';
import { quantizedBytes, type WeightSource } from '../onnx/weights.ts';

/**
 * Weights of a part, at least. The engine packs parts at the same time. A token of a model of 1B parameters took no longer in two parts
 * than in one; one of SmolLM2-135M in float32 (540 MB) took up to 4 % longer.
 */
const PART_BYTES = 320 * 2 ** 20;
const MOST_PARTS = 2;

/** Into how many parts a graph with these weights is cut. */
export function partsOf(roots: readonly Tensor[], sizeOf: (parameter: Tensor) => number): number {
  const inputs = topologicalOrder(roots).flatMap(({ inputs }) => inputs);
  const parameters = new Set(inputs.filter(({ node }) => parameterName(node) !== undefined));
  const bytes = [...parameters].reduce((sum, parameter) => sum + sizeOf(parameter), 0);
  return Math.max(1, Math.min(MOST_PARTS, Math.floor(bytes / PART_BYTES)));
}

/** Bytes that the engine takes for a weight. */
export function weightBytes(parameter: Tensor, weights: ReadonlyMap<string, WeightSource>): number {
  const source = weights.get(parameterName(parameter.node) ?? '');
  if (!source) return 0;
  return 'quantized' in source ? quantizedBytes(source.quantized) : 4 * sizeOf(parameter.shape as number[]);
}
