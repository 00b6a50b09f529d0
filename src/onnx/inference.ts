import { sameShape, staticShape } from '../graph/dims.ts';
import { halfProduct } from '../graph/half-products.ts';
import { addRmsNorm } from '../graph/lowerings/add-rms-norm.ts';
import { fromHalf, toHalf } from '../graph/lowerings/half.ts';
import { type CachedAttentionAttributes, cachedAttentionOp } from '../graph/operators/cached-attention.ts';
import { addOp } from '../graph/operators/elementwise.ts';
import { gatherRows, gatherRowsOp } from '../graph/operators/indexing.ts';
import { linearWeight, type MatmulAttributes, matmul, matmulOp } from '../graph/operators/matmul.ts';
import { type NormAttributes, rmsNormOp } from '../graph/operators/norms.ts';
import { split, splitOp } from '../graph/operators/shape.ts';
import { constantOp, input, inputOp, parameter, parameterName } from '../graph/operators/sources.ts';
import { type Rule, rewrite } from '../graph/rewrite.ts';
import { apply, isNodeOf, type Node, type None, type Tensor } from '../graph/tensor.ts';
import { topologicalOrder } from '../graph/traverse.ts';
import { type QuantizedSource, type RowLookup, stackQuantized, type WeightSource } from './weights.ts';

type Weights = ReadonlyMap<string, WeightSource>;

/** Rows that the host looks up and feeds: a graph input that replaces an embedding. */
export interface HostLookup {
  /** The graph input for the rows. */
  readonly input: string;
  /** The graph input with the row indices. */
  readonly ids: string;
  readonly rows: RowLookup;
}

/**
 * Rewrites a graph with constant weights for inference, by the rules below.
 *
 * @param precision of the weights of products that are not quantized.
 */
export function prepareInference(
  outputs: readonly Tensor[],
  weights: Weights,
  precision: 'float32' | 'float16' = 'float32',
): { outputs: Tensor[]; weights: Map<string, WeightSource>; lookups: HostLookup[] } {
  if (weights.size === 0) return { outputs: [...outputs], weights: new Map(), lookups: [] };
  const order = topologicalOrder(outputs);
  const changed = new Map(weights);
  const lookups = new Map<string, HostLookup>();
  const rules = [
    hostLookups(weights, lookups),
    joinedProducts(order, weights, changed),
    packedAttention,
    ...residualNorms(order),
    ...(precision === 'float16' ? halfWeights(order, weights) : []),
  ];
  return { outputs: rewrite(outputs, rules), weights: changed, lookups: [...lookups.values()] };
}

/**
 * Makes an embedding whose rows the host can look up an input, so that the engine does not hold the table twice (for
 * the lookup, and packed as the tied head).
 */
function hostLookups(weights: Weights, found: Map<string, HostLookup>): Rule<None> {
  return {
    operator: gatherRowsOp,
    apply({ outputs: [looked] }, [table, ids]) {
      const name = parameterName(table!.node);
      const rows = name === undefined ? undefined : weights.get(name)?.rows;
      if (!rows || !isNodeOf(ids!.node, inputOp)) return undefined;
      const lookup = { input: `${name}[${ids!.node.attributes.name}]`, ids: ids!.node.attributes.name, rows };
      found.set(lookup.input, lookup);
      return [input(lookup.input, 'float32', looked!.shape)];
    },
  };
}

/**
 * Products with a weight, in float16 (see `halfProducts`): the engine folds the cast of a constant, and then has the weight in half
 * the memory. A tied embedding is read there as well.
 */
function halfWeights(order: readonly Node[], weights: Weights): Rule[] {
  const isHalved = (tensor: Tensor) => {
    const source = weights.get(parameterName(tensor.node) ?? '');
    return source !== undefined && !('quantized' in source) && tensor.rank === 2;
  };
  const multiplied = new Set(order.flatMap((node) => (isNodeOf(node, matmulOp) ? [node.inputs[1]!] : [])));
  const product: Rule<MatmulAttributes> = {
    operator: matmulOp,
    apply: ({ attributes }, [x, weight]) =>
      isHalved(weight!) ? [halfProduct(x!, weight!, attributes)] : undefined,
  };
  const lookup: Rule<None> = {
    operator: gatherRowsOp,
    apply: (_node, [table, ids]) =>
      isHalved(table!) && multiplied.has(table!) ? [fromHalf(gatherRows(toHalf(table!), ids!))] : undefined,
  };
  return [product as Rule, lookup as Rule];
}

