import { toHalfOp } from './lowerings/half.ts';
import { type InputAttributes, input } from './operators/index.ts';
import { substitute } from './rewrite.ts';
import { simplify } from './simplify.ts';
import { type Dialect, type DType, isNodeOf, type Node, type Tensor } from './tensor.ts';
import { topologicalOrder } from './traverse.ts';

export interface Partition {
  /** The first part's outputs: the requested ones, then the values that the second part needs. */
  readonly first: readonly Tensor[];
  /** Names, types and shapes of the kept values, as the second part receives them. */
  readonly kept: readonly {
    readonly name: string;
    readonly dtype: DType;
    readonly shape: readonly number[];
  }[];
  /** The second part's outputs. */
  readonly second: readonly Tensor[];
}

/**
 * Splits a graph at an input that becomes available later than the others, such as a block's output gradient. What
 * does not depend on it is computed first, and kept if the rest needs it. Only values that are cheaper to compute
 * than to keep are computed twice.
 *
 * @param early outputs that do not depend on `late`.
 * @param outputs outputs of the second part.
 */
export function partition(
  early: readonly Tensor[],
  outputs: readonly Tensor[],
  late: Tensor,
  dialect: Dialect,
): Partition {
  const all = simplify([...early, ...outputs], dialect);
  const first = all.slice(0, early.length);
  const second = all.slice(early.length);
  const isLate = lateNodes(second, late);
  const kept = new Set<Tensor>();
  const visited = new Set<Tensor>();
  const need = (tensor: Tensor) => {
    const { operator, inputs } = tensor.node;
    if (visited.has(tensor) || inputs.length === 0) return;
    visited.add(tensor);
    // The inputs of a cheap value are kept instead; they may serve several.
    if (operator.cheap && !isNarrowed(tensor)) for (const each of inputs) need(each);
    else kept.add(tensor);
  };
  for (const node of isLate) for (const tensor of node.inputs) if (!isLate.has(tensor.node)) need(tensor);
  for (const output of second) if (!isLate.has(output.node)) need(output);
  for (const tensor of kept) if (isNarrowed(tensor) && kept.has(tensor.node.inputs[0]!)) kept.delete(tensor);
  const entries = [...kept].map((tensor, i) => ({
    tensor,
    name: `kept.${i}`,
    shape: tensor.shape as readonly number[],
  }));
  const inputs = new Map(
    entries.map(({ tensor, name, shape }) => [
      tensor,
      input(name, tensor.dtype as InputAttributes['dtype'], shape),
    ]),
  );
  return {
    first: [...first, ...kept],
    kept: entries.map(({ tensor, name, shape }) => ({ name, dtype: tensor.dtype, shape })),
    second: substitute(second, inputs),
  };
}

/** Whether it is a value in float16 that would otherwise be kept in float32. */
function isNarrowed({ node }: Tensor): boolean {
  if (!isNodeOf(node, toHalfOp)) return false;
  const { operator, inputs } = node.inputs[0]!.node;
  return inputs.length > 0 && !operator.cheap;
}

/** Nodes that depend on a tensor, among those that the outputs depend on. */
function lateNodes(outputs: readonly Tensor[], late: Tensor): Set<Node> {
  const nodes = new Set<Node>([late.node]);
  for (const node of topologicalOrder(outputs)) {
    if (node.inputs.some((tensor) => nodes.has(tensor.node))) nodes.add(node);
  }
  return nodes;
}
