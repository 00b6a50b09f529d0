import type { Node, Tensor } from '../graph/tensor.ts';
import { topologicalOrder } from '../graph/traverse.ts';

/** The applications of an operator that a value is computed with, in the order of the program. */
export function nodesOf(output: Tensor, operator: string): Node[] {
  return topologicalOrder([output]).filter((node) => node.operator.name === operator);
}