/** Cached attention takes queries, keys and values undivided, as one product returns them. */
const packedAttention: Rule<CachedAttentionAttributes> = {
  operator: cachedAttentionOp,
  apply({ attributes }, [q, k, v, ...rest]) {
    const { packed, rotates } = attributes;
    const { node } = q!;
    const divides =
      isNodeOf(node, splitOp) &&
      node.outputs.length === 3 &&
      [q, k, v].every((tensor, i) => tensor === node.outputs[i]);
    if (packed || !rotates || !divides) return undefined;
    return apply(cachedAttentionOp, [node.inputs[0]!, ...rest], { ...attributes, packed: true });
  },
};

/** Fuses a residual sum and the RMSNorm after it into one pass. */
function residualNorms(order: readonly Node[]): Rule[] {
  const sums = normedSums(order);
  const normed = new Map<Node, Tensor>();
  const sum: Rule<None> = {
    operator: addOp,
    apply({ outputs }, [x, y]) {
      const norm = sums.get(outputs[0]!);
      if (!norm) return undefined;
      const [result, sum] = addRmsNorm(x!, y!, norm.inputs[1]!, norm.attributes.epsilon);
      normed.set(norm, result);
      return [sum];
    },
  };
  const norm: Rule<NormAttributes> = {
    operator: rmsNormOp,
    apply(node) {
      const result = normed.get(node);
      return result && [result];
    },
  };
  return [sum, norm];
}

/** Sums of two activations, with their RMSNorms. */
function normedSums(order: readonly Node[]): Map<Tensor, Node<NormAttributes>> {
  const found = new Map<Tensor, Node<NormAttributes>>();
  for (const norm of order) {
    if (!isNodeOf(norm, rmsNormOp)) continue;
    const [sum, weight] = norm.inputs as [Tensor, Tensor];
    const [x, y] = sum.node.inputs;
    // The weight must not depend on the sum: a parameter, or computed from parameters only.
    const standing = topologicalOrder([weight]).every(
      (node) => isNodeOf(node, constantOp) || isNodeOf(node, addOp) || parameterName(node) !== undefined,
    );
    const isSum = isNodeOf(sum.node, addOp) && sameShape(x!.shape, y!.shape);
    if (isSum && standing && !found.has(sum)) found.set(sum, norm);
  }
  return found;
}

/**
 * Joins quantized products of the same activations (queries, keys and values; gate and up) into one product of the
 * stacked matrices: a decode step is hundreds of small products, each with a start-up cost.
 */
function joinedProducts(
  order: readonly Node[],
  weights: Weights,
  changed: Map<string, WeightSource>,
): Rule<MatmulAttributes> {
  const groups = groupProducts(order, weights);
  const merged = new Map<readonly Node[], readonly Tensor[]>();
  return {
    operator: matmulOp,
    apply(node, [x]) {
      const group = groups.get(node);
      if (!group) return undefined;
      const parts = merged.get(group) ?? mergeGroup(group, x!, changed);
      merged.set(group, parts);
      return [parts[group.indexOf(node)]!];
    },
  };
}

/** Products that can be joined, by each of their nodes. */
function groupProducts(order: readonly Node[], weights: Weights): Map<Node, readonly Node[]> {
  const uses = new Map<string, number>();
  const byInput = new Map<string, Node[]>();
  for (const node of order) {
    for (const tensor of node.inputs) {
      const name = parameterName(tensor.node);
      if (name !== undefined) uses.set(name, (uses.get(name) ?? 0) + 1);
    }
    const source = quantizedOf(node, weights);
    if (!source) continue;
    const [x] = node.inputs as [Tensor];
    const kind = [
      x.node.id,
      x.index,
      source.bits,
      source.block,
      source.hasOffsets,
      source.hasZeroPoints,
      source.exact,
    ].join();
    byInput.set(kind, [...(byInput.get(kind) ?? []), node]);
  }
  const groups = new Map<Node, readonly Node[]>();
  for (const nodes of byInput.values()) {
    const alone = nodes.filter((node) => uses.get(linearWeight(node)!) === 1);
    if (alone.length > 1) for (const node of alone) groups.set(node, alone);
  }
  return groups;
}

function quantizedOf(node: Node, weights: Weights): QuantizedSource | undefined {
  const name = linearWeight(node);
  const source = name === undefined ? undefined : weights.get(name);
  return source && 'quantized' in source ? source.quantized : undefined;
}

function mergeGroup(group: readonly Node[], x: Tensor, weights: Map<string, WeightSource>) {
  const name = group.map((node) => linearWeight(node)!).join('+');
  const quantized = group.map((node) => quantizedOf(node, weights)!);
  const sizes = group.map((node) => staticShape(node.inputs[1]!.shape, 'a weight')[0]!);
  const stacked = stackQuantized(quantized);
  weights.set(name, { quantized: stacked });
  const weight = parameter(name, [stacked.rows, stacked.columns]);
  return split(matmul(x, weight, { transB: true }), x.rank - 1, sizes);
}
