import { type Attributes, Node, type Operator, type Tensor } from './tensor.ts';
import { topologicalOrder } from './traverse.ts';

/** Rewrites further tensors by the same rules, such as what an operator expands to. */
type Rewrite = (outputs: readonly Tensor[]) => readonly Tensor[];

/** One thing that may stand in a node's place. */
export interface Rule<A extends Attributes = Attributes> {
  /** Whose nodes it is for; every operator's where none is named. */
  readonly operator?: Operator<A>;
  /**
   * @param inputs what the node's inputs have become.
   * @returns what stands for its outputs, in order (those that nothing reads may be left out); undefined where the rule
   *   does not fit.
   */
  apply(node: Node<A>, inputs: readonly Tensor[], rewrite: Rewrite): readonly Tensor[] | undefined;
}

/**
 * The one way in which a graph becomes another: every node, after its inputs, is what the first rule that fits makes of
 * it, or else itself with its new inputs.
 *
 * @param replacements tensors that others stand for from the beginning; the graph below them is left out.
 * @returns the outputs in the new graph, in order. Nodes below which nothing changed are the old ones.
 */
export function rewrite(
  outputs: readonly Tensor[],
  rules: readonly Rule[],
  replacements: ReadonlyMap<Tensor, Tensor> = new Map(),
): Tensor[] {
  const replaced = new Map(replacements);
  const now = (tensor: Tensor) => replaced.get(tensor) ?? tensor;
  const run = (roots: readonly Tensor[]): Tensor[] => {
    for (const node of topologicalOrder(roots, replaced)) {
      const inputs = node.inputs.map(now);
      firstFit(rules, node, inputs, run).forEach((result, i) => {
        const output = node.outputs[i]!;
        if (!replaced.has(output)) replaced.set(output, result);
        // What is new is done: what is built on it later stops here.
        replaced.set(result, result);
      });
    }
    return roots.map(now);
  };
  return run(outputs);
}

function firstFit(
  rules: readonly Rule[],
  node: Node,
  inputs: readonly Tensor[],
  run: Rewrite,
): readonly Tensor[] {
  for (const { operator, apply } of rules) {
    if (operator && operator !== node.operator) continue;
    const results = apply(node, inputs, run);
    if (results) return results;
  }
  return withInputs(node, inputs);
}

/** The outputs of a node over other inputs; its own where they are the same. */
export function withInputs(node: Node, inputs: readonly Tensor[]): readonly Tensor[] {
  const same = inputs.every((input, i) => input === node.inputs[i]);
  return same ? node.outputs : new Node(node.operator, inputs, node.attributes).outputs;
}

/**
 * The same graph with some of its tensors replaced by others of their shapes, such as inputs by inputs of other names.
 *
 * @param replacements what stands for what; the graph below a replaced tensor is left out.
 */
export function substitute(outputs: readonly Tensor[], replacements: ReadonlyMap<Tensor, Tensor>): Tensor[] {
  return rewrite(outputs, [], replacements);
}
