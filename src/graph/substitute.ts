import { Node, type Tensor } from './tensor.ts';
import { topologicalOrder } from './traverse.ts';

/**
 * The same graph with some of its tensors replaced by others of their shapes, such as inputs by inputs of other names.
 *
 * @param replacements what stands for what; the graph below a replaced tensor is left out.
 * @returns the outputs in the new graph, in order. Nodes that nothing replaced lies below are the old ones.
 */
export function substitute(
  outputs: readonly Tensor[],
  replacements: ReadonlyMap<Tensor, Tensor>,
): readonly Tensor[] {
  const replaced = new Map(replacements);
  for (const node of topologicalOrder(outputs, replacements)) {
    if (!node.inputs.some((tensor) => replaced.has(tensor))) continue;
    const inputs = node.inputs.map((tensor) => replaced.get(tensor) ?? tensor);
    const copy = new Node(node.operator, inputs, node.attributes);
    node.outputs.forEach((output, i) => {
      if (!replaced.has(output)) replaced.set(output, copy.outputs[i]!);
    });
  }
  return outputs.map((output) => replaced.get(output) ?? output);
}
