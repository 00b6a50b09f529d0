import { type Attributes, Node, type Operator, type Tensor } from './tensor.ts';
import { topologicalOrder } from './traverse.ts';

/** Rewrites other tensors by the same rules, such as an operator's expansion. */
type Rewrite = (outputs: readonly Tensor[]) => readonly Tensor[];

/** A rule that may replace a node. */
export interface Rule<A extends Attributes = Attributes> {
  /** The operator whose nodes it applies to; all operators if none is named. */
  readonly operator?: Operator<A>;
  /**
   * @param inputs the node's rewritten inputs.
   * @returns replacements of its outputs, in order (unused ones may be left out); undefined if the rule does not
   *   apply.
   */
  apply(node: Node<A>, inputs: readonly Tensor[], rewrite: Rewrite): readonly Tensor[] | undefined;
}

/**
 * The only way to rewrite a graph: every node, after its inputs, is replaced by the first rule that applies, or else
 * gets its new inputs.
 *
 * @param replacements tensors that are replaced from the start; the graph below them is left out.
 * @returns the outputs in the new graph, in order. Nodes whose inputs did not change are reused.
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
        // Results are final: rewriting what is built on them later stops here.
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

/** The outputs of a node with other inputs; the node itself if they are the same. */
export function withInputs(node: Node, inputs: readonly Tensor[]): readonly Tensor[] {
  const same = inputs.every((input, i) => input === node.inputs[i]);
  return same ? node.outputs : new Node(node.operator, inputs, node.attributes).outputs;
}

/**
 * The same graph with some tensors replaced by others of the same shape, such as renamed inputs.
 *
 * @param replacements the new tensor for each old one; the graph below a replaced tensor is left out.
 */
export function substitute(outputs: readonly Tensor[], replacements: ReadonlyMap<Tensor, Tensor>): Tensor[] {
  return rewrite(outputs, [], replacements);
}
