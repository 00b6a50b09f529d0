import { RopewalkError } from '../errors.ts';
import type { Node, Tensor } from './tensor.ts';
import { topologicalOrder } from './traverse.ts';
import type { Values } from './values.ts';

/**
 * The float64 value of a graph in plain TypeScript: slow, and the reference for testing the engine.
 *
 * @param feeds a value for every input that the outputs depend on.
 */
export function evaluate(outputs: readonly Tensor[], feeds: ReadonlyMap<Tensor, Values>): Values[] {
  const values = new Map<Tensor, Values>(feeds);
  for (const node of topologicalOrder(outputs, values)) {
    if (node.outputs.every((output) => values.has(output))) continue;
    evaluateNode(node, values).forEach((value, i) => {
      values.set(node.outputs[i]!, value);
    });
  }
  return outputs.map((output) => values.get(output)!);
}

function evaluateNode(node: Node, values: ReadonlyMap<Tensor, Values>): Values[] {
  const { operator, attributes } = node;
  if (operator.evaluate) {
    return operator.evaluate(
      node.inputs.map((input) => values.get(input)!),
      attributes,
    );
  }
  if (operator.expand) {
    const feeds = new Map(node.inputs.map((input) => [input, values.get(input)!]));
    return evaluate(operator.expand(node.inputs, attributes), feeds);
  }
  throw new RopewalkError(`${operator.name}: no value was given for it.`);
}
